/* SPDX-License-Identifier: MIT */
/* API keys as rows: what security.yaml says, mirrored for people with a sqlite3 shell and
 * for the nightly audit. Never a secret, only its SHA-256.
 */
#ifndef AGW_STORE_KEYS_H
#define AGW_STORE_KEYS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "util/sha.h"

struct key_row {
    const char *id, *description, *roles; /* roles as "client,admin" */
    unsigned char hash[SHA_SIZE];
    int was_plaintext;
    int64_t expires_at;                   /* UTC ms, 0 = never */
    int64_t rate_per_minute;              /* -1 = inherits */
    const char *allow_agents, *deny_agents; /* JSON arrays, NULL = inherits */
};

/* Makes the rows of origin `file` equal to `rows` in the running transaction: new ones are
 * added, changed ones updated, missing ones marked removed (kept for history). */
int keys_sync_file(struct store *store, struct db *db, const struct key_row *rows,
                   size_t count, int64_t generation, struct err *e);

/* Remembers uses: key ids with the time of their latest request. Own transaction; for a
 * housekeeping thread, not the request path. */
int keys_note_used(struct store *store, const char *const *ids, const int64_t *at,
                   size_t count, struct err *e);

/* Array of {"id","description","origin","roles":[...],"expires_at","last_used_at",
 * "removed_at","hashed","allow_agents","deny_agents","rate_limit_per_minute"}. */
int keys_list(struct db *db, json_t **list, struct err *e);

#endif

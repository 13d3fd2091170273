/* SPDX-License-Identifier: MIT */
/* API keys as rows. Those of security.yaml (origin `file`) are mirrored for people with a
 * sqlite3 shell and for the nightly audit; those made at run time (origin `database`) live
 * here. Never a secret, only its SHA-256.
 *
 * A run-time key is what its row and the audit trail agree on: the newest of its rows in the
 * trail must say the same of it as the table does, or it is no key. So whoever changes the
 * table alone grants nothing.
 */
#ifndef AGW_STORE_KEYS_H
#define AGW_STORE_KEYS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/audit_rows.h"
#include "store/store.h"
#include "util/arena.h"
#include "util/sha.h"

struct key_row {
    const char *id, *description, *roles; /* roles as "client,admin" */
    unsigned char hash[SHA_SIZE];
    int was_plaintext;
    int64_t expires_at;                   /* UTC ms, 0 = never */
    int64_t rate_per_minute;              /* -1 = inherits, as do the budgets of a day */
    int64_t requests_per_day, tokens_per_day;
    const char *allow_agents, *deny_agents; /* JSON arrays, NULL = inherits */
    const char *allow_tools, *deny_tools;   /* the same; of run-time keys only */
};

/* The keys of a file. `clash` is told of each whose id or secret a run-time key has. */
struct key_rows {
    const struct key_row *rows;
    size_t count;
    void (*clash)(void *arg, size_t row, const char *problem);
    void *arg;
};

/* Makes the rows of origin `file` equal to `keys` in the running transaction: new ones are
 * added, changed ones updated, missing ones marked removed (kept for history). AGW_ECONFIG
 * after a clash. */
int keys_sync_file(struct store *store, struct db *db, const struct key_rows *keys,
                   int64_t generation, struct err *e);

/* Remembers uses: key ids with the time of their latest request. Own transaction; for a
 * housekeeping thread, not the request path. */
int keys_note_used(struct store *store, const char *const *ids, const int64_t *at,
                   size_t count, struct err *e);

/* A key made at run time. */
struct key_record {
    struct key_row row;
    unsigned char previous_hash[SHA_SIZE];
    int64_t previous_until; /* until when the previous secret is valid; 0 = there is none */
    int64_t created_at, rotated_at, revoked_at, last_used_at; /* 0 = not */
    int64_t removed_at;     /* when an expired key's id was taken by another; 0 = not */
    const char *created_by, *rotated_by, *revoked_by;
    int64_t proof_seq;      /* of its row in the trail, where keys_live() looked for it */
};

/* A key that expired is remembered for so long, so that its users can be told from strangers
 * in the audit; later its secret is just unknown. */
enum { KEYS_REMEMBERED_DAYS = 7 };

struct key_list {
    struct arena *arena; /* owns the texts and the array */
    size_t count;
    struct key_record *items; /* sorted by id */
};
void key_list_clear(struct key_list *list);

/* Changes with each change of a run-time key. */
int keys_revision(struct db *db, int64_t *revision, struct err *e);

/* The run-time keys that are neither revoked nor expired before `expired_after`. One that is
 * not as the trail has it is logged (`api_key.unrecorded`) and left out. */
int keys_live(struct db *db, int64_t expired_after, struct key_list *list, struct err *e);

/* Every run-time key there ever was, under the id it had, by id and then by age: for
 * explanations of the past. Secrets are not in it, and nothing is proved. */
int keys_ever(struct db *db, struct key_list *list, struct err *e);

/* The changes. Each is one transaction with its audit row (`audit` is a template: kind, place
 * and detail are filled in) and raises the revisions, so it holds for every request that
 * begins after the call. `by` is who does it. Public errors: AGW_ENOTFOUND for an unknown
 * key; AGW_ECONFLICT for an id that is taken, a key of the file, one that has ended.
 * *done (may be NULL) is the key as it is now; the caller clears it. */
int keys_create(struct store *store, const struct key_row *row, const char *by,
                const struct audit_row *audit, struct key_list *done, struct err *e);

/* `hash` is that of the new secret; the old one stays valid for overlap_ms, 0 = not at all.
 * The one before that ends now. */
int keys_rotate(struct store *store, const char *id, const unsigned char hash[SHA_SIZE],
                int64_t overlap_ms, const char *by, const struct audit_row *audit,
                struct key_list *done, struct err *e);

int keys_revoke(struct store *store, const char *id, const char *by,
                const struct audit_row *audit, struct key_list *done, struct err *e);

/* Marks as removed the run-time keys that expired KEYS_REMEMBERED_DAYS ago: nobody has to look
 * at them for ever. It takes no right from anybody, so the trail has no row of it. Cheap when
 * there is none. */
int keys_retire(struct store *store, struct err *e);

/* Before the trail is cut: appends anew, in the running transaction, the proof of each live
 * run-time key whose proof is older than `before_seq`, as rows of kind "key.carried" from the
 * template `audit`. Keys without a proof get none. *count = how many. */
int keys_carry_proofs(struct store *store, struct db *db, int64_t before_seq,
                      const struct audit_row *audit, int64_t *count, struct err *e);

struct key_filter {
    const char *id, *origin, *health; /* NULL = any */
    bool ended;                       /* also those revoked or removed */
};

/* Array of {"id","description","origin","roles":[...],"health","hashed","allow_agents",
 * "deny_agents","allow_tools","deny_tools","rate_limit_per_minute","budget":{...},"created_at","created_by","expires_at",
 * "last_used_at","rotated_at","rotated_by","overlap_ends_at","revoked_at","revoked_by",
 * "removed_at"}. `health` is the one of the view key_health, or "unrecorded" for what the
 * trail does not prove. */
int keys_list(struct db *db, const struct key_filter *filter, json_t **list, struct err *e);

#endif

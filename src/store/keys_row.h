/* SPDX-License-Identifier: MIT */
/* Inside of store/: how a run-time key is read from its row, and what proves it. */
#ifndef AGW_STORE_KEYS_ROW_H
#define AGW_STORE_KEYS_ROW_H

#include "store/db.h"
#include "store/keys.h"
#include "util/buf.h"

/* What keys_row_read() reads, of `api_key k`; begin a SELECT with it. */
#define KEYS_ROW_COLUMNS                                                                       \
    "coalesce(k.former_id, k.id), k.description, k.roles, k.hash, k.expires_at,"               \
    " k.rate_limit_per_minute, k.allow_agents, k.deny_agents, k.previous_hash,"                \
    " k.previous_until, k.created_at, k.created_by, k.rotated_at, k.rotated_by,"               \
    " k.revoked_at, k.revoked_by, k.last_used_at, k.budget_requests_per_day,"               \
    " k.budget_tokens_per_day, k.removed_at, k.allow_tools, k.deny_tools"

/* The columns behind them that keys_row_is_proven() reads, and where they come from. */
#define KEYS_ROW_PROOF ", e.kind, e.detail, e.seq"
#define KEYS_ROW_FROM                                                                          \
    " FROM api_key k LEFT JOIN audit_event e ON e.seq = (SELECT seq FROM audit_event"          \
    " WHERE place = 'key:' || k.id AND kind >= 'key.' AND kind < 'key/'"                       \
    " ORDER BY seq DESC LIMIT 1)"
enum { KEYS_ROW_KIND = 22, KEYS_ROW_DETAIL, KEYS_ROW_SEQ, KEYS_ROW_MORE };

/* Texts go to the arena. A hash that is none reads as zeros. 0 or AGW_ENOMEM. */
int keys_row_read(sqlite3_stmt *statement, struct arena *arena, struct key_record *record,
                  struct err *e);

/* What the trail says of a key that may be used: its terms as JSON, the secrets as hashes of
 * their hashes. `text` is emptied first; check text->failed. */
void keys_row_terms(const struct key_record *record, struct buf *text);

/* Whether the newest row of the trail says the same; `scratch` is an initialised buffer. On
 * lack of memory `scratch` has failed. */
bool keys_row_is_proven(sqlite3_stmt *statement, const struct key_record *record,
                        struct buf *scratch);

/* 1 unless `id` is a live run-time key without proof: then 0. Or AGW_E*. */
int keys_row_prove(struct db *db, const char *id, struct err *e);

enum { KEYS_ROW_TERMS_MAX = 16 << 20 };

/* keys_change.c: gives the row of an ended key another id, in the running transaction. */
int keys_make_room(struct db *db, const char *id, int64_t now, struct err *e);

#endif

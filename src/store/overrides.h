/* SPDX-License-Identifier: MIT */
/* Temporary grants: rows that are created, revoked, and expire by themselves. Every change
 * and its audit row are one transaction.
 */
#ifndef AGW_STORE_OVERRIDES_H
#define AGW_STORE_OVERRIDES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/audit_rows.h"
#include "store/store.h"

enum { OVERRIDE_ID_SIZE = 24 }; /* "ovr_" + 16 hex digits + NUL */

struct override {
    char id[OVERRIDE_ID_SIZE];
    char *pattern, *key_id, *reason, *created_by; /* key_id NULL = every key */
    char *ticket;                                 /* of the operator's own system, or NULL */
    int64_t max_uses;                             /* requests it lets run, 0 = any number */
    int64_t created_at, expires_at;               /* UTC ms of store_now() */
    int64_t revoked_at, expired_at, used_up_at;   /* 0 = not */
    char *revoked_by;
    int64_t uses;                                 /* so far, -1 = not counted */
};

/* `is_spent`, if set, knows better than the rows whether one with max_uses has none left. */
struct override_list {
    size_t count;
    struct override *items;
    bool (*is_spent)(const void *arg, const struct override *o);
    const void *is_spent_arg;
};

/* Stores `o` (its texts are borrowed; id and times must be set) with `row`, whose kind, pattern
 * and detail are filled in, bumps the revision. Own transaction. */
int overrides_create(struct store *store, const struct override *o,
                     const struct audit_row *row, struct err *e);

/* AGW_ENOTFOUND when there is no such active override. `row`'s agent, key_id, override_id,
 * reason are filled in from the override. *revoked (may be NULL) is a copy. */
int overrides_revoke(struct store *store, const char *id, const char *by,
                     struct audit_row *row, struct override *revoked, struct err *e);

/* Marks what has expired at store_now() and appends a row of kind "override.expired" each
 * (from the template `row`); *expired lists them for the log. Exactly one process gets each.
 * Cheap when nothing is due: a read without the gate. */
int overrides_expire(struct store *store, const struct audit_row *row,
                     struct override_list *expired, struct err *e);

/* Marks one whose uses are spent, appends `row` with the kind "override.used_up" and the
 * override's own words, bumps the revision. Exactly one process gets it: *marked. */
int overrides_use_up(struct store *store, const struct override *o,
                     const struct audit_row *row, bool *marked, struct err *e);

/* Those neither revoked nor expired (nor due) now, whose uses may be spent; or all, newest
 * first, with `history`. A grant counts as the trail has it: what differs from its row there
 * is logged and left out. */
int overrides_list(struct db *db, int64_t now, int history, struct override_list *list,
                   struct err *e);

/* Fills in `uses` from the trail: reads a row for each use. */
int overrides_count_uses(struct db *db, struct override_list *list, struct err *e);

/* "active" "revoked" "used_up" "expired" at `now`. */
const char *override_state(const struct override *o, int64_t now);
bool override_is_spent(const struct override_list *list, const struct override *o);

void override_clear(struct override *o);
void override_list_clear(struct override_list *list);

#endif

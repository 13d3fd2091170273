/* SPDX-License-Identifier: MIT */
/* Where the trail begins. Row 1, or, after old rows were removed in the open, the row behind
 * the anchor: the trail itself says so in a row `audit.pruned`, whose `detail` names the last
 * row that may be gone and its hash. The table audit_anchor holds the same for the trigger
 * that refuses to delete anything else; as proof it counts for nothing.
 */
#ifndef AGW_STORE_AUDIT_ANCHOR_H
#define AGW_STORE_AUDIT_ANCHOR_H

#include "store/audit_rows.h"

struct audit_anchor {
    int64_t seq;             /* rows up to this one may be gone; 0 = none may */
    char hash[SHA_HEX_SIZE]; /* of that row */
    int64_t at;              /* when it was announced, UTC ms */
};

/* The furthest anchor that a row of the trail announces. Whether that row is genuine is for
 * the chain to say. */
int audit_anchor_announced(struct db *db, struct audit_anchor *anchor, struct err *e);

/* In the running write transaction: announces that the rows up to `through` may go. `by` is
 * who says so. */
int audit_anchor_announce(struct store *store, struct db *db, const struct audit_head *through,
                          int64_t rows, const char *by, struct err *e);

#endif

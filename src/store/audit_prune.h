/* SPDX-License-Identifier: MIT */
/* Removes the oldest rows of the trail in the open: a row announces it (store/audit_anchor.h),
 * then they go from the lowest upward in short transactions, so that nobody waits long for the
 * gate. A death at any point leaves a trail that verifies; the next call goes on.
 *
 * Kept, with everything newer: requests that have not ended, and what proves a grant that is
 * in force. Nothing is removed before the rows have been verified: a broken chain is evidence.
 */
#ifndef AGW_STORE_AUDIT_PRUNE_H
#define AGW_STORE_AUDIT_PRUNE_H

#include "store/audit_verify.h"

/* Nothing younger may go: overrides live for a day at most. */
enum { AUDIT_PRUNE_MIN_AGE_DAYS = 2 };

struct audit_prune {
    int64_t before; /* UTC ms: rows older than that, up to the first that is not */
    const char *by; /* who removes them */
    bool dry_run;   /* only say what would go */
    void (*verified)(void *verified_arg, int64_t checked, int64_t of); /* progress; or NULL */
    void (*removed)(void *removed_arg, int64_t removed, int64_t of);   /* the same */
    void *verified_arg, *removed_arg;
};

struct audit_pruned {
    int64_t first_seq;         /* the oldest row there was */
    struct audit_head through; /* the newest row to go; seq 0 = none */
    int64_t rows;              /* rows to go */
    int64_t removed;           /* rows that went: fewer only when it failed on the way */
    const char *kept_for;      /* why older rows stay, "an unfinished request" ...; or NULL */
    int64_t longest_ms;        /* the longest time the gate was held */
    struct audit_verdict verdict;
};

/* AGW_EINVALID when `before` is too young or the chain is broken where rows were to go (then
 * verdict.broken). */
int audit_prune(struct store *store, const struct audit_prune *order,
                struct audit_pruned *result, struct err *e);

/* How many rows go in the next transaction, when the last one held the gate for so long. */
int64_t audit_prune_pace(int64_t rows, int64_t held_us);

#endif

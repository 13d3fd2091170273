/* SPDX-License-Identifier: MIT */
/* Which problems of drop-in agents have been told already. Each is told once, by whichever process
 * of this database comes first, and again only after it had gone.
 */
#ifndef AGW_STORE_DROPIN_PROBLEMS_H
#define AGW_STORE_DROPIN_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/audit_rows.h"
#include "store/store.h"
#include "util/sha.h"

/* A list that a runner has sent. */
struct dropin_list {
    const char *runner;             /* its socket */
    int64_t started_at, generation; /* of the runner; of the list */
    bool is_complete;               /* what is not in it has gone */
};

struct dropin_problem {
    char hash[SHA_HEX_SIZE];        /* of what it says */
    const struct audit_row *row;    /* goes on record when it is new; NULL = none does */
    bool is_new;                    /* out: it is for the caller to tell */
};

/* Compares the problems of a list with what is known, and knows them from then on. None is new
 * when any process has seen this list or a newer one of the same runner. One transaction with the
 * audit rows of those that are new. */
int dropin_problems_update(struct store *store, const struct dropin_list *list,
                           struct dropin_problem *problems, size_t count, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/* What one nightly audit leaves to the next: the head it has verified, and what the metrics had
 * counted then. The file's first line is that of an exported head, so that `agwctl audit verify
 * --since-head` takes it too.
 */
#ifndef AGW_CTL_NIGHTLY_STATE_H
#define AGW_CTL_NIGHTLY_STATE_H

#include <stdbool.h>

#include "store/audit_head.h"

/* Every way a request can end. */
#define NIGHTLY_OUTCOMES(X)                                                                    \
    X(completed) X(client_gone) X(denied) X(rate_limited) X(invalid) X(upstream_error)         \
    X(upstream_cut) X(timeout) X(agent_error) X(overloaded) X(internal)

enum {
#define X(name) +1 /* NOLINT(bugprone-macro-parentheses): a term */
    NIGHTLY_OUTCOME_COUNT = 0 NIGHTLY_OUTCOMES(X)
#undef X
};
extern const char *const nightly_outcomes[NIGHTLY_OUTCOME_COUNT];
/* The index of a name, or -1. */
int nightly_outcome(const char *name);

struct nightly_state {
    struct audit_head head; /* seq 0 = none */
    bool counted;           /* the numbers below are there */
    /* What the metrics said before and after the head was read: the truth lies between. */
    int64_t low[NIGHTLY_OUTCOME_COUNT], high[NIGHTLY_OUTCOME_COUNT];
};

/* What the metrics say now. */
void nightly_count(int64_t counts[NIGHTLY_OUTCOME_COUNT]);

/* AGW_ENOTFOUND when there is no file, AGW_EINVALID when it is none of ours. */
int nightly_state_read(const char *path, struct nightly_state *state, struct err *e);
int nightly_state_write(const char *path, const struct nightly_state *state, int64_t at,
                        struct err *e);

#endif

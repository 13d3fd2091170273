/* SPDX-License-Identifier: MIT */
/* Walks the decisions about chat requests in the audit trail, all of them if need be. */
#ifndef AGW_STORE_AUDIT_DECISIONS_H
#define AGW_STORE_AUDIT_DECISIONS_H

#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

/* One row; texts are borrowed until the callback returns, and NULL where the row has none. */
struct audit_decision {
    int64_t seq, ts;
    const char *key_id, *agent, *ns;             /* key_id and agent are never NULL */
    const char *decision, *source, *pattern, *place, *detail;
};

struct audit_period {
    int64_t since, until;      /* UTC ms, 0 = open; until is exclusive */
    const char *key_id, *agent; /* NULL = any; the agent's id */
};

/* How many rows of the trail lie between the first and the last of the period, at most: what
 * progress is measured by. */
int audit_decisions_span(struct db *db, const struct audit_period *period, int64_t *first_seq,
                         int64_t *last_seq, struct err *e);

/* Calls fn for each row in the order of seq, or of time when only those of a key or an agent
 * are asked for. Previews are left out. A negative result of fn ends it and is returned. */
int audit_decisions_each(struct db *db, const struct audit_period *period,
                         int (*fn)(void *arg, const struct audit_decision *row), void *arg,
                         struct err *e);

#endif

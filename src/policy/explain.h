/* SPDX-License-Identifier: MIT */
/* What a chat request would be answered, as far as policy goes, why, and what would change it.
 * Decides by decide_agent() and nothing else. Any thread.
 */
#ifndef AGW_POLICY_EXPLAIN_H
#define AGW_POLICY_EXPLAIN_H

#include "policy/decide.h"
#include "policy/state.h"

enum { EXPLAIN_BLOCKERS_MAX = 32 };

/* A deny pattern that matches: no grant beats it. */
struct explain_blocker {
    const char *rule, *pattern;
    struct config_place place;
};

struct explanation {
    int status;                   /* 0, AGW_EBADKEY, AGW_EROLE, AGW_EMODEL or AGW_EDENIED */
    const struct config_key *key; /* NULL: there is no such key; then nothing was decided */
    bool expired;                 /* the key is */
    struct decision decision;     /* the policy's, also where the status is another's */
    size_t blocker_count;         /* of those that fit */
    struct explain_blocker blockers[EXPLAIN_BLOCKERS_MAX];
    bool needs_grant;             /* without the blockers it would still be denied */
};

/* The status a request of `key` is refused with before or beside the policy's decision, in the
 * order of the steps: the key, its role, the agent (`served`: it exists and is available), and
 * last the decision; 0 = none. */
int explain_status(const struct config_key *key, bool served, const struct decision *decision,
                   int64_t now);

/* `agent` is namespace/name. Pointers in *explanation lead into `policy`. */
void explain_request(const struct policy *policy, const char *key_id, const char *agent,
                     const char *ns, bool served, int64_t now, struct explanation *explanation);

#endif

/* SPDX-License-Identifier: MIT */
/* Who may call what: one pure function for listings, calls, tools and previews alike.
 *
 * Order (the contract's): deny_agents of the key, then of the default; active overrides
 * bound to the key, then global ones; namespace defaults; the key's allow_agents, or the
 * default's when the key has none; otherwise deny. No I/O, no clock, no locks: everything
 * it looks at is passed in. Any thread.
 */
#ifndef AGW_POLICY_DECIDE_H
#define AGW_POLICY_DECIDE_H

#include "config/config.h"
#include "store/overrides.h"

enum decision_source { SOURCE_DENY, SOURCE_OVERRIDE, SOURCE_NAMESPACE_DEFAULT, SOURCE_API_KEY };

/* "deny" "override" "namespace_default" "api_key" */
const char *decision_source_name(enum decision_source source);

enum { DECISION_TRACE_MAX = 8 };

/* One rule list that was tried, in order. */
struct decision_step {
    const char *rule;    /* "key.deny_agents" "default.deny_agents" "override.key"
                            "override.global" "namespace_defaults.allow_agents"
                            "key.allow_agents" "default.allow_agents" */
    bool present;        /* the list exists (an absent one inherits); of overrides: one is active */
    bool matched;
    const char *pattern; /* the one that matched, or NULL */
    struct config_place place;
    const struct override *used_up; /* one that matches, but whose uses are spent */
};

/* What would be decided if the entries of `mode: shadow` were enforced. */
struct decision_shadow {
    bool differs;        /* otherwise nothing below is set */
    bool allowed;
    const char *rule;    /* the list that would decide, named as in a step */
    const char *pattern; /* NULL: nothing would allow it, for the key's list would then count */
    struct config_place place;
};

/* Pointers lead into the configuration and the override list passed to decide_agent(). */
struct decision {
    bool allowed;
    enum decision_source source;
    const char *pattern;                /* NULL when no rule matched */
    struct config_place place;          /* of the rule in the file; line 0 for overrides */
    const struct override *override;    /* source override only */
    struct decision_shadow shadow;
    size_t step_count;
    struct decision_step steps[DECISION_TRACE_MAX];
};

/* "would_deny" "would_allow", NULL when the shadow entries would change nothing. */
const char *decision_would_name(const struct decision *decision);

/* `agent` is namespace/name; `now` is store_now(); overrides that are revoked, marked expired,
 * due at `now` or spent are passed over here too. */
void decide_agent(const struct config_security *security, const struct config_key *key,
                  const struct override_list *overrides, const char *agent, const char *ns,
                  int64_t now, struct decision *decision);

#endif

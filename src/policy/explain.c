/* SPDX-License-Identifier: MIT */
/* Tells what a request would be answered, why, and what would change it. */
#include "policy/explain.h"

#include <string.h>

#include "util/glob.h"

static bool has_expired(const struct config_key *key, int64_t now)
{
    return key->expires_at != 0 && now >= key->expires_at;
}

int explain_status(const struct config_key *key, bool served, const struct decision *decision,
                   int64_t now)
{
    if (has_expired(key, now))
        return AGW_EBADKEY;
    if ((key->roles & ROLE_CLIENT) == 0)
        return AGW_EROLE;
    if (!served)
        return AGW_EMODEL;
    return decision->allowed ? 0 : AGW_EDENIED;
}

static void add_blockers(const char *rule, const struct config_patterns *list,
                         const char *agent, struct explanation *x)
{
    for (size_t i = 0; i < list->count && x->blocker_count < EXPLAIN_BLOCKERS_MAX; i++)
        if (glob_match(list->patterns[i], agent))
            x->blockers[x->blocker_count++] =
                (struct explain_blocker){rule, list->patterns[i], list->places[i]};
}

/* The same question to a policy whose deny lists are empty. */
static bool is_denied_without_blockers(const struct policy *policy,
                                       const struct config_key *key, const char *agent,
                                       const char *ns, int64_t now)
{
    struct config_security security = policy->config->security;
    struct config_key freed = *key;
    struct decision d;

    memset(&security.deny_agents, 0, sizeof security.deny_agents);
    memset(&freed.deny_agents, 0, sizeof freed.deny_agents);
    decide_agent(&security, &freed, &policy->overrides, agent, ns, now, &d);
    return !d.allowed;
}

void explain_request(const struct policy *policy, const char *key_id, const char *agent,
                     const char *ns, bool served, int64_t now, struct explanation *x)
{
    const struct config_security *security = &policy->config->security;
    const struct config_key *key = policy_find_key(policy, key_id);

    x->key = key;
    x->blocker_count = 0;
    x->expired = x->needs_grant = false;
    x->status = AGW_EBADKEY;
    x->decision = (struct decision){.source = SOURCE_DENY};
    if (key == NULL)
        return;
    decide_agent(security, key, &policy->overrides, agent, ns, now, &x->decision);
    x->expired = has_expired(key, now);
    x->status = explain_status(key, served, &x->decision, now);
    if (x->decision.allowed)
        return;
    add_blockers("key.deny_agents", &key->deny_agents, agent, x);
    add_blockers("default.deny_agents", &security->deny_agents, agent, x);
    x->needs_grant = is_denied_without_blockers(policy, key, agent, ns, now);
}

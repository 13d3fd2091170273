/* SPDX-License-Identifier: MIT */
/* Decides whether a key may call an agent, and says why. */
#include "policy/decide.h"

#include <string.h>

#include "policy/decide_steps.h"
#include "util/glob.h"

const char *decision_source_name(enum decision_source source)
{
    static const char *const names[] = {"deny", "override", "namespace_default", "api_key"};

    return names[source];
}

const char *decision_would_name(const struct decision *d)
{
    if (!d->shadow.differs)
        return NULL;
    return d->shadow.allowed ? "would_allow" : "would_deny";
}

/* What is asked. `trial`: as if the shadow entries were enforced. */
struct question {
    const struct config_security *security;
    const struct config_key *key;
    const struct override_list *overrides;
    const char *agent, *ns;
    int64_t now;
    bool trial;
};

static bool is_present(const struct question *q, const struct config_patterns *list)
{
    return list->present || (q->trial && list->shadow != NULL);
}

/* Tries one list of patterns; true when it has the last word. */
static bool try_patterns(const struct question *q, struct decision *d, const char *rule,
                         const struct config_patterns *list, bool allows,
                         enum decision_source source)
{
    struct decision_step *step = decide_steps_add(d, rule, is_present(q, list));

    if (!decide_steps_find(list, q->agent, step) &&
        !(q->trial && list->shadow != NULL && decide_steps_find(list->shadow, q->agent, step)))
        return false;
    d->allowed = allows;
    d->source = source;
    d->pattern = step->pattern;
    d->place = step->place;
    return true;
}

static bool is_active(const struct override *o, int64_t now)
{
    return o->revoked_at == 0 && o->expired_at == 0 && now < o->expires_at;
}

/* Of several matching overrides the one that lasts longest is named. `key_id` NULL: of those
 * that hold for every key. */
static bool try_overrides(const struct question *q, struct decision *d, const char *rule,
                          const char *key_id)
{
    struct decision_step *step = decide_steps_add(d, rule, false);
    const struct override *best = NULL;

    for (size_t i = 0; i < q->overrides->count; i++) {
        const struct override *o = &q->overrides->items[i];
        bool is_bound_right = key_id == NULL
                                  ? o->key_id == NULL
                                  : o->key_id != NULL && strcmp(o->key_id, key_id) == 0;

        if (!is_bound_right || !is_active(o, q->now))
            continue;
        if (override_is_spent(q->overrides, o)) {
            if (glob_match(o->pattern, q->agent))
                step->used_up = o;
            continue;
        }
        step->present = true;
        if (glob_match(o->pattern, q->agent) &&
            (best == NULL || o->expires_at > best->expires_at))
            best = o;
    }
    if (best == NULL)
        return false;
    step->matched = true;
    step->pattern = best->pattern;
    d->allowed = true;
    d->source = SOURCE_OVERRIDE;
    d->pattern = best->pattern;
    d->override = best;
    return true;
}

static const struct config_patterns *namespace_rule(const struct question *q)
{
    static const struct config_patterns absent;

    for (size_t i = 0; i < q->security->namespace_count; i++)
        if (strcmp(q->security->namespaces[i].name, q->ns) == 0)
            return &q->security->namespaces[i].allow_agents;
    return &absent;
}

static void answer(const struct question *q, struct decision *d)
{
    const struct config_security *s = q->security;
    const struct config_key *key = q->key;

    *d = (struct decision){.allowed = false, .source = SOURCE_DENY};
    if (try_patterns(q, d, "key.deny_agents", &key->deny_agents, false, SOURCE_DENY) ||
        try_patterns(q, d, "default.deny_agents", &s->deny_agents, false, SOURCE_DENY) ||
        try_overrides(q, d, "override.key", key->id) ||
        try_overrides(q, d, "override.global", NULL) ||
        try_patterns(q, d, "namespace_defaults.allow_agents", namespace_rule(q), true,
                     SOURCE_NAMESPACE_DEFAULT))
        return;
    if (is_present(q, &key->allow_agents))
        try_patterns(q, d, "key.allow_agents", &key->allow_agents, true, SOURCE_API_KEY);
    else
        try_patterns(q, d, "default.allow_agents", &s->allow_agents, true, SOURCE_API_KEY);
}

/* Without a pattern nothing would allow it any more: the key's own list, which is all on
 * trial, would stand in place of the default's. */
static void compare(const struct question *q, const struct decision *trial, struct decision *d)
{
    if (trial->allowed == d->allowed)
        return;
    d->shadow = (struct decision_shadow){
        .differs = true,
        .allowed = trial->allowed,
        .rule = trial->steps[trial->step_count - 1].rule,
        .pattern = trial->pattern,
        .place = trial->pattern != NULL ? trial->place
                                        : q->key->allow_agents.shadow->places[0]};
}

void decide_agent(const struct config_security *security, const struct config_key *key,
                  const struct override_list *overrides, const char *agent, const char *ns,
                  int64_t now, struct decision *d)
{
    struct question q = {security, key, overrides, agent, ns, now, false};
    struct decision trial;

    answer(&q, d);
    if (!security->has_shadow && key->allow_agents.shadow == NULL &&
        key->deny_agents.shadow == NULL)
        return;
    q.trial = true;
    answer(&q, &trial);
    compare(&q, &trial, d);
}

/* SPDX-License-Identifier: MIT */
/* Decides whether a key may call an agent, and says why. */
#include "policy/decide.h"

#include <assert.h>
#include <string.h>

#include "util/glob.h"

const char *decision_source_name(enum decision_source source)
{
    static const char *const names[] = {"deny", "override", "namespace_default", "api_key"};

    return names[source];
}

static struct decision_step *add_step(struct decision *d, const char *rule, bool present)
{
    struct decision_step *step = &d->steps[d->step_count++];

    assert(d->step_count <= DECISION_TRACE_MAX);
    *step = (struct decision_step){.rule = rule, .present = present};
    return step;
}

/* Tries one list of patterns; true when it has the last word. */
static bool try_patterns(struct decision *d, const char *rule, const char *agent,
                         const struct config_patterns *list, bool allows,
                         enum decision_source source)
{
    struct decision_step *step = add_step(d, rule, list->present);

    for (size_t i = 0; i < list->count; i++) {
        if (!glob_match(list->patterns[i], agent))
            continue;
        step->matched = true;
        step->pattern = list->patterns[i];
        step->place = list->places[i];
        d->allowed = allows;
        d->source = source;
        d->pattern = step->pattern;
        d->place = step->place;
        return true;
    }
    return false;
}

static bool is_active(const struct override *o, int64_t now)
{
    return o->revoked_at == 0 && o->expired_at == 0 && now < o->expires_at;
}

/* Of several matching overrides the one that lasts longest is named. */
static bool try_overrides(struct decision *d, const char *rule, const char *agent,
                          const struct override_list *list, const char *key_id, int64_t now)
{
    struct decision_step *step = add_step(d, rule, list->count > 0);
    const struct override *best = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct override *o = &list->items[i];
        bool is_bound_right = key_id == NULL
                                  ? o->key_id == NULL
                                  : o->key_id != NULL && strcmp(o->key_id, key_id) == 0;

        if (is_bound_right && is_active(o, now) && glob_match(o->pattern, agent) &&
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

static const struct config_patterns *namespace_rule(const struct config_security *security,
                                                    const char *ns)
{
    static const struct config_patterns absent;

    for (size_t i = 0; i < security->namespace_count; i++)
        if (strcmp(security->namespaces[i].name, ns) == 0)
            return &security->namespaces[i].allow_agents;
    return &absent;
}

void decide_agent(const struct config_security *security, const struct config_key *key,
                  const struct override_list *overrides, const char *agent, const char *ns,
                  int64_t now, struct decision *d)
{
    *d = (struct decision){.allowed = false, .source = SOURCE_DENY};
    if (try_patterns(d, "key.deny_agents", agent, &key->deny_agents, false, SOURCE_DENY) ||
        try_patterns(d, "default.deny_agents", agent, &security->deny_agents, false,
                     SOURCE_DENY) ||
        try_overrides(d, "override.key", agent, overrides, key->id, now) ||
        try_overrides(d, "override.global", agent, overrides, NULL, now) ||
        try_patterns(d, "namespace_defaults.allow_agents", agent,
                     namespace_rule(security, ns), true, SOURCE_NAMESPACE_DEFAULT))
        return;
    if (key->allow_agents.present)
        try_patterns(d, "key.allow_agents", agent, &key->allow_agents, true, SOURCE_API_KEY);
    else
        try_patterns(d, "default.allow_agents", agent, &security->allow_agents, true,
                     SOURCE_API_KEY);
}

/* SPDX-License-Identifier: MIT */
/* Decides whether a tool may be called, and says why. */
#include "policy/decide_tool.h"

#include <stdio.h>

#include "policy/decide_steps.h"
#include "util/glob.h"

/* "COMMAND:TOOL", or what glob_match() will not match when it is too long. */
enum { SUBJECT_SIZE = GLOB_MAX + 2 };

static bool is_about(const struct config_tool_rule *rule, const char *agent)
{
    struct decision_step unused;

    return decide_steps_find(&rule->agents, agent, &unused);
}

static bool decided(struct decision *d, const struct decision_step *step, bool allowed)
{
    d->allowed = allowed;
    d->source = allowed ? SOURCE_API_KEY : SOURCE_DENY;
    d->pattern = step->pattern;
    d->place = step->place;
    return true;
}

static bool denied_by(struct decision *d, const char *name, const struct config_patterns *list,
                      const char *tool)
{
    struct decision_step *step = decide_steps_add(d, name, list->present);

    if (!decide_steps_find(list, tool, step))
        return false;
    return decided(d, step, false);
}

static bool denied_by_rules(struct decision *d, const struct config_security *s,
                            const struct decide_tool *subject)
{
    struct decision_step *step = decide_steps_add(d, "tool_rules.deny_tools", false);

    for (size_t i = 0; i < s->tool_rule_count; i++) {
        const struct config_tool_rule *rule = &s->tool_rules[i];

        if (!rule->deny_tools.present || !is_about(rule, subject->agent))
            continue;
        step->present = true;
        if (decide_steps_find(&rule->deny_tools, subject->tool, step))
            return decided(d, step, false);
    }
    return false;
}

/* Whether the list, which must match, does not; then that is the decision. */
static bool not_allowed_by(struct decision *d, const char *name,
                           const struct config_patterns *list, const char *text)
{
    struct decision_step *step = decide_steps_add(d, name, list->present);
    bool matched = decide_steps_find(list, text, step);

    decided(d, step, matched);
    return !matched;
}

static bool not_allowed_locally(struct decision *d, const struct config_security *s,
                                const struct decide_tool *subject)
{
    char text[SUBJECT_SIZE];

    if (subject->command == NULL)
        return false;
    snprintf(text, sizeof text, "%s:%s", subject->command, subject->tool);
    return not_allowed_by(d, "default.local_tools_allowlist", &s->local_tools_allowlist, text);
}

static void try_rules(struct decision *d, const struct config_security *s,
                      const struct decide_tool *subject)
{
    struct decision_step *step = decide_steps_add(d, "tool_rules.allow_tools", false);

    for (size_t i = 0; i < s->tool_rule_count; i++) {
        const struct config_tool_rule *rule = &s->tool_rules[i];

        if (!rule->allow_tools.present || !is_about(rule, subject->agent))
            continue;
        step->present = true;
        if (!decide_steps_find(&rule->allow_tools, subject->tool, step)) {
            *step = (struct decision_step){
                .rule = step->rule, .present = true, .place = rule->place};
            decided(d, step, false);
            return;
        }
        decided(d, step, true);
    }
    if (!step->present)
        d->step_count--; /* it has not the last word */
}

void decide_tool(const struct config_security *s, const struct config_key *key,
                 const struct decide_tool *subject, struct decision *d)
{
    *d = (struct decision){.allowed = false, .source = SOURCE_DENY};
    if (denied_by(d, "key.deny_tools", &key->deny_tools, subject->tool) ||
        denied_by_rules(d, s, subject) ||
        denied_by(d, "default.deny_tools", &s->deny_tools, subject->tool) ||
        not_allowed_locally(d, s, subject))
        return;
    if (key->allow_tools.present
            ? not_allowed_by(d, "key.allow_tools", &key->allow_tools, subject->tool)
            : not_allowed_by(d, "default.allow_tools", &s->allow_tools, subject->tool))
        return;
    try_rules(d, s, subject);
}

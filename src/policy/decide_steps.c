/* SPDX-License-Identifier: MIT */
/* Tries lists of patterns and keeps the trace of a decision. */
#include "policy/decide_steps.h"

#include <assert.h>

#include "util/glob.h"

struct decision_step *decide_steps_add(struct decision *d, const char *rule, bool present)
{
    struct decision_step *step = &d->steps[d->step_count++];

    assert(d->step_count <= DECISION_TRACE_MAX);
    *step = (struct decision_step){.rule = rule, .present = present};
    return step;
}

bool decide_steps_find(const struct config_patterns *list, const char *subject,
                       struct decision_step *step)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!glob_match(list->patterns[i], subject))
            continue;
        step->matched = true;
        step->pattern = list->patterns[i];
        step->place = list->places[i];
        return true;
    }
    return false;
}

/* SPDX-License-Identifier: MIT */
/* What decide.c and decide_tool.c share: trying a list of patterns, and noting that it was. */
#ifndef AGW_POLICY_DECIDE_STEPS_H
#define AGW_POLICY_DECIDE_STEPS_H

#include "policy/decide.h"

/* The next step of the decision's trace. */
struct decision_step *decide_steps_add(struct decision *d, const char *rule, bool present);

/* Whether some pattern of the list matches `subject`; the first that does goes into `step`. */
bool decide_steps_find(const struct config_patterns *list, const char *subject,
                       struct decision_step *step);

#endif

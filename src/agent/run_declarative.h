/* SPDX-License-Identifier: MIT */
/* Runs an agent that is a YAML spec: instructions, model, limits, defaults. */
#ifndef AGW_AGENT_RUN_DECLARATIVE_H
#define AGW_AGENT_RUN_DECLARATIVE_H

#include "agent/run.h"

/* As agent_run(). */
int run_declarative(const struct agent_run *run, struct chat_usage *usage, struct err *e);

/* The body that the upstream sees: the client's, with the agent's model, its instructions
 * first, `tools` (definitions of its own, NULL = none) before the client's, its metadata as
 * defaults, and its caps (they lower, never raise). New reference, NULL when memory is out. */
json_t *run_declarative_body(const struct config_agent *spec, const json_t *request,
                             const json_t *tools, bool streaming);

/* Lowers the caps of a request's body to `most`, and sets one when it has none; 0 = no cap. 0, or
 * -1 when memory is out. */
int run_declarative_cap(json_t *body, int64_t most);

#endif

/* SPDX-License-Identifier: MIT */
/* The loop of a declarative agent with tools: asks the model, makes the calls that it wants,
 * hands it their results, and asks again, until it answers.
 */
#ifndef AGW_AGENT_TOOL_LOOP_H
#define AGW_AGENT_TOOL_LOOP_H

#include "agent/toolbox.h"

/* `body` is the request for the upstream, tools included; its messages grow. Pushes one answer
 * into the sink, as if it came from one call: usage is summed, texts of earlier turns come
 * first. Errors as agent_run(). */
int tool_loop_run(const struct agent_run *run, const struct toolbox *box, json_t *body,
                  struct chat_usage *usage, struct err *e);

#endif

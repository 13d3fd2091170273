/* SPDX-License-Identifier: MIT */
/* The loop of an agent with tools: asks the model, makes the calls that it wants, hands it their
 * results, and asks again, until it answers. Whom it asks and who makes the calls is its caller's
 * business: agents of agents.yaml reach both in this process, those in C through the gateway.
 */
#ifndef AGW_AGENT_TOOL_LOOP_H
#define AGW_AGENT_TOOL_LOOP_H

#include "agent/tool_round.h"

/* Everything is borrowed. */
struct tool_loop {
    const char *agent;            /* its id, for messages */
    int max_rounds;               /* of tool calls */
    size_t added_max;             /* bytes that rounds may add to the request */
    bool streaming;
    const struct toolbox *box;
    const struct chat_sink *sink;
    struct agent_hops *hops;      /* counted up; NULL = nobody asks */
    /* Asks the model once, as chat_call(). */
    int (*ask)(void *arg, json_t *body, const struct chat_sink *sink, struct chat_part *part,
               struct chat_usage *usage, struct err *e);
    tool_round_call *call;
    /* After each round: may change the request, whose messages are then complete. NULL = nothing. */
    int (*turned)(void *arg, json_t *body, struct err *e);
    void *arg;                    /* of these */
};

/* `body` is the request for the upstream, tools included; its messages grow. Pushes one answer
 * into the sink, as if it came from one call: usage is summed, texts of earlier turns come
 * first. Errors as agent_run(). */
int tool_loop_run(const struct tool_loop *with, json_t *body, struct chat_usage *usage,
                  struct err *e);

#endif

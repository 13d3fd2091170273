/* SPDX-License-Identifier: MIT */
/* Runs one agent for one request and pushes its answer into a sink. */
#ifndef AGW_AGENT_RUN_H
#define AGW_AGENT_RUN_H

#include "agent/catalog.h"
#include "runner/link.h"
#include "tools/invoke.h"
#include "upstream/chat_call.h"

/* What the gateway did for a request by itself. */
struct agent_hops {
    int rounds;      /* of tool calls */
    int calls;       /* of them all; of a module also those of its own tools */
    int model_calls; /* that a module made: one round may have several, and none */
};

struct agent_run {
    const struct catalog_agent *agent;
    const json_t *request;      /* the client's checked body, borrowed */
    const char *request_id;
    bool streaming;
    struct upstreams *upstreams;
    struct link *link;          /* to the runner; may be NULL for declarative agents */
    int64_t total_ms;           /* longest run of an agent of kind sdk */
    const struct chat_sink *sink;
    const struct invoke_caller *caller; /* for its tools; may be NULL for agents without */
    size_t added_max;           /* bytes that rounds of tool calls may add to the request */
    struct agent_hops *hops;    /* counted up, also when it fails; NULL = nobody asks */
};

/* Errors as chat_call(); AGW_EINVALID with a public message when the request cannot be
 * combined with the agent's tools; AGW_EAGENT when their calls come to no end; AGW_EAUDIT
 * when one could not be recorded. */
int agent_run(const struct agent_run *run, struct chat_usage *usage, struct err *e);

#endif

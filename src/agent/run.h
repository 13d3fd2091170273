/* SPDX-License-Identifier: MIT */
/* Runs one agent for one request and pushes its answer into a sink. */
#ifndef AGW_AGENT_RUN_H
#define AGW_AGENT_RUN_H

#include "agent/catalog.h"
#include "upstream/chat_call.h"

struct agent_run {
    const struct catalog_agent *agent;
    const json_t *request;      /* the client's checked body, borrowed */
    const char *request_id;
    bool streaming;
    struct upstreams *upstreams;
    const struct chat_sink *sink;
};

/* Errors as chat_call(). */
int agent_run(const struct agent_run *run, struct chat_usage *usage, struct err *e);

#endif

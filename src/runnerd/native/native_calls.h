/* SPDX-License-Identifier: MIT */
/* What a run asks of the gateway: models, leave for its own tools, and the gateway's tools. Any
 * thread of the run.
 */
#ifndef AGW_RUNNERD_NATIVE_NATIVE_CALLS_H
#define AGW_RUNNERD_NATIVE_NATIVE_CALLS_H

#include "runnerd/native/native_run.h"
#include "tools/tool.h"
#include "upstream/chat_call.h"

/* One chat completion; `body` as the model is to get it. `main`: the client waits for the answer
 * itself, so that its tools may be called in it. AGW_EUPSTREAM: it failed, and the run's
 * failure says how; AGW_EGONE; AGW_ENOMEM; or the sink's code. Its usage is added to the run's. */
int native_calls_model(struct agw_run *run, json_t *body, bool main,
                       const struct chat_sink *sink, struct chat_usage *usage, struct err *e);

/* A tool of the module: asks for leave, checks the arguments, runs it, and tells how it went. 0:
 * *result is what the model is told; AGW_EAGENT: it breaks the run; AGW_EGONE, AGW_ENOMEM. */
struct native_tool_call {
    const struct descriptor *descriptor;
    const struct descriptor_tool *tool;
    int depth;
    const char *call_id, *arguments;
    size_t arguments_length;
};
int native_calls_own(struct agw_run *run, const struct native_tool_call *call,
                     struct tool_result *result, struct err *e);

/* A tool of the gateway. */
int native_calls_gateway(struct agw_run *run, const char *name, const char *call_id,
                         const char *arguments, struct tool_result *result, struct err *e);

#endif

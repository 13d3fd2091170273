/* SPDX-License-Identifier: MIT */
/* The one door to every tool, whoever calls it: the arguments are parsed and checked against
 * the tool's schema, policy decides, an audit row is on disk before the tool runs and another
 * one says how it ended, metrics count it, the log tells it. Any thread; calls of one request
 * may run at once.
 */
#ifndef AGW_TOOLS_INVOKE_H
#define AGW_TOOLS_INVOKE_H

#include "policy/audit.h"
#include "policy/state.h"
#include "tools/toolset.h"

/* Who calls: one for all calls of a request. */
struct invoke_caller {
    struct toolset *toolset;
    const struct config_security *security; /* the request's policy */
    int64_t generation;
    const struct config_key *key;
    const char *agent, *ns;        /* id and namespace of the agent that calls */
    struct audit *audit;           /* NULL: nothing is recorded (agwctl without a database) */
    const char *request_id;
    const char *request_uid;       /* audit_uid() of the request's row, NULL = none */
    const char *route;             /* as in the request's row, may be NULL */
    const char *source;            /* "declarative" "sdk" "agwctl" */
    int watch_fd;                  /* the client's socket, -1 = none */
    /* Told of each call that policy has denied, once that is on record; NULL = nobody. Any
     * thread, several at once. */
    void (*denied)(void *arg, const char *tool);
    void *denied_arg;
};

struct invoke_request {
    const struct tool *tool;       /* as resolved; or NULL and */
    const char *name;              /* ... its name, which is looked up, */
    bool unknown;                  /* ... unless the caller knows that it offers no such tool */
    const char *call_id;           /* the model's, NULL = none */
    const char *arguments;         /* JSON text as the model wrote it; "" and NULL: no arguments */
    size_t arguments_length;
    int64_t deadline_ms;           /* clock_mono_ms(), 0 = only the tool's own timeout */
};

/* Whether policy lets the caller call this tool: what will be denied is better not offered. The
 * call itself is decided by itself, and is what counts. */
bool invoke_allows(const struct invoke_caller *caller, const struct tool *tool);

/* 0: *result says how it ended; its content is what the model is told, also when the arguments
 * are wrong, policy says no or the tool does not exist. TOOL_CANCELLED alone has no content:
 * the client has left. AGW_EAUDIT: it could not be recorded and did not run; AGW_ENOMEM. Then
 * the request is to end with that code. The caller clears *result in any case. */
int invoke_tool(const struct invoke_caller *caller, const struct invoke_request *request,
                struct tool_result *result, struct err *e);

/* A row of the trail about what is done for the caller's request. */
struct audit_row invoke_row(const struct invoke_caller *caller, const char *kind);

/* ---- tools that an agent's own module runs ---- */

/* They are not the gateway's to run, but to allow and to record. Policy knows them by name, and as
 * "MODULE:NAME" in local_tools_allowlist. */
struct invoke_own;

struct invoke_own_request {
    const char *name, *module;
    const char *call_id;  /* the model's, NULL = none */
    bool listed;          /* the runner knows that the module has it: its name is a metric's label */
};

/* Decides, and records before anything runs. 0: invoke_own_allowed() says what was decided, and
 * invoke_own_end() is owed. AGW_EAUDIT, AGW_ENOMEM: it must not run, nothing is owed. `caller` and
 * the texts of the request must live until the end. */
int invoke_own_begin(const struct invoke_caller *caller, const struct invoke_own_request *request,
                     struct invoke_own **own, struct err *e);
bool invoke_own_allowed(const struct invoke_own *own);
/* How it went: TOOL_OK, TOOL_FAILED, TOOL_UNAVAILABLE (nobody said) or TOOL_CANCELLED; of a
 * denied one no matter. Records, counts, logs, frees. */
void invoke_own_end(struct invoke_own **own, enum tool_status status);

/* Whether policy allows a tool of the module; no trace is left. */
bool invoke_own_allows(const struct invoke_caller *caller, const char *name,
                       const char *module);

#endif

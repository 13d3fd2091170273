/* SPDX-License-Identifier: MIT */
/* Lets a client talk to an agent. */
#include <stdatomic.h>
#include <stdio.h>

#include "api/chat_request.h"
#include "api/chat_shape.h"
#include "api/chat_stream.h"
#include "api/fields.h"
#include "api/handlers.h"
#include "api/outcome.h"
#include "api/spend.h"
#include "store/errors_ring.h"
#include "util/json_text.h"
#include "util/log.h"

enum { VIOLATIONS_MAX = 8, VIOLATION_NAME_MAX = 100, VIOLATION_SIZE = 256 };

/* Unknown names go through the same decision, so that time tells nothing. */
int chat_target(struct exchange *x)
{
    int status = chat_request_check(x->body, &x->err);

    if (status != 0)
        return status;
    x->streaming = chat_request_streams(x->body);
    if (context_name_agent(x, fields_text(x->body, "model")) != 0)
        return AGW_ENOMEM;
    context_decide(x, x->key);
    if (x->agent == NULL || !x->agent->available)
        return err_set_public(&x->err, AGW_EMODEL, "model",
                              "The model '%.100s' does not exist or you have no access to it.",
                              x->agent_id);
    return x->decision.allowed ? 0 : context_denied(x);
}

struct collector {
    struct exchange *x;
    struct chat_shape shape;
};

/* The row's commit is waited for while the upstream works. No answer could go out before it,
 * and so the thread wakes once, for both. */
static int on_sent(void *arg)
{
    struct collector *c = arg;

    return audit_wait(c->x->ticket, &c->x->err);
}

static int on_completion(void *arg, json_t *completion)
{
    struct collector *c = arg;
    struct exchange *x = c->x;
    json_t *shaped = chat_shape_completion(&c->shape, completion);
    int status;

    if (shaped == NULL)
        return err_set(&x->err, AGW_EUPSTREAM, "a completion without choices");
    status = audit_wait(x->ticket, &x->err);
    spend_tokens(x); /* who has the answer may ask again at once */
    if (status == 0)
        status = response_json(&x->response, 200, shaped);
    json_decref(shaped);
    return status;
}

/* What a run tried that policy forbids. */
struct violations {
    struct exchange *x;
    _Atomic int count;
};

/* A module that asks again and again must not push all else out of the list. */
static void on_denied(void *arg, const char *tool)
{
    struct violations *v = arg;
    struct exchange *x = v->x;
    struct error_entry entry = {.ts = store_now(x->api->store), .component = "agents",
                                .kind = "tool_violation", .severity = "warning",
                                .subject = x->agent_id, .request_id = x->request.id};
    char message[VIOLATION_SIZE];
    struct err e;

    if (atomic_fetch_add(&v->count, 1) >= VIOLATIONS_MAX)
        return;
    snprintf(message, sizeof message, "The agent wanted to call the tool '%.*s', which policy"
             " does not allow it.", VIOLATION_NAME_MAX, tool);
    json_text_repair(message);
    entry.message = message;
    if (errors_ring_add(x->api->store, &entry, 1, &e) != 0)
        log_message(LOG_ERROR, "store.failed", "noting an error: %s", e.message);
}

static int run_agent(struct exchange *x, const struct chat_sink *sink)
{
    bool hosted = x->agent->dropin != NULL;
    struct violations violations = {.x = x};
    const struct config *config = x->policy->config;
    struct invoke_caller caller = {.toolset = x->api->toolset,
                                   .security = &config->security,
                                   .generation = config->generation,
                                   .key = x->key,
                                   .agent = x->agent_id,
                                   .ns = x->ns,
                                   .audit = x->api->audit,
                                   .request_id = x->request.id,
                                   .request_uid = audit_uid(x->ticket),
                                   .route = outcome_route(x),
                                   .source = hosted ? "sdk" : "declarative",
                                   .denied = hosted ? on_denied : NULL,
                                   .denied_arg = &violations,
                                   .watch_fd = fcgi_fd(x->request.x)};
    struct agent_run run = {.agent = x->agent,
                            .request = x->body,
                            .request_id = x->request.id,
                            .streaming = x->streaming,
                            .upstreams = x->api->upstreams,
                            .link = x->api->link,
                            .total_ms = config->gateway.runner.run_timeout_ms,
                            .sink = sink,
                            .caller = &caller,
                            .added_max = (size_t)config->gateway.max_body_bytes,
                            .hops = &x->hops};

    return agent_run(&run, &x->usage, &x->err);
}

static int complete_whole(struct exchange *x)
{
    struct collector collector = {.x = x};
    struct chat_sink sink = {.completion = on_completion,
                             .sent = on_sent,
                             .watch_fd = fcgi_fd(x->request.x),
                             .arg = &collector};

    chat_shape_init(&collector.shape, x->agent_id);
    return run_agent(x, &sink);
}

static int complete_stream(struct exchange *x)
{
    struct chat_stream stream;
    struct chat_sink sink;
    int status;

    chat_stream_init(&stream, x, &sink);
    stream.shape.with_usage = chat_request_wants_usage(x->body);
    status = run_agent(x, &sink);
    if (status == 0)
        status = chat_stream_done(&stream);
    else if (x->response.head_sent && status != AGW_EGONE)
        chat_stream_fail(&stream, status, &x->err);
    chat_stream_free(&stream);
    return status;
}

int chat_complete(struct exchange *x)
{
    x->answered = true;
    return x->streaming ? complete_stream(x) : complete_whole(x);
}

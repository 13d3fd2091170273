/* SPDX-License-Identifier: MIT */
/* Asks the model for a module: it sends what it would send to a provider, and gets the answer so.
 */
#include <stdio.h>
#include <string.h>

#include "agent/hop_usage.h"
#include "agent/run_declarative.h"
#include "agent/sdk_run.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/json_text.h"

enum { TICK_MS = 200, /* so often a call looks whether it was cancelled */ LABEL_MAX = 200 };

struct model_call {
    struct sdk_call *call;
    bool head_sent;
    json_t *latest; /* usage object of a stream: some upstreams count along */
    json_t *answer; /* that is no stream */
    struct sdk_turn turn;
    struct err *e;
    int number;     /* of the run's model calls, from 1 */
};

/* ---- what comes from the upstream ---- */

static bool is_over(const struct model_call *m)
{
    return atomic_load(&m->call->cancelled) || atomic_load(&m->call->r->session.over);
}

static void note_usage(struct model_call *m, const json_t *answer)
{
    json_t *usage = json_object_get(answer, "usage");

    if (!json_is_object(usage))
        return;
    json_decref(m->latest);
    m->latest = json_deep_copy(usage);
}

static int send_head(struct model_call *m)
{
    json_t *message = sdk_call_head(m->call, "llm.head");

    json_object_set_new(message, "status", json_integer(200));
    m->head_sent = true;
    return sdk_call_send(m->call, message);
}

static int send_chunk(const struct model_call *m, json_t *chunk)
{
    json_t *message = sdk_call_head(m->call, "llm.chunk");

    json_object_set(message, "data", chunk);
    return sdk_call_send(m->call, message);
}

static int on_chunk(void *arg, json_t *chunk)
{
    struct model_call *m = arg;
    bool kept = false;
    int status = is_over(m) ? AGW_EGONE : 0;

    note_usage(m, chunk);
    if (status == 0 && !m->head_sent)
        status = send_head(m);
    if (status == 0)
        status = sdk_turn_chunk(&m->turn, chunk, &kept, m->e);
    return status != 0 || kept ? status : send_chunk(m, chunk);
}

static int on_completion(void *arg, json_t *completion)
{
    struct model_call *m = arg;

    note_usage(m, completion);
    json_decref(m->answer);
    m->answer = json_incref(completion);
    return 0;
}

static int on_tick(void *arg)
{
    return is_over(arg) ? AGW_EGONE : 0;
}

/* ---- the call ---- */

/* Faults of the module, not of the request that it answers. */
static int prepare(struct model_call *m, json_t *body, struct err *e)
{
    struct sdk_run *r = m->call->r;

    pthread_mutex_lock(&r->lock);
    m->number = ++r->model_calls;
    pthread_mutex_unlock(&r->lock);
    if (m->number > SDK_MODEL_CALLS_MAX)
        return err_set_public(e, AGW_EAGENT, NULL,
                              "The agent '%.100s' asked its model more than %d times.",
                              r->run->agent->spec->id, SDK_MODEL_CALLS_MAX);
    if (!json_is_object(body) || !json_is_array(json_object_get(body, "messages")))
        return err_set_public(e, AGW_EAGENT, NULL,
                              "The agent '%.100s' asked its model without 'messages'.",
                              r->run->agent->spec->id);
    if (!json_is_string(json_object_get(body, "model")) &&
        json_object_set_new(body, "model", json_string(r->dropin->spec.model)) != 0)
        return err_set(e, AGW_ENOMEM, "a model call");
    if (run_declarative_cap(body, r->run->agent->spec->max_completion_tokens) != 0)
        return err_set(e, AGW_ENOMEM, "a model call");
    return 0;
}

/* What the client has sent wrongly is its fault, whatever the module makes of the failure. */
static int offer(struct model_call *m, json_t *body, struct err *e)
{
    struct sdk_run *r = m->call->r;
    int status = sdk_turn_init(&m->turn, r, json_object_get(body, "tools"),
                               sdk_handover_takes(r, m->call->message), e);

    if (status == 0)
        status = sdk_tools_strip(r, m->number, body, e);
    if (status == 0 && m->turn.takes)
        status = sdk_handover_offer(r, body, e);
    if (status == AGW_EINVALID)
        sdk_run_break(r, e);
    return status;
}

static json_t *detail_of(const struct model_call *m, const json_t *body,
                         const struct chat_usage *usage, int status, const struct err *e)
{
    json_t *detail = json_pack("{s:i,s:s,s:i}", "call", m->number, "status",
                               status == 0 ? "ok" : err_info(status)->name + 1, "attempts",
                               usage->attempts);

    if (status != 0)
        json_object_set_new(detail, "http_status",
                            json_integer(e->status != 0 ? e->status : err_info(status)->status));
    if (usage->prompt_tokens >= 0)
        json_object_set_new(detail, "prompt_tokens", json_integer(usage->prompt_tokens));
    if (usage->completion_tokens >= 0)
        json_object_set_new(detail, "completion_tokens", json_integer(usage->completion_tokens));
    if (json_is_true(json_object_get(body, "stream")))
        json_object_set_new(detail, "stream", json_true());
    return detail;
}

/* Beside the request's own rows, which hold the sums: what counts requests and tokens by them must
 * not count these, so their numbers are in `detail`. Nobody waits for it: the decision is on record
 * before the answer, and this row is before the request's end. */
static void record(const struct model_call *m, const json_t *body, const struct chat_usage *usage,
                   int status, int64_t took_ms, const struct err *failed)
{
    const struct invoke_caller *c = &m->call->r->caller;
    json_t *detail = c->audit == NULL ? NULL : detail_of(m, body, usage, status, failed);
    char *text = detail == NULL ? NULL : json_dumps(detail, JSON_COMPACT);
    char model[LABEL_MAX + 1];
    struct audit_row row = invoke_row(c, "model");
    struct err e;

    row.duration_ms = took_ms;
    row.model = model;
    row.upstream = usage->upstream[0] == '\0' ? NULL : usage->upstream;
    row.detail = text;
    snprintf(model, sizeof model, "%s", sdk_call_text(body, "model"));
    json_text_repair(model);
    if (c->audit != NULL &&
        (text == NULL ? err_set(&e, AGW_ENOMEM, "recording a model call")
                      : audit_close(c->audit, &row, NULL, &e)) != 0)
        sdk_run_break(m->call->r, &e);
    json_decref(detail);
    json_memory_free(text);
}

static void tally(struct model_call *m, const struct chat_usage *usage)
{
    struct sdk_run *r = m->call->r;

    pthread_mutex_lock(&r->lock);
    hop_usage_add(&r->usage, usage);
    if (hop_usage_merge(&r->reported, m->latest) != 0 && r->broken.code == 0)
        err_set(&r->broken, AGW_ENOMEM, "usage");
    if (r->run->hops != NULL)
        r->run->hops->model_calls++;
    pthread_mutex_unlock(&r->lock);
    json_decref(m->latest);
    m->latest = NULL;
}

/* Nobody is told when the module has cancelled it, or the run has ended. */
static void say_failure(struct model_call *m, int status, const struct err *failed)
{
    struct sdk_run *r = m->call->r;
    int shown = failed->status != 0 ? failed->status : err_info(status)->status;
    json_t *message;

    if (status == AGW_EGONE)
        return;
    pthread_mutex_lock(&r->lock);
    r->failed = *failed;
    pthread_mutex_unlock(&r->lock);
    message = sdk_call_head(m->call, "llm.error");
    json_object_set_new(message, "status", json_integer(shown));
    if (failed->retry_after_s > 0)
        json_object_set_new(message, "headers",
                            json_pack("{s:o}", "retry-after",
                                      json_sprintf("%d", failed->retry_after_s)));
    json_object_set_new(message, "body", sdk_error_object(failed));
    sdk_call_send(m->call, message);
}

static int ask(struct model_call *m, json_t *body, struct err *e)
{
    struct sdk_run *r = m->call->r;
    struct chat_sink sink = {.chunk = on_chunk, .completion = on_completion, .tick = on_tick,
                             .tick_ms = TICK_MS, .watch_fd = r->caller.watch_fd, .arg = m};
    struct chat_usage usage = {.prompt_tokens = -1, .completion_tokens = -1};
    struct chat_part part = {.deadline_ms = r->deadline_ms};
    int64_t began = clock_mono_ms();
    int status = chat_call(r->run->upstreams, r->dropin->spec.upstream, body,
                           r->run->request_id, &sink, &part, &usage, e);

    record(m, body, &usage, status, clock_mono_ms() - began, e);
    tally(m, &usage);
    return status;
}

/* What ends it, after it was recorded and counted: a run may end with it. */
static void say_end(struct model_call *m)
{
    json_t *message, *chunk;
    size_t i;

    json_array_foreach(m->turn.kept, i, chunk)
        if (send_chunk(m, chunk) != 0)
            return;
    message = sdk_call_head(m->call, m->answer == NULL ? "llm.end" : "llm.response");

    if (m->answer != NULL && (json_object_set_new(message, "status", json_integer(200)) != 0 ||
                              json_object_set(message, "body", m->answer) != 0)) {
        json_decref(message);
        message = NULL;
    }
    sdk_call_send(m->call, message);
}

void sdk_model_serve(struct sdk_call *call)
{
    struct model_call m = {.call = call};
    json_t *body = json_object_get(call->message, "body");
    struct err e = {0};
    int status = prepare(&m, body, &e);

    m.e = &e;
    if (status == 0)
        status = offer(&m, body, &e);
    if (status == 0)
        status = ask(&m, body, &e);
    if (status == 0)
        status = sdk_turn_end(&m.turn, call->r, &m.answer, &e);
    if (status == 0)
        say_end(&m);
    else
        say_failure(&m, status, &e);
    json_decref(m.answer);
    sdk_turn_free(&m.turn);
}

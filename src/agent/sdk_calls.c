/* SPDX-License-Identifier: MIT */
/* Has threads serve what a module asks for: each may take long, and they come side by side. */
#include <stdlib.h>
#include <string.h>

#include "agent/sdk_run.h"
#include "util/clock.h"
#include "util/crew.h"
#include "util/json_limits.h"
#include "util/permit.h"

/* A module reads what it is told: who listens to it waits so long for that, and no longer. */
enum { PATIENCE_MS = 2000 };

/* ---- messages ---- */

json_t *sdk_call_head(const struct sdk_call *call, const char *type)
{
    return json_pack("{s:s,s:I}", "t", type, "id", call->id);
}

const char *sdk_call_text(const json_t *message, const char *name)
{
    const char *text = json_string_value(json_object_get(message, name));

    return text == NULL ? "" : text;
}

static int send_until(const struct sdk_call *call, json_t *message, int64_t deadline_ms)
{
    struct err e = {0};
    int status = session_send(&call->r->session, message, deadline_ms, &e);

    if (status == AGW_ETOOLARGE)
        err_set(&e, AGW_EAGENT, "a message to the module is too long");
    if (status != 0 && status != AGW_EGONE)
        sdk_run_break(call->r, &e);
    return status;
}

int sdk_call_send(const struct sdk_call *call, json_t *message)
{
    return send_until(call, message, call->r->deadline_ms);
}

static bool is_model_call(const struct sdk_call *call)
{
    return strcmp(wire_type(call->message), "llm.request") == 0;
}

/* In the module's words each is a failure that it can handle. Said by who listens: when it cannot
 * be said soon, the module does not keep to the wire. */
static void refuse(const struct sdk_call *call)
{
    const char *type = wire_type(call->message);
    struct err too_many;
    json_t *message;

    err_set_public(&too_many, AGW_EOVERLOAD, NULL,
                   "A run may have %d calls under way at once, and %d that wait, of %d MiB "
                   "together.", SDK_CALLS_MAX, SDK_WAITING_MAX, SDK_HELD_MAX >> 20);
    if (is_model_call(call)) {
        message = sdk_call_head(call, "llm.error");
        json_object_set_new(message, "status", json_integer(err_info(AGW_EOVERLOAD)->status));
        json_object_set_new(message, "body", sdk_error_object(&too_many));
    } else if (strcmp(type, "tool.call") == 0) {
        message = sdk_call_head(call, "tool.result");
        json_object_set_new(message, "ok", json_false());
        json_object_set_new(message, "error", json_string(too_many.message));
    } else {
        message = sdk_call_head(call, "tool.verdict");
        json_object_set_new(message, "allow", json_false());
        json_object_set_new(message, "message", json_string(too_many.message));
    }
    if (send_until(call, message, clock_mono_ms() + PATIENCE_MS) == AGW_EGONE) {
        err_set(&too_many, AGW_EAGENT, "the module does not read what it is told");
        too_many.status = SDK_CRASH;
        sdk_run_break(call->r, &too_many);
    }
}

/* ---- threads ---- */

static void free_call(struct sdk_call *call)
{
    json_decref(call->message);
    free(call);
}

static void serve(struct sdk_call *call)
{
    if (is_model_call(call))
        sdk_model_serve(call);
    else if (strcmp(wire_type(call->message), "tool.call") == 0)
        sdk_tools_call(call);
    else
        sdk_tools_check(call);
}

/* The rest is under the lock of the run. */
static void go(struct sdk_run *r, struct sdk_call *call)
{
    call->next = r->under_way;
    r->under_way = call;
}

static void leave(struct sdk_run *r, const struct sdk_call *call)
{
    struct sdk_call **place = &r->under_way;

    while (*place != call)
        place = &(*place)->next;
    *place = call->next;
    r->held -= call->weight;
}

/* The place is that of the call, or of the one before it in the list. */
static struct sdk_call *take_waiting(struct sdk_run *r, struct sdk_call **place)
{
    struct sdk_call *call = *place;

    if (call == NULL)
        return NULL;
    *place = call->next;
    if (r->waiting_end == &call->next)
        r->waiting_end = place;
    r->waiting_count--;
    return call;
}

/* Ends the thread's call and finds it another one; without one the thread is counted out, and must
 * not touch the run any more. */
static struct sdk_call *next_call(struct sdk_run *r, struct sdk_call *done)
{
    struct sdk_call *next = NULL;

    pthread_mutex_lock(&r->lock);
    leave(r, done);
    if (!atomic_load(&r->session.over))
        next = take_waiting(r, &r->waiting);
    if (next != NULL)
        go(r, next);
    else if (--r->calls == 0)
        pthread_cond_signal(&r->idle);
    pthread_mutex_unlock(&r->lock);
    free_call(done);
    return next;
}

static void serve_in_thread(void *arg)
{
    struct sdk_call *call = arg;
    struct sdk_run *r = call->r;

    permit_take();
    while (call != NULL) {
        serve(call);
        call = next_call(r, call);
    }
    permit_drop();
}

enum place { NOWHERE, IN_THREAD, IN_QUEUE };

static enum place find_place(struct sdk_run *r, struct sdk_call *call)
{
    enum place place = NOWHERE;

    pthread_mutex_lock(&r->lock);
    if (r->held > 0 && r->held + call->weight > SDK_HELD_MAX) {
        place = NOWHERE;
    } else if (r->calls < SDK_CALLS_MAX) {
        r->calls++;
        go(r, call);
        place = IN_THREAD;
    } else if (r->waiting_count < SDK_WAITING_MAX) {
        *r->waiting_end = call;
        r->waiting_end = &call->next;
        r->waiting_count++;
        place = IN_QUEUE;
    }
    if (place != NOWHERE)
        r->held += call->weight;
    pthread_mutex_unlock(&r->lock);
    return place;
}

/* False: there are too many already, or no thread is to be had. */
static bool start(struct sdk_call *call)
{
    struct sdk_run *r = call->r;
    enum place place = find_place(r, call);

    if (place != IN_THREAD)
        return place == IN_QUEUE;
    if (crew_do(serve_in_thread, call) == 0)
        return true;
    pthread_mutex_lock(&r->lock);
    leave(r, call);
    r->calls--;
    pthread_mutex_unlock(&r->lock);
    return false;
}

/* ---- for who listens ---- */

int sdk_calls_count_tool(struct sdk_run *r, struct err *e)
{
    int calls;

    pthread_mutex_lock(&r->lock);
    calls = ++r->tool_calls;
    if (r->run->hops != NULL)
        r->run->hops->calls++;
    pthread_mutex_unlock(&r->lock);
    if (calls <= SDK_TOOL_CALLS_MAX)
        return 0;
    err_set_public(e, AGW_EAGENT, NULL, "The agent '%.100s' called tools more than %d times.",
                   r->run->agent->spec->id, SDK_TOOL_CALLS_MAX);
    sdk_run_break(r, e);
    return AGW_EAGENT;
}

/* Model calls have a limit of their own, which the module is told of. */
static bool may_ask(struct sdk_run *r, const struct sdk_call *call)
{
    struct err e;

    return is_model_call(call) || sdk_calls_count_tool(r, &e) == 0;
}

void sdk_calls_begin(struct sdk_run *r, json_t *message)
{
    struct sdk_call *call = calloc(1, sizeof *call);
    struct err e;

    if (call == NULL) {
        err_set(&e, AGW_ENOMEM, "a call of a module");
        sdk_run_break(r, &e);
        json_decref(message);
        return;
    }
    call->r = r;
    call->message = message;
    call->id = json_integer_value(json_object_get(message, "id"));
    call->weight = json_limits_weight(message);
    atomic_init(&call->cancelled, false);
    if (may_ask(r, call)) {
        if (start(call))
            return;
        refuse(call);
    }
    free_call(call);
}

void sdk_calls_cancel(struct sdk_run *r, const json_t *message)
{
    json_int_t id = json_integer_value(json_object_get(message, "id"));
    struct sdk_call **place, *waited = NULL;

    pthread_mutex_lock(&r->lock);
    for (struct sdk_call *call = r->under_way; call != NULL; call = call->next)
        if (call->id == id && is_model_call(call))
            atomic_store(&call->cancelled, true);
    place = &r->waiting;
    while (*place != NULL && ((*place)->id != id || !is_model_call(*place)))
        place = &(*place)->next;
    waited = take_waiting(r, place);
    if (waited != NULL)
        r->held -= waited->weight;
    pthread_mutex_unlock(&r->lock);
    if (waited != NULL)
        free_call(waited);
}

void sdk_calls_end(struct sdk_run *r)
{
    struct sdk_call *call;

    permit_wait_begin();
    pthread_mutex_lock(&r->lock);
    while (r->calls > 0)
        pthread_cond_wait(&r->idle, &r->lock);
    pthread_mutex_unlock(&r->lock);
    permit_wait_end();
    while ((call = take_waiting(r, &r->waiting)) != NULL)
        free_call(call);
}

/* SPDX-License-Identifier: MIT */
/* Keeps the state of a run that its threads share, and its connection to the gateway. */
#include "runnerd/native/native_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/json_memory.h"
#include "util/json_text.h"

enum {
    HIGH_WATER = 1 << 20,    /* bytes that wait to be sent: then the agent waits, too */
    DELTA_MAX = 256 << 10,
    LOG_MAX = 2000,
    INBOX_LOW = 64,
    STUBBORN_MS = 10000      /* so long a cancelled run may go on */
};

static _Thread_local struct native_visit *innermost;

/* ---- life ---- */

struct agw_run *native_run_new(struct native_module *module, int fd, int wake_fd)
{
    struct agw_run *run = calloc(1, sizeof *run);
    struct err e;

    if (run == NULL) {
        close(fd);
        return NULL;
    }
    run->module = module;
    run->wake_fd = wake_fd;
    run->heartbeat_ms = NATIVE_HEARTBEAT_MS;
    run->deadline_ms = run->next_beat_ms = INT64_MAX;
    run->failure.retry_after = -1;
    buf_init(&run->said, NATIVE_TEXT_MAX);
    buf_init(&run->refused, NATIVE_TEXT_MAX);
    pthread_mutex_init(&run->lock, NULL);
    clock_condition_init(&run->changed);
    wire_init(&run->wire, fd, NULL);
    native_run_send(run, json_pack("{s:s,s:i,s:s,s:s,s:i}", "t", "hello", "v", WIRE_VERSION,
                                   "lang", "native", "sdk", PACKAGE_VERSION, "pid",
                                   (int)getpid()), &e);
    return run;
}

void native_run_free(struct agw_run **slot)
{
    struct agw_run *run = *slot;

    while (run->texts != NULL) {
        struct agw_text *text = run->texts;

        run->texts = text->next;
        buf_free(&text->buf);
        free(text);
    }
    json_decref(run->start);
    json_decref(run->gateway_tools);
    json_decref(run->messages);
    json_decref(run->params);
    json_memory_free(run->messages_text);
    json_memory_free(run->params_text);
    json_memory_free(run->context_text);
    free(run->input_text);
    buf_free(&run->said);
    buf_free(&run->refused);
    wire_close(&run->wire);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->lock);
    free(run);
    *slot = NULL;
}

void native_run_cancel(struct agw_run *run, const char *reason)
{
    pthread_mutex_lock(&run->lock);
    if (!atomic_load(&run->cancelled)) {
        snprintf(run->reason, sizeof run->reason, "%s", reason);
        json_text_repair(run->reason);
        run->cancelled_ms = clock_mono_ms();
        atomic_store(&run->cancelled, true);
    }
    for (struct native_call *c = run->calls; c != NULL; c = c->next)
        pthread_cond_signal(&c->arrived);
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

bool native_run_is_silent(struct agw_run *run, int64_t ms)
{
    int64_t now = clock_mono_ms();
    bool silent = atomic_load(&run->cancelled) && !atomic_load(&run->finished) &&
                  now - run->cancelled_ms > STUBBORN_MS;

    pthread_mutex_lock(&run->lock);
    for (const struct native_visit *v = run->visits; v != NULL; v = v->next)
        silent = silent || now - atomic_load(&v->since) > ms;
    pthread_mutex_unlock(&run->lock);
    return silent;
}

/* ---- what the gateway says ---- */

static int64_t number_in(const json_t *object, const char *name, int64_t otherwise)
{
    json_int_t number = json_integer_value(json_object_get(object, name));

    return number > 0 ? number : otherwise;
}

static void on_hello(struct agw_run *run, const json_t *message)
{
    struct err e;

    if (json_integer_value(json_object_get(message, "v")) != WIRE_VERSION) {
        native_run_send(run, json_pack("{s:s,s:s,s:i,s:s,s:s}", "t", "run.error", "class",
                                       "internal", "status", 500, "code", "wire_version", "message",
                                       "this host speaks version 1 of the wire"), &e);
        native_run_cancel(run, "version");
        return;
    }
    run->heartbeat_ms = number_in(json_object_get(message, "limits"), "heartbeat_ms",
                                  NATIVE_HEARTBEAT_MS);
    json_decref(run->gateway_tools);
    run->gateway_tools = json_incref(json_object_get(message, "gateway_tools"));
}

/* The messages as models get them; `name` is for clients alone. */
static json_t *messages_of(const json_t *start)
{
    json_t *messages = json_deep_copy(json_object_get(start, "messages")), *message;
    size_t i;

    json_array_foreach(messages, i, message)
        json_object_del(message, "name");
    return json_is_array(messages) ? messages : json_array();
}

/* The client's tools are not the agent's to call: the gateway hands calls of them to the client. */
static json_t *params_of(const json_t *start)
{
    static const char *const not_for_models[] = {"tools", "tool_choice", "parallel_tool_calls",
                                                 "functions", "function_call", "stream",
                                                 "stream_options", "n"};
    json_t *params = json_deep_copy(json_object_get(start, "params"));

    for (size_t i = 0; i < sizeof not_for_models / sizeof not_for_models[0]; i++)
        json_object_del(params, not_for_models[i]);
    return json_is_object(params) ? params : json_object();
}

static char *input_of(const json_t *messages)
{
    struct buf text;
    const json_t *content = NULL, *part;
    size_t i;

    for (i = json_array_size(messages); i-- > 0 && content == NULL;) {
        const json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));

        if (role != NULL && strcmp(role, "user") == 0)
            content = json_object_get(message, "content");
    }
    buf_init(&text, WIRE_LINE_MAX);
    if (json_is_string(content))
        buf_puts(&text, json_string_value(content));
    json_array_foreach((json_t *)content, i, part)
        if (json_is_string(json_object_get(part, "text")))
            buf_puts(&text, json_string_value(json_object_get(part, "text")));
    return text.length == 0 ? calloc(1, 1) : buf_take(&text);
}

static const char *text_in(const json_t *object, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? otherwise : text;
}

static void begin(struct agw_run *run, json_t *start)
{
    const json_t *context = json_object_get(start, "context");
    int64_t left = number_in(start, "deadline_ms", 0);

    run->start = json_incref(start);
    run->attr = text_in(json_object_get(start, "agent"), "attr", "agent");
    run->model = text_in(start, "model", "default");
    run->streaming = json_is_true(json_object_get(start, "stream"));
    run->messages = messages_of(start);
    run->params = params_of(start);
    run->messages_text = json_dumps(run->messages, JSON_COMPACT);
    run->params_text = json_dumps(run->params, JSON_COMPACT);
    run->context_text = context == NULL ? NULL : json_dumps(context, JSON_COMPACT);
    run->input_text = input_of(run->messages);
    if (left > 0)
        run->deadline_ms = clock_mono_ms() + left;
    run->next_beat_ms = clock_mono_ms() + run->heartbeat_ms;
}

/* Takes `message`: from then on it is that thread's alone. */
static void hand_out(struct agw_run *run, json_t *message)
{
    json_int_t id = json_integer_value(json_object_get(message, "id"));
    struct native_call *call;

    pthread_mutex_lock(&run->lock);
    call = run->calls;
    while (call != NULL && call->id != id)
        call = call->next;
    if (call == NULL) {
        json_decref(message);
    } else if (json_array_append_new(call->inbox, message) == 0) {
        run->waiting++;
        pthread_cond_signal(&call->arrived);
    }
    pthread_mutex_unlock(&run->lock);
}

bool native_run_take(struct agw_run *run, json_t *message)
{
    const char *type = wire_type(message);
    bool starts = strcmp(type, "run.start") == 0 && run->start == NULL;

    if (strcmp(type, "hello") == 0 && run->start == NULL) {
        on_hello(run, message);
    } else if (starts) {
        begin(run, message);
    } else if (strcmp(type, "run.cancel") == 0) {
        native_run_cancel(run, text_in(message, "reason", "cancelled"));
    } else if (json_object_get(message, "id") != NULL) {
        hand_out(run, message);
        return false;
    }
    json_decref(message);
    return starts;
}

/* ---- sending ---- */

static void wake(const struct agw_run *run)
{
    uint64_t one = 1;
    ssize_t written = write(run->wake_fd, &one, sizeof one);

    (void)written; /* full: it is awake */
}

static int send_locked(struct agw_run *run, const json_t *message, struct err *e)
{
    int status = message == NULL ? err_set(e, AGW_ENOMEM, "a message")
                 : run->gone     ? err_set(e, AGW_EGONE, "the gateway is gone")
                                 : wire_send(&run->wire, message, e);

    if (status == 0 && wire_wants_to_send(&run->wire))
        wake(run);
    return status;
}

int native_run_send(struct agw_run *run, json_t *message, struct err *e)
{
    int status;

    pthread_mutex_lock(&run->lock);
    status = send_locked(run, message, e);
    pthread_mutex_unlock(&run->lock);
    json_decref(message);
    return status;
}

static int send_delta(struct agw_run *run, const char *field, const char *text, size_t length,
                      struct err *e)
{
    json_t *message = json_pack("{s:s,s:o}", "t", "delta", field, json_stringn(text, length));
    int status;

    pthread_mutex_lock(&run->lock);
    while (!atomic_load(&run->cancelled) && !run->gone && run->wire.out.length > HIGH_WATER)
        pthread_cond_wait(&run->changed, &run->lock);
    status = atomic_load(&run->cancelled) ? err_set(e, AGW_EGONE, "the run is cancelled")
                                          : send_locked(run, message, e);
    pthread_mutex_unlock(&run->lock);
    json_decref(message);
    return status;
}

int native_run_delta(struct agw_run *run, const char *field, const char *text, size_t length,
                     struct err *e)
{
    int status = 0;

    while (length > 0 && status == 0) {
        size_t piece = length > DELTA_MAX ? DELTA_MAX : length;

        while (piece < length && ((unsigned char)text[piece] & 0xC0) == 0x80)
            piece--; /* not within a character */
        status = send_delta(run, field, text, piece, e);
        text += piece;
        length -= piece;
    }
    return status;
}

void native_run_log(struct agw_run *run, const char *level, const char *format, ...)
{
    char text[LOG_MAX];
    struct err e;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_text_repair(text);
    native_run_send(run, json_pack("{s:s,s:s,s:s}", "t", "log", "level", level, "message", text),
                    &e);
}

int native_run_fail(struct agw_run *run, int code, const char *class, int status,
                    const char *error_code, const char *format, ...)
{
    struct native_failure failure = {.status = status, .retry_after = -1};
    va_list args;

    snprintf(failure.class, sizeof failure.class, "%s", class);
    snprintf(failure.code, sizeof failure.code, "%s", error_code);
    va_start(args, format);
    vsnprintf(failure.message, sizeof failure.message, format, args);
    va_end(args);
    json_text_repair(failure.code);
    json_text_repair(failure.message);
    pthread_mutex_lock(&run->lock);
    run->failure = failure;
    pthread_mutex_unlock(&run->lock);
    return code;
}

/* ---- questions ---- */

int native_call_begin(struct agw_run *run, struct native_call *call, json_t *message,
                      struct err *e)
{
    int status;

    *call = (struct native_call){.inbox = json_array()};
    clock_condition_init(&call->arrived);
    native_visit_wait(run);
    pthread_mutex_lock(&run->lock);
    call->id = ++run->last_id;
    call->next = run->calls;
    run->calls = call;
    if (call->inbox == NULL || json_object_set_new(message, "id", json_integer(call->id)) != 0)
        status = err_set(e, AGW_ENOMEM, "a question to the gateway");
    else if (atomic_load(&run->cancelled))
        status = err_set(e, AGW_EGONE, "the run is cancelled");
    else
        status = send_locked(run, message, e);
    pthread_mutex_unlock(&run->lock);
    json_decref(message);
    return status;
}

int native_call_next(struct agw_run *run, struct native_call *call, json_t **message,
                     struct err *e)
{
    int status = 0;

    pthread_mutex_lock(&run->lock);
    while (json_array_size(call->inbox) == 0 && !atomic_load(&run->cancelled))
        pthread_cond_wait(&call->arrived, &run->lock);
    if (atomic_load(&run->cancelled)) {
        status = err_set(e, AGW_EGONE, "the run is cancelled");
    } else {
        *message = json_incref(json_array_get(call->inbox, 0));
        json_array_remove(call->inbox, 0);
        if (--run->waiting == INBOX_LOW)
            wake(run);
    }
    pthread_mutex_unlock(&run->lock);
    return status;
}

void native_call_end(struct agw_run *run, struct native_call *call)
{
    struct native_call **at = &run->calls;

    pthread_mutex_lock(&run->lock);
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    if (run->waiting > INBOX_LOW && run->waiting - json_array_size(call->inbox) <= INBOX_LOW)
        wake(run);
    run->waiting -= json_array_size(call->inbox);
    pthread_mutex_unlock(&run->lock);
    json_decref(call->inbox);
    pthread_cond_destroy(&call->arrived);
    native_visit_back(run);
}

/* ---- visits ---- */

void native_visit_begin(struct agw_run *run, const struct descriptor *d, int depth,
                        struct native_visit *v)
{
    *v = (struct native_visit){.run = run, .descriptor = d, .outer = innermost, .depth = depth};
    atomic_init(&v->since, clock_mono_ms());
    if (innermost != NULL)
        atomic_store(&innermost->since, INT64_MAX);
    innermost = v;
    pthread_mutex_lock(&run->lock);
    v->next = run->visits;
    run->visits = v;
    pthread_mutex_unlock(&run->lock);
}

void native_visit_end(struct native_visit *v)
{
    struct native_visit **at = &v->run->visits;

    pthread_mutex_lock(&v->run->lock);
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    pthread_mutex_unlock(&v->run->lock);
    innermost = v->outer;
    if (innermost != NULL)
        atomic_store(&innermost->since, clock_mono_ms());
}

struct native_visit *native_visit_of(const struct agw_run *run)
{
    return innermost != NULL && innermost->run == run ? innermost : NULL;
}

void native_visit_wait(const struct agw_run *run)
{
    if (native_visit_of(run) != NULL)
        atomic_store(&innermost->since, INT64_MAX);
}

void native_visit_back(const struct agw_run *run)
{
    if (native_visit_of(run) != NULL)
        atomic_store(&innermost->since, clock_mono_ms());
}

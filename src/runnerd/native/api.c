/* SPDX-License-Identifier: MIT */
/* The functions of agent_gateway/agent.h: what code of an agent may call of its host. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runnerd/native/native_calls.h"
#include "runnerd/native/native_loop.h"
#include "util/json_limits.h"
#include "util/json_memory.h"

static int given(const struct agw_run *run, int status)
{
    native_visit_back(run);
    return atomic_load(&run->cancelled) ? AGW_CANCELLED : status == 0 ? AGW_DONE : AGW_FAILED;
}

/* ---- the request ---- */

const char *agw_messages(struct agw_run *run)
{
    return run->messages_text;
}

const char *agw_input(struct agw_run *run)
{
    return run->input_text;
}

const char *agw_params(struct agw_run *run)
{
    return run->params_text;
}

const char *agw_context(struct agw_run *run)
{
    return run->context_text == NULL ? "{}" : run->context_text;
}

const char *agw_model(struct agw_run *run)
{
    return run->model;
}

bool agw_cancelled(struct agw_run *run)
{
    return given(run, 0) == AGW_CANCELLED;
}

int agw_wait(struct agw_run *run, unsigned milliseconds)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    native_visit_wait(run);
    pthread_mutex_lock(&run->lock);
    while (!atomic_load(&run->cancelled) &&
           pthread_cond_timedwait(&run->changed, &run->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&run->lock);
    return given(run, 0);
}

void agw_log(struct agw_run *run, const char *level, const char *format, ...)
{
    va_list args;
    char *text;
    int length;

    va_start(args, format);
    length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        return;
    native_run_log(run, level, "%s", text);
    free(text);
    native_visit_back(run);
}

/* ---- texts ---- */

int agw_text_add_bytes(struct agw_text *text, const void *bytes, size_t length)
{
    return buf_append(&text->buf, bytes, length) == 0 ? AGW_DONE : AGW_FAILED;
}

int agw_text_add(struct agw_text *text, const char *more)
{
    return agw_text_add_bytes(text, more, strlen(more));
}

int agw_text_addf(struct agw_text *text, const char *format, ...)
{
    va_list args;
    char *made;
    int length, status;

    va_start(args, format);
    length = vasprintf(&made, format, args);
    va_end(args);
    if (length < 0)
        return AGW_FAILED;
    status = agw_text_add_bytes(text, made, (size_t)length);
    free(made);
    return status;
}

int agw_text_add_json(struct agw_text *text, const char *more)
{
    struct tool_result clean = {0};
    json_t *value = tool_result_put(&clean, TOOL_OK, more, strlen(more), NATIVE_TEXT_MAX)
                        ? json_stringn(clean.content, clean.length) : NULL;
    char *made = json_dumps(value, JSON_ENCODE_ANY);
    int status = made == NULL ? AGW_FAILED : agw_text_add(text, made);

    json_memory_free(made);
    json_decref(value);
    tool_result_clear(&clean);
    return status;
}

const char *agw_text_get(const struct agw_text *text)
{
    return buf_text(&text->buf);
}

void agw_text_clear(struct agw_text *text)
{
    buf_reset(&text->buf);
}

struct agw_text *agw_text_new(struct agw_run *run)
{
    struct agw_text *text = calloc(1, sizeof *text);

    if (text == NULL)
        return NULL;
    buf_init(&text->buf, NATIVE_TEXT_MAX);
    pthread_mutex_lock(&run->lock);
    text->next = run->texts;
    run->texts = text;
    pthread_mutex_unlock(&run->lock);
    return text;
}

/* ---- models ---- */

struct listener {
    struct agw_text *answer;
    int (*take)(void *arg, const char *chunk);
    void *arg;
    int said;  /* by take() */
    struct agw_run *run;
};

static int on_completion(void *arg, json_t *completion)
{
    struct listener *l = arg;
    char *text = json_dumps(completion, JSON_COMPACT);
    int status = text == NULL ? -1 : buf_puts(&l->answer->buf, text);

    json_memory_free(text);
    return status == 0 ? 0 : AGW_ENOMEM;
}

/* The agent's code runs while it listens. */
static int on_chunk(void *arg, json_t *chunk)
{
    struct listener *l = arg;
    char *text = json_dumps(chunk, JSON_COMPACT);

    if (text == NULL)
        return AGW_ENOMEM;
    native_visit_back(l->run);
    l->said = l->take(l->arg, text);
    native_visit_wait(l->run);
    json_memory_free(text);
    return l->said == AGW_DONE ? 0 : AGW_EAGENT;
}

static json_t *request_of(struct agw_run *run, const char *text, bool streaming, struct err *e)
{
    json_t *body;

    if (json_limits_parse(text, strlen(text), &json_limits_default, &body, e) != 0)
        return NULL;
    if (!json_is_object(body)) {
        json_decref(body);
        return NULL;
    }
    if (json_object_get(body, "model") == NULL)
        json_object_set_new(body, "model", json_string(run->model));
    json_object_set_new(body, "stream", json_boolean(streaming));
    if (streaming)
        json_object_set_new(body, "stream_options", json_pack("{s:b}", "include_usage", 1));
    return body;
}

static void describe_failure(struct agw_run *run, struct agw_text *answer)
{
    json_t *what;
    char *text;

    pthread_mutex_lock(&run->lock);
    what = json_pack("{s:i,s:s,s:s}", "status", run->failure.status, "code", run->failure.code,
                     "message", run->failure.message);
    pthread_mutex_unlock(&run->lock);
    text = what == NULL ? NULL : json_dumps(what, JSON_COMPACT);
    if (text != NULL) {
        buf_reset(&answer->buf);
        buf_puts(&answer->buf, text);
    }
    json_memory_free(text);
    json_decref(what);
}

static int ask(struct listener *l, const char *request)
{
    struct agw_run *run = l->run;
    struct chat_sink sink = {.chunk = on_chunk, .completion = on_completion, .watch_fd = -1,
                             .arg = l};
    struct chat_usage usage;
    struct err e = {0};
    json_t *body = request_of(run, request, l->take != NULL, &e);
    int status;

    if (body == NULL) {
        native_run_fail(run, 0, "internal", 500, "agent_error",
                        "the agent asked its model with what is no JSON object");
        status = AGW_EINVALID;
    } else {
        status = native_calls_model(run, body, false, &sink, &usage, &e);
    }
    json_decref(body);
    if (status != 0 && l->answer != NULL)
        describe_failure(run, l->answer);
    return given(run, l->said != AGW_DONE ? 0 : status);
}

int agw_ask(struct agw_run *run, const char *request, struct agw_text *answer)
{
    struct listener l = {.answer = answer, .run = run};

    buf_reset(&answer->buf);
    return ask(&l, request);
}

int agw_ask_stream(struct agw_run *run, const char *request,
                   int (*take)(void *arg, const char *chunk), void *arg)
{
    struct listener l = {.take = take, .arg = arg, .run = run};
    int status = ask(&l, request);

    return status == AGW_DONE ? l.said : status;
}

/* ---- agents and tools ---- */

static const struct descriptor *descriptor_here(struct agw_run *run, int *depth)
{
    const struct native_visit *visit = native_visit_of(run);

    *depth = visit == NULL ? 0 : visit->depth;
    return visit == NULL ? native_module_export(run->module, run->attr) : visit->descriptor;
}

static const struct descriptor *ready(struct agw_run *run, const struct agw_agent *agent)
{
    json_t *problems = json_array();
    const struct descriptor *d = native_module_find(run->module, agent, problems);
    const char *what = json_string_value(json_array_get(problems, 0));

    if (d == NULL)
        native_run_log(run, "error", "agw_run_agent: %s", what == NULL ? "no memory" : what);
    json_decref(problems);
    return d;
}

int agw_run_agent(struct agw_run *run, const struct agw_agent *agent, const char *input,
                  struct agw_text *answer)
{
    int depth, status;
    const struct descriptor *d;
    struct native_answer said;
    struct err e = {0};
    json_t *messages;

    (void)descriptor_here(run, &depth);
    d = depth >= NATIVE_DEPTH_MAX ? NULL : ready(run, agent);
    messages = d == NULL ? NULL : json_pack("[{s:s,s:s}]", "role", "user", "content", input);
    if (messages == NULL)
        return AGW_FAILED;
    native_visit_wait(run);
    native_answer_init(&said);
    status = native_loop_run(run, d, messages, depth + 1, &said, &e);
    if (status == 0 && said.refusal.length > 0)
        status = AGW_EAGENT;
    if (status == 0)
        status = buf_append(&answer->buf, buf_text(&said.text), said.text.length);
    native_answer_free(&said);
    json_decref(messages);
    return given(run, status);
}

int agw_call_tool(struct agw_run *run, const char *name, const char *arguments,
                  struct agw_text *result)
{
    int depth, status;
    const struct descriptor *d = descriptor_here(run, &depth);
    struct native_tool_call own = {
        .descriptor = d, .tool = d == NULL ? NULL : descriptor_tool(d, name), .depth = depth,
        .call_id = "", .arguments = arguments == NULL ? "" : arguments,
        .arguments_length = arguments == NULL ? 0 : strlen(arguments)};
    struct tool_result got = {0};
    struct err e = {0};

    native_visit_wait(run);
    status = own.tool != NULL ? native_calls_own(run, &own, &got, &e)
                              : native_calls_gateway(run, name, "", own.arguments, &got, &e);
    if (got.content != NULL)
        buf_append(&result->buf, got.content, got.length);
    if (status == 0 && got.status != TOOL_OK)
        status = AGW_EAGENT;
    tool_result_clear(&got);
    return given(run, status);
}

/* ---- the answer ---- */

/* Bytes of an agent need not be UTF-8. */
static int say(struct agw_run *run, const char *field, const char *text, struct buf *keep)
{
    struct tool_result clean = {0};
    struct err e;
    int status = tool_result_put(&clean, TOOL_OK, text, strlen(text), NATIVE_TEXT_MAX) ? 0 : -1;

    native_visit_wait(run);
    if (status == 0 && keep != NULL) {
        pthread_mutex_lock(&run->lock);
        status = buf_append(keep, clean.content, clean.length);
        pthread_mutex_unlock(&run->lock);
    }
    if (status == 0 && run->streaming)
        status = native_run_delta(run, field, clean.content, clean.length, &e);
    tool_result_clear(&clean);
    return given(run, status);
}

int agw_say(struct agw_run *run, const char *text)
{
    return say(run, "content", text, &run->said);
}

int agw_say_reasoning(struct agw_run *run, const char *text)
{
    return say(run, "reasoning_content", text, NULL);
}

int agw_refuse(struct agw_run *run, const char *text)
{
    return say(run, "refusal", text, &run->refused);
}

/* ---- reading JSON ---- */

/* One step of a pointer, with ~0 and ~1. -> what it leads to, borrowed. */
static json_t *step(const json_t *value, const char *token, size_t length)
{
    char key[256], *end;
    size_t used = 0;
    unsigned long index;

    for (size_t i = 0; i < length && used + 1 < sizeof key; i++) {
        key[used] = token[i];
        if (token[i] == '~' && i + 1 < length && (token[i + 1] == '0' || token[i + 1] == '1'))
            key[used] = token[++i] == '0' ? '~' : '/';
        used++;
    }
    key[used] = '\0';
    if (json_is_object(value))
        return json_object_get(value, key);
    index = strtoul(key, &end, 10);
    return used > 0 && *end == '\0' && key[0] >= '0' && key[0] <= '9' ? json_array_get(value, index)
                                                                      : NULL;
}

/* A new reference, or NULL. */
static json_t *value_at(const char *json, const char *pointer)
{
    json_t *whole, *value;
    struct err e;

    if (json == NULL ||
        json_limits_parse(json, strlen(json), &json_limits_default, &whole, &e) != 0)
        return NULL;
    value = whole;
    while (value != NULL && *pointer != '\0') {
        size_t length = strcspn(pointer + 1, "/");

        value = *pointer == '/' ? step(value, pointer + 1, length) : NULL;
        pointer += 1 + length;
    }
    json_incref(value);
    json_decref(whole);
    return value;
}

int agw_json_string(const char *json, const char *pointer, char *out, size_t size)
{
    json_t *value = value_at(json, pointer);
    bool good = json_is_string(value) && json_string_length(value) < size;

    if (good)
        memcpy(out, json_string_value(value), json_string_length(value) + 1);
    json_decref(value);
    return good ? AGW_DONE : AGW_FAILED;
}

int agw_json_integer(const char *json, const char *pointer, long long *out)
{
    json_t *value = value_at(json, pointer);
    bool good = json_is_integer(value);

    if (good)
        *out = json_integer_value(value);
    json_decref(value);
    return good ? AGW_DONE : AGW_FAILED;
}

int agw_json_number(const char *json, const char *pointer, double *out)
{
    json_t *value = value_at(json, pointer);
    bool good = json_is_number(value);

    if (good)
        *out = json_number_value(value);
    json_decref(value);
    return good ? AGW_DONE : AGW_FAILED;
}

int agw_json_bool(const char *json, const char *pointer, bool *out)
{
    json_t *value = value_at(json, pointer);
    bool good = json_is_boolean(value);

    if (good)
        *out = json_is_true(value);
    json_decref(value);
    return good ? AGW_DONE : AGW_FAILED;
}

int agw_json_get(const char *json, const char *pointer, struct agw_text *out)
{
    json_t *value = value_at(json, pointer);
    char *text = NULL;
    int status = AGW_FAILED;

    if (json_is_string(value)) {
        status = agw_text_add_bytes(out, json_string_value(value), json_string_length(value));
    } else if (value != NULL) {
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        status = text == NULL ? AGW_FAILED : agw_text_add(out, text);
    }
    json_memory_free(text);
    json_decref(value);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* Puts questions to the gateway and waits for the answers. */
#include "runnerd/native/native_calls.h"

#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/json_limits.h"
#include "util/json_memory.h"

enum { BAD_GATEWAY = 502, SERVER_ERROR = 500 };

static const char *text_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

/* ---- models ---- */

struct answer {
    struct agw_run *run;
    const struct chat_sink *sink;
    json_t *usage;  /* the last one reported */
    bool over;
};

static double retry_after(const json_t *headers)
{
    const json_t *value = json_object_get(headers, "retry-after");

    if (json_is_string(value) && json_string_length(value) > 0)
        return strtod(json_string_value(value), NULL);
    return json_is_number(value) ? json_number_value(value) : -1;
}

static int failed(struct answer *a, const json_t *message, struct err *e)
{
    const json_t *error = json_object_get(json_object_get(message, "body"), "error");
    json_int_t status = json_integer_value(json_object_get(message, "status"));
    const char *text = text_in(error, "message");

    if (text[0] == '\0')
        text = "the model's provider failed";
    native_run_fail(a->run, AGW_EUPSTREAM, "upstream", status >= 400 && status < 600 ? (int)status
                                                                                   : BAD_GATEWAY,
                    text_in(error, "code"), "%s", text);
    pthread_mutex_lock(&a->run->lock);
    a->run->failure.retry_after = retry_after(json_object_get(message, "headers"));
    pthread_mutex_unlock(&a->run->lock);
    return err_set(e, AGW_EUPSTREAM, "%s", text);
}

static void note_usage(struct answer *a, const json_t *said)
{
    json_t *usage = json_object_get(said, "usage");

    if (!json_is_object(usage))
        return;
    json_decref(a->usage);
    a->usage = json_incref(usage);
}

static int take(struct answer *a, json_t *message, struct err *e)
{
    const char *type = wire_type(message);
    json_t *data = json_object_get(message, "data"), *body = json_object_get(message, "body");

    if (strcmp(type, "llm.chunk") == 0 && json_is_object(data)) {
        note_usage(a, data);
        return a->sink->chunk(a->sink->arg, data);
    }
    if (strcmp(type, "llm.error") == 0)
        return failed(a, message, e);
    if (strcmp(type, "llm.response") == 0) {
        a->over = true;
        note_usage(a, body);
        return a->sink->completion(a->sink->arg, body);
    }
    a->over = strcmp(type, "llm.end") == 0;
    return 0;
}

static int64_t tokens(const json_t *usage, const char *name)
{
    json_int_t count = json_integer_value(json_object_get(usage, name));

    return count < 0 ? 0 : count;
}

static void add_usage(struct answer *a, struct chat_usage *usage)
{
    *usage = (struct chat_usage){.prompt_tokens = -1, .completion_tokens = -1, .attempts = 1};
    if (a->usage == NULL)
        return;
    usage->prompt_tokens = tokens(a->usage, "prompt_tokens");
    usage->completion_tokens = tokens(a->usage, "completion_tokens");
    pthread_mutex_lock(&a->run->lock);
    a->run->prompt_tokens += usage->prompt_tokens;
    a->run->completion_tokens += usage->completion_tokens;
    pthread_mutex_unlock(&a->run->lock);
    json_decref(a->usage);
}

int native_calls_model(struct agw_run *run, json_t *body, bool main,
                       const struct chat_sink *sink, struct chat_usage *usage, struct err *e)
{
    struct answer a = {.run = run, .sink = sink};
    struct native_call call;
    int status = native_call_begin(run, &call,
                                   json_pack("{s:s,s:s,s:b,s:O}", "t", "llm.request", "api",
                                             "chat/completions", "main", main, "body", body), e);

    while (status == 0 && !a.over) {
        json_t *message;

        status = native_call_next(run, &call, &message, e);
        if (status != 0)
            break;
        status = take(&a, message, e);
        json_decref(message);
    }
    if (status != 0 && status != AGW_EUPSTREAM) {
        struct err ignored;

        native_run_send(run, json_pack("{s:s,s:I}", "t", "llm.cancel", "id", call.id), &ignored);
    }
    native_call_end(run, &call);
    add_usage(&a, usage);
    return status;
}

/* ---- tools of the module ---- */

static int say(struct tool_result *result, enum tool_status status, const char *text, struct err *e)
{
    return tool_result_say(result, status, "%s", text) ? 0 : err_set(e, AGW_ENOMEM, "a result");
}

/* As a value if it is JSON, else as the model wrote it. */
static json_t *shown_arguments(const struct native_tool_call *call)
{
    json_t *value;
    struct err e;

    if (json_limits_parse(call->arguments, call->arguments_length, &json_limits_default, &value,
                          &e) == 0)
        return value;
    return json_stringn(call->arguments, call->arguments_length);
}

/* Asks for leave: *allowed, or *result says why not. */
static int check(struct agw_run *run, const struct native_tool_call *call, json_int_t *id,
                 bool *allowed, struct tool_result *result, struct err *e)
{
    struct native_call question;
    json_t *verdict = NULL;
    int status = native_call_begin(
        run, &question,
        json_pack("{s:s,s:s,s:s,s:s,s:o}", "t", "tool.check", "name", call->tool->tool->name,
                  "module", "agent", "call_id", call->call_id, "args", shown_arguments(call)), e);

    *id = question.id;
    if (status == 0)
        status = native_call_next(run, &question, &verdict, e);
    native_call_end(run, &question);
    if (status != 0)
        return status;
    *allowed = json_is_true(json_object_get(verdict, "allow"));
    if (!*allowed) {
        const char *why = text_in(verdict, "message");

        status = say(result, TOOL_DENIED,
                     why[0] == '\0' ? "This tool is not allowed here by policy." : why, e);
    }
    json_decref(verdict);
    return status;
}

/* What the agents SDKs say, so that a model sees no difference. */
static int tell_failure(struct agw_run *run, const char *name, const char *text,
                        struct tool_result *result, struct err *e)
{
    native_run_log(run, "warning", "the tool %s failed: %s", name, text);
    return tool_result_say(result, TOOL_FAILED, "An error occurred while running the tool. Please"
                                                " try again.%s%s",
                           text[0] == '\0' ? "" : " Error: ", text)
               ? 0 : err_set(e, AGW_ENOMEM, "a result");
}

static int tell(struct agw_run *run, const char *name, int code, const struct agw_text *text,
                struct tool_result *result, struct err *e)
{
    if (code == AGW_CANCELLED || atomic_load(&run->cancelled))
        return err_set(e, AGW_EGONE, "the run is cancelled");
    if (code == AGW_FAILED)
        return tell_failure(run, name, buf_text(&text->buf), result, e);
    if (code != AGW_DONE) {
        native_run_log(run, "error", "the tool %s broke the run: %s", name, buf_text(&text->buf));
        native_run_fail(run, 0, "tool", SERVER_ERROR, "tool_error", "a tool of the agent failed");
        return err_set(e, AGW_EAGENT, "the tool %s broke the run", name);
    }
    if (text->buf.failed)
        return tell_failure(run, name, "its result is too long", result, e);
    return tool_result_put(result, TOOL_OK, buf_text(&text->buf), text->buf.length, NATIVE_TEXT_MAX)
               ? 0 : err_set(e, AGW_ENOMEM, "a result");
}

static int run_tool(struct agw_run *run, const struct native_tool_call *call,
                    struct tool_result *result, struct err *e)
{
    const struct agw_tool *tool = call->tool->tool;
    char problem[ARGUMENTS_PROBLEM_SIZE], *arguments;
    struct agw_text text = {0};
    struct native_visit visit;
    json_t *value;
    int code = arguments_parse(call->tool->arguments, call->arguments, call->arguments_length,
                               &value, problem);

    if (code == AGW_EINVALID)
        return say(result, TOOL_INVALID, problem, e);
    if (code != 0)
        return err_set(e, code, "the arguments of %s", tool->name);
    arguments = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    if (arguments == NULL)
        return err_set(e, AGW_ENOMEM, "the arguments of %s", tool->name);
    buf_init(&text.buf, NATIVE_TEXT_MAX);
    native_visit_begin(run, call->descriptor, call->depth, &visit);
    code = tool->call(run, arguments, &text);
    native_visit_end(&visit);
    json_memory_free(arguments);
    code = tell(run, tool->name, code, &text, result, e);
    buf_free(&text.buf);
    return code;
}

int native_calls_own(struct agw_run *run, const struct native_tool_call *call,
                     struct tool_result *result, struct err *e)
{
    int64_t began;
    json_int_t id;
    bool allowed = false;
    struct err ignored;
    int status = check(run, call, &id, &allowed, result, e);

    if (status != 0 || !allowed)
        return status;
    began = clock_mono_ms();
    status = run_tool(run, call, result, e);
    native_run_send(run, json_pack("{s:s,s:I,s:s,s:b,s:I}", "t", "tool.done", "id", id, "name",
                                   call->tool->tool->name, "ok",
                                   status == 0 && result->status == TOOL_OK, "ms",
                                   (json_int_t)(clock_mono_ms() - began)), &ignored);
    return status;
}

/* ---- tools of the gateway ---- */

int native_calls_gateway(struct agw_run *run, const char *name, const char *call_id,
                         const char *arguments, struct tool_result *result, struct err *e)
{
    struct native_call call;
    json_t *answer = NULL;
    const json_t *content;
    bool good;
    int status = native_call_begin(run, &call,
                                   json_pack("{s:s,s:s,s:s,s:s}", "t", "tool.call", "name", name,
                                             "call_id", call_id, "args", arguments), e);

    if (status == 0)
        status = native_call_next(run, &call, &answer, e);
    native_call_end(run, &call);
    if (status != 0)
        return status;
    good = json_is_true(json_object_get(answer, "ok"));
    content = json_object_get(answer, good ? "content" : "error");
    status = tool_result_put(result, good ? TOOL_OK : TOOL_FAILED,
                             json_is_string(content) ? json_string_value(content)
                             : good                  ? "" : "The tool failed.",
                             json_is_string(content) ? json_string_length(content)
                             : good                  ? 0 : strlen("The tool failed."),
                             WIRE_LINE_MAX)
                 ? 0 : err_set(e, AGW_ENOMEM, "a result");
    json_decref(answer);
    return status;
}

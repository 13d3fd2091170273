/* SPDX-License-Identifier: MIT */
/* Says what it was told, in the manner of a model. */
#include "upstream/echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "upstream/echo_calls.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/secret.h"
#include "util/sha.h"

enum { CHOICES_MAX = 16, STOPS_MAX = 4, ID_BYTES = 14, TEXT_MAX = 64 << 20 };

struct echo {
    const json_t *body;
    const struct chat_sink *sink;
    struct err *e;
    const char *model, *reason;
    char id[16 + 2 * ID_BYTES];
    json_int_t created;
    int choices;
    bool usage_wanted;
    struct buf text;            /* the answer; with calls what asks for them */
    bool calls_wanted;
    json_t *calls;              /* NULL = none */
    int64_t prompt, completion; /* tokens */
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The end of the token at `text`: blanks before it belong to it, those at the very end to
 * the last one, so that the tokens of a text are the text. */
static const char *next_token(const char *text)
{
    const char *end = text;

    while (blank(*end))
        end++;
    while (*end != '\0' && !blank(*end))
        end++;
    return end[strspn(end, " \t\r\n")] == '\0' ? end + strlen(end) : end;
}

static int64_t count_tokens(const char *text)
{
    int64_t count = 0;

    text += strspn(text, " \t\r\n");
    for (; *text != '\0'; text = next_token(text))
        count++;
    return count;
}

static int refuse(struct echo *echo, const char *param, const char *problem)
{
    err_set_public(echo->e, AGW_EUPSTREAMREQ, param, "'%s' %s.", param, problem);
    if (echo->e != NULL)
        echo->e->status = 400;
    return AGW_EUPSTREAMREQ;
}

/* A message's text: the string, or the text parts, one a line. */
static void add_content(struct buf *b, const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    const json_t *part;
    size_t i, before = b->length;

    if (json_is_string(content))
        buf_puts(b, json_string_value(content));
    json_array_foreach(content, i, part) {
        const char *text = json_string_value(json_object_get(part, "text"));

        if (text == NULL)
            continue;
        if (b->length > before)
            buf_puts(b, "\n");
        buf_puts(b, text);
    }
}

static bool has_role(const json_t *message, const char *role)
{
    const char *is = json_string_value(json_object_get(message, "role"));

    return is != NULL && strcmp(is, role) == 0;
}

/* Where JSON is asked for, JSON that comes has to come back. */
static const char *prefix(const struct echo *echo)
{
    const json_t *format = json_object_get(echo->body, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));

    return type != NULL && strncmp(type, "json_", 5) == 0 ? "" : "echo: ";
}

/* The results of tools since the last user message, one a line; or that message. */
static void read_answer(struct echo *echo, const json_t *messages, size_t user)
{
    size_t count = json_array_size(messages), results = 0;

    for (size_t i = user + 1; i < count; i++) {
        const json_t *message = json_array_get(messages, i);

        if (!has_role(message, "tool"))
            continue;
        buf_puts(&echo->text, results++ == 0 ? prefix(echo) : "\n");
        add_content(&echo->text, message);
    }
    if (results > 0)
        return;
    add_content(&echo->text, user < count ? json_array_get(messages, user) : NULL);
    echo->calls_wanted = user + 1 == count &&
                         echo_calls_wanted(echo->body, buf_text(&echo->text));
    if (echo->calls_wanted)
        return;
    buf_reset(&echo->text);
    buf_puts(&echo->text, prefix(echo));
    add_content(&echo->text, user < count ? json_array_get(messages, user) : NULL);
}

static int read_messages(struct echo *echo)
{
    const json_t *messages = json_object_get(echo->body, "messages");
    const json_t *message;
    struct buf content;
    size_t i, user = json_array_size(messages);

    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return refuse(echo, "messages", "must be an array of at least one message");
    buf_init(&content, TEXT_MAX);
    json_array_foreach(messages, i, message) {
        buf_reset(&content);
        add_content(&content, message);
        echo->prompt += count_tokens(buf_text(&content));
        if (has_role(message, "user"))
            user = i;
    }
    read_answer(echo, messages, user);
    i = content.failed || echo->text.failed;
    buf_free(&content);
    return i == 0 ? 0 : err_set(echo->e, AGW_ENOMEM, "echoing");
}

static void cut(struct echo *echo, size_t length, const char *reason)
{
    echo->text.length = length;
    echo->text.data[length] = '\0';
    echo->reason = reason;
}

static void cut_at(struct echo *echo, const char *stop)
{
    const char *at = stop == NULL || stop[0] == '\0' ? NULL : strstr(echo->text.data, stop);

    if (at != NULL)
        cut(echo, (size_t)(at - echo->text.data), "stop");
}

static int apply_stop(struct echo *echo)
{
    const json_t *stop = json_object_get(echo->body, "stop");
    const json_t *one;
    size_t i;

    if (stop == NULL || json_is_null(stop))
        return 0;
    if (!json_is_string(stop) && (!json_is_array(stop) || json_array_size(stop) > STOPS_MAX))
        return refuse(echo, "stop", "must be a string or an array of up to 4 strings");
    cut_at(echo, json_string_value(stop));
    json_array_foreach(stop, i, one) {
        if (!json_is_string(one))
            return refuse(echo, "stop", "must be a string or an array of up to 4 strings");
        cut_at(echo, json_string_value(one));
    }
    return 0;
}

/* An optional integer member within bounds; *value stays when it is absent. */
static int read_integer(struct echo *echo, const char *name, json_int_t low, json_int_t high,
                        json_int_t *value)
{
    const json_t *member = json_object_get(echo->body, name);
    char problem[80];

    if (member == NULL || json_is_null(member))
        return 0;
    snprintf(problem, sizeof problem, "must be an integer from %lld to %lld", (long long)low,
             (long long)high);
    if (!json_is_integer(member) || json_integer_value(member) < low ||
        json_integer_value(member) > high)
        return refuse(echo, name, problem);
    if (json_integer_value(member) < *value || *value == 0)
        *value = json_integer_value(member);
    return 0;
}

static int apply_limits(struct echo *echo)
{
    json_int_t most = 0, choices = 0, tokens = 0;
    const char *end = echo->text.data;
    int code = read_integer(echo, "max_tokens", 1, INT32_MAX, &most);

    if (code == 0)
        code = read_integer(echo, "max_completion_tokens", 1, INT32_MAX, &most);
    if (code == 0)
        code = read_integer(echo, "n", 1, CHOICES_MAX, &choices);
    if (code != 0)
        return code;
    echo->choices = choices == 0 ? 1 : (int)choices;
    for (; *end != '\0' && (most == 0 || tokens < most); tokens++)
        end = next_token(end);
    if (*end != '\0')
        cut(echo, (size_t)(end - echo->text.data), "length");
    echo->completion = count_tokens(echo->text.data) * echo->choices;
    return 0;
}

static int make_id(struct echo *echo)
{
    char *text, hex[SHA_HEX_SIZE];

    if (!json_is_integer(json_object_get(echo->body, "seed"))) {
        if (secret_random_hex(hex, ID_BYTES) != 0)
            return err_set(echo->e, AGW_EINTERNAL, "no randomness");
    } else {
        text = json_dumps(echo->body, JSON_COMPACT | JSON_SORT_KEYS);
        if (text == NULL)
            return err_set(echo->e, AGW_ENOMEM, "echoing");
        sha_256_hex(text, strlen(text), hex);
        json_memory_free(text);
    }
    snprintf(echo->id, sizeof echo->id, "chatcmpl-%.*s", 2 * ID_BYTES, hex);
    return 0;
}

static int make_calls(struct echo *echo)
{
    if (!echo->calls_wanted)
        return 0;
    echo->calls = echo_calls_make(buf_text(&echo->text), echo->id + sizeof "chatcmpl-" - 1);
    return echo->calls != NULL ? 0 : err_set(echo->e, AGW_ENOMEM, "echoing");
}

static json_t *usage_json(const struct echo *echo)
{
    return json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)echo->prompt,
                     "completion_tokens", (json_int_t)echo->completion, "total_tokens",
                     (json_int_t)echo->prompt + echo->completion);
}

static json_t *envelope(const struct echo *echo, const char *object, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", echo->id, "object", object,
                     "created", echo->created, "model", echo->model, "system_fingerprint",
                     "fp_builtin_echo", "choices", choices);
}

static int answer_whole(struct echo *echo)
{
    json_t *choices = json_array(), *completion;
    int code;

    for (int i = 0; i < echo->choices; i++) {
        json_t *message = json_pack("{s:s, s:s?, s:n}", "role", "assistant", "content",
                                    echo->calls != NULL ? NULL : echo->text.data, "refusal");

        if (echo->calls != NULL)
            json_object_set(message, "tool_calls", echo->calls);
        json_array_append_new(choices, json_pack("{s:i, s:o, s:n, s:s}", "index", i, "message",
                                                 message, "logprobs", "finish_reason",
                                                 echo->reason));
    }
    completion = envelope(echo, "chat.completion", choices);
    if (completion == NULL ||
        json_object_set_new(completion, "usage", usage_json(echo)) != 0)
        code = err_set(echo->e, AGW_ENOMEM, "echoing");
    else
        code = echo->sink->completion(echo->sink->arg, completion);
    json_decref(completion);
    return code;
}

/* Hands one chunk on; takes `choices`. */
static int send_chunk(struct echo *echo, json_t *choices, json_t *usage)
{
    json_t *chunk = envelope(echo, "chat.completion.chunk", choices);
    int code;

    if (echo->usage_wanted)
        json_object_set_new(chunk, "usage", usage);
    if (chunk == NULL)
        code = err_set(echo->e, AGW_ENOMEM, "echoing");
    else
        code = echo->sink->chunk(echo->sink->arg, chunk);
    json_decref(chunk);
    return code;
}

static int send_delta(struct echo *echo, int index, json_t *delta, const char *reason)
{
    json_t *choices = json_pack("[{s:i, s:o, s:n, s:s?}]", "index", index, "delta", delta,
                                "logprobs", "finish_reason", reason);

    return send_chunk(echo, choices, echo->usage_wanted ? json_null() : NULL);
}

/* Each call in two pieces: what it is, and its arguments. */
static int stream_calls(struct echo *echo, int index)
{
    const json_t *call;
    size_t i;
    int code = 0;

    json_array_foreach(echo->calls, i, call) {
        const json_t *function = json_object_get(call, "function");

        code = send_delta(echo, index,
                          json_pack("{s:[{s:i, s:O, s:s, s:{s:O, s:s}}]}", "tool_calls", "index",
                                    (int)i, "id", json_object_get(call, "id"), "type",
                                    "function", "function", "name",
                                    json_object_get(function, "name"), "arguments", ""), NULL);
        if (code == 0)
            code = send_delta(echo, index,
                              json_pack("{s:[{s:i, s:{s:O}}]}", "tool_calls", "index", (int)i,
                                        "function", "arguments",
                                        json_object_get(function, "arguments")), NULL);
        if (code != 0)
            return code;
    }
    return send_delta(echo, index, json_object(), echo->reason);
}

static int stream_choice(struct echo *echo, int index)
{
    const char *at = echo->text.data, *end;
    int code = send_delta(echo, index,
                          json_pack("{s:s, s:s?}", "role", "assistant", "content",
                                    echo->calls != NULL ? NULL : ""), NULL);

    if (code == 0 && echo->calls != NULL)
        return stream_calls(echo, index);
    for (; code == 0 && *at != '\0'; at = end) {
        end = next_token(at);
        code = send_delta(echo, index,
                          json_pack("{s:s%}", "content", at, (size_t)(end - at)), NULL);
    }
    return code != 0 ? code : send_delta(echo, index, json_object(), echo->reason);
}

static int answer_stream(struct echo *echo)
{
    const json_t *options = json_object_get(echo->body, "stream_options");
    int code = 0;

    echo->usage_wanted = json_is_true(json_object_get(options, "include_usage"));
    for (int i = 0; i < echo->choices && code == 0; i++)
        code = stream_choice(echo, i);
    if (code == 0 && echo->usage_wanted)
        code = send_chunk(echo, json_array(), usage_json(echo));
    return code;
}

int echo_answer(const json_t *body, const struct chat_sink *sink, struct chat_usage *usage,
                struct err *e)
{
    const char *model = json_string_value(json_object_get(body, "model"));
    struct echo echo = {.body = body, .sink = sink, .e = e, .model = model == NULL ? "" : model,
                        .reason = "stop", .created = (json_int_t)(clock_wall_ms() / 1000)};
    int code;

    buf_init(&echo.text, TEXT_MAX);
    code = read_messages(&echo);
    if (code == 0)
        code = make_id(&echo);
    if (code == 0)
        code = make_calls(&echo);
    if (code == 0)
        code = apply_stop(&echo);
    if (code == 0)
        code = apply_limits(&echo);
    if (echo.calls != NULL)
        echo.reason = "tool_calls"; /* stops and limits are about texts */
    if (code == 0) {
        usage->prompt_tokens = echo.prompt;
        usage->completion_tokens = echo.completion;
    }
    if (code == 0)
        code = json_is_true(json_object_get(body, "stream")) ? answer_stream(&echo)
                                                             : answer_whole(&echo);
    json_decref(echo.calls);
    buf_free(&echo.text);
    return code;
}

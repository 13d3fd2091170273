/* SPDX-License-Identifier: MIT */
/* Makes one HTTP request of a call, and the tool's result of its answer. */
#include "tools/http_tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/http_client.h"
#include "tools/credential.h"
#include "tools/http_answer.h"
#include "tools/http_template.h"
#include "util/buf.h"
#include "util/clock.h"

enum {
    IDLE_HANDLES = 32,
    URL_MAX = 16384,
    LINE_MAX_BYTES = 16384,
    BODY_MAX = 32 << 20,
    OWN_HEADERS = 3
};

struct http_tool {
    const struct config_tool *config;
    struct http_pool *pool;
};

/* A call's request and the body of its answer. */
struct exchange {
    const struct http_tool *tool;
    const struct tool_call *call;
    struct buf url, body, answer;
    struct buf *lines;          /* of the headers */
    const char **headers;
    size_t room;                /* bytes of the answer that are of use */
};

static void *tool_open(const struct config_tool *config, void (*changed)(void *arg), void *arg,
                       struct err *e)
{
    struct http_tool *tool = calloc(1, sizeof *tool);

    (void)changed, (void)arg;
    if (tool != NULL) {
        tool->config = config;
        tool->pool = http_pool_new(IDLE_HANDLES);
    }
    if (tool != NULL && tool->pool != NULL)
        return tool;
    free(tool);
    err_set(e, AGW_ENOMEM, "the tool %s", config->name);
    return NULL;
}

static void tool_close(void *state)
{
    struct http_tool *tool = state;

    http_pool_free(&tool->pool);
    free(tool);
}

/* ---- the request ---- */

static bool has_header(const struct config_tool *config, const char *name)
{
    for (size_t i = 0; i < config->header_count; i++)
        if (strcasecmp(config->headers[i].name, name) == 0)
            return true;
    return false;
}

static int add_own(struct exchange *x, size_t *count, const char *name, const char *value)
{
    struct buf *line = &x->lines[*count];

    if (value == NULL || value[0] == '\0' || has_header(x->tool->config, name))
        return 0;
    buf_init(line, LINE_MAX_BYTES);
    if (buf_printf(line, "%s: %s", name, value) != 0)
        return AGW_ENOMEM;
    x->headers[(*count)++] = line->data;
    return 0;
}

static int make_headers(struct exchange *x, bool has_body,
                        char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    const struct config_tool *config = x->tool->config;
    size_t count = 0;

    x->lines = calloc(config->header_count + OWN_HEADERS, sizeof *x->lines);
    x->headers = calloc(config->header_count + OWN_HEADERS + 1, sizeof *x->headers);
    if (x->lines == NULL || x->headers == NULL ||
        add_own(x, &count, "Accept", "application/json, text/*;q=0.9, */*;q=0.1") != 0 ||
        add_own(x, &count, "Content-Type", has_body ? "application/json" : NULL) != 0 ||
        add_own(x, &count, "x-request-id", x->call->request_id) != 0)
        return AGW_ENOMEM;
    for (size_t i = 0; i < config->header_count; i++) {
        struct buf *line = &x->lines[count];
        int code;

        buf_init_secret(line, LINE_MAX_BYTES);
        code = http_template_header(&config->headers[i], x->call->arguments, line, problem);
        if (code != 0)
            return code;
        if (line->length > 0)
            x->headers[count++] = line->data;
        else
            buf_free(line);
    }
    return 0;
}

static int make_request(struct exchange *x, char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    const struct config_tool *config = x->tool->config;
    bool has_body = strcmp(config->method, "GET") != 0;
    int code = http_template_url(config, x->call->arguments, &x->url, problem);

    if (code == 0 && has_body)
        code = http_template_body(config, x->call->arguments, &x->body, problem);
    return code != 0 ? code : make_headers(x, has_body, problem);
}

static void reset(struct exchange *x)
{
    for (size_t i = 0; x->lines != NULL && i < x->tool->config->header_count + OWN_HEADERS; i++)
        buf_free(&x->lines[i]);
    free(x->lines);
    free(x->headers);
    buf_free(&x->url);
    buf_free(&x->body);
    buf_free(&x->answer);
}

/* ---- the answer ---- */

static int keep(void *arg, const char *bytes, size_t length)
{
    struct exchange *x = arg;
    size_t left = x->room - x->answer.length;

    if (buf_append(&x->answer, bytes, length < left ? length : left) != 0)
        return AGW_ENOMEM;
    return length < left ? 0 : HTTP_CLIENT_ENOUGH;
}

static void say_no_memory(const char *name, struct tool_result *result)
{
    tool_result_say(result, TOOL_FAILED, "The tool '%s' failed: out of memory.", name);
}

static void say_broken(const char *name, const struct http_result *head, const struct err *e,
                       int64_t ms, int code, struct tool_result *result)
{
    if (code == AGW_EGONE)
        result->status = TOOL_CANCELLED;
    else if (code == AGW_ETIMEOUT)
        tool_result_say(result, TOOL_TIMEOUT, "The tool '%s' did not answer within %lld ms.",
                        name, (long long)ms);
    else if (code == AGW_ENOMEM)
        say_no_memory(name, result);
    else if (!head->connected)
        tool_result_say(result, TOOL_UNAVAILABLE, "The tool '%s' cannot be reached: %s.", name,
                        e->message);
    else
        tool_result_say(result, TOOL_UNAVAILABLE,
                        "The tool '%s' went away while it answered (%s). What it was asked for "
                        "may have happened.", name, e->message);
}

static void exchange(struct exchange *x, struct tool_result *result)
{
    const struct config_tool *config = x->tool->config;
    const char *name = x->call->tool->name;
    int64_t left = x->call->deadline_ms - clock_mono_ms();
    struct http_call call = {
        .method = config->method, .url = buf_text(&x->url), .headers = x->headers,
        .body = x->body.data, .body_length = x->body.length,
        .connect_ms = left, .total_ms = left, .max_response = SIZE_MAX,
        .reach = config->allow_private ? HTTP_REACH_ANY : HTTP_REACH_PUBLIC, .once = true,
        .watch_fd = x->call->watch_fd, .on_body = keep, .arg = x,
    };
    struct http_result head = {0};
    struct err e = {0};
    int code = left <= 0 ? AGW_ETIMEOUT : http_client_call(x->tool->pool, &call, &head, &e);

    if (code != 0)
        say_broken(name, &head, &e, left > 0 ? left : 0, code, result);
    else if (credential_is_quoted(config, x->answer.data, x->answer.length))
        tool_result_say(result, TOOL_FAILED,
                        "The tool '%s' failed: " CREDENTIAL_QUOTED ".", name);
    else
        http_answer_take(name, &head, buf_text(&x->answer), x->answer.length,
                         x->call->max_result, result);
}

static void tool_call(void *state, const struct tool_call *call, struct tool_result *result)
{
    struct exchange x = {.tool = state, .call = call,
                         .room = http_answer_room(call->max_result)};
    char problem[HTTP_TEMPLATE_PROBLEM_SIZE];
    int code;

    buf_init_secret(&x.url, URL_MAX);
    buf_init(&x.body, BODY_MAX);
    buf_init(&x.answer, x.room);
    code = make_request(&x, problem);
    if (code == AGW_EINVALID)
        tool_result_say(result, TOOL_INVALID, "%s", problem);
    else if (code != 0)
        say_no_memory(call->tool->name, result);
    else
        exchange(&x, result);
    reset(&x);
}

const struct tool_provider http_tool_provider = {
    .name = "http", .open = tool_open, .close = tool_close, .call = tool_call};

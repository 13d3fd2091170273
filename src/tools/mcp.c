/* SPDX-License-Identifier: MIT */
/* The provider of tools that MCP servers have. */
#include "tools/mcp.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tools/credential.h"
#include "tools/mcp_content.h"
#include "tools/mcp_session.h"
#include "tools/mcp_tools.h"

enum { ROUNDS_MAX = 8 }; /* of "ask me again" */

struct mcp {
    const struct config_tool *config;
    void (*changed)(void *arg);
    void *changed_arg;
    struct mcp_session *session;
    pthread_mutex_t lock;
    json_t *known; /* of the last list: as in mcp_tools.h; NULL = none yet */
    char *notes;
};

static void notified(void *arg, const struct mcp_message *notification)
{
    const struct mcp *mcp = arg;

    if (strcmp(notification->method, "notifications/tools/list_changed") == 0)
        mcp->changed(mcp->changed_arg);
}

/* It is started again by being asked for its list. */
static void ended(void *arg)
{
    const struct mcp *mcp = arg;

    mcp->changed(mcp->changed_arg);
}

static void *open_server(const struct config_tool *config, void (*changed)(void *arg), void *arg,
                         struct err *e)
{
    struct mcp *mcp = calloc(1, sizeof *mcp);
    struct mcp_listener listener = {notified, ended, mcp};

    if (mcp == NULL) {
        err_set(e, AGW_ENOMEM, "memory is out");
        return NULL;
    }
    mcp->config = config;
    mcp->changed = changed;
    mcp->changed_arg = arg;
    mcp->session = mcp_session_new(config, &listener, e);
    if (mcp->session == NULL) {
        free(mcp);
        return NULL;
    }
    pthread_mutex_init(&mcp->lock, NULL);
    return mcp;
}

static void close_server(void *state)
{
    struct mcp *mcp = state;

    mcp_session_close(&mcp->session);
    pthread_mutex_destroy(&mcp->lock);
    json_decref(mcp->known);
    free(mcp->notes);
    free(mcp);
}

/* What a server says of an error goes to logs and administrators too. */
static int request_of(struct mcp *mcp, const struct mcp_request *request, struct mcp_reply *reply,
                      struct err *e)
{
    int code = mcp_session_request(mcp->session, request, reply, e);

    if (code != 0 && credential_is_quoted(mcp->config, e->message, strlen(e->message)))
        return err_set(e, code, CREDENTIAL_QUOTED);
    return code;
}

/* ---- the list ---- */

static int ask_page(struct mcp *mcp, const char *cursor, int64_t deadline_ms, int watch_fd,
                    json_t **result, struct err *e)
{
    struct mcp_request request = {.method = "tools/list", .repeatable = true,
                                  .deadline_ms = deadline_ms, .watch_fd = watch_fd};
    struct mcp_reply reply = {0};
    int code;

    *result = NULL;
    request.params = cursor == NULL ? json_object() : json_pack("{s:s}", "cursor", cursor);
    if (request.params == NULL)
        return err_set(e, AGW_ENOMEM, "memory is out");
    code = request_of(mcp, &request, &reply, e);
    json_decref(request.params);
    if (code == AGW_EINVALID && reply.code == MCP_METHOD_NOT_FOUND) {
        reply.result = json_pack("{s:[]}", "tools"); /* a server that has none */
        code = reply.result == NULL ? AGW_ENOMEM : 0;
    } else if (code == AGW_EINVALID) {
        code = err_set(e, AGW_EUPSTREAM, "its server does not list its tools: %s", e->message);
    }
    *result = reply.result;
    return code;
}

static int ask_all(struct mcp *mcp, struct mcp_tools *tools, int64_t deadline_ms, int watch_fd,
                   struct err *e)
{
    json_t *page = NULL, *next = NULL;
    const char *cursor = NULL;
    int code;

    do {
        code = ask_page(mcp, cursor, deadline_ms, watch_fd, &next, e);
        json_decref(page);
        page = next;
        if (code == 0)
            code = mcp_tools_page(tools, page, &cursor, e);
    } while (code == 1);
    json_decref(page);
    return code;
}

static void keep(struct mcp *mcp, struct mcp_tools *tools)
{
    char *notes = tools->notes.length > 0 ? buf_take(&tools->notes) : NULL, *old_notes;
    json_t *old;

    pthread_mutex_lock(&mcp->lock);
    old = mcp->known;
    old_notes = mcp->notes;
    mcp->known = tools->known;
    mcp->notes = notes;
    pthread_mutex_unlock(&mcp->lock);
    tools->known = NULL;
    json_decref(old);
    free(old_notes);
}

static int list_tools(void *state, int64_t deadline_ms, int watch_fd,
                      struct tool_offers *offers, struct err *e)
{
    struct mcp *mcp = state;
    struct mcp_tools tools;
    int code = AGW_ENOMEM;

    if (mcp_tools_begin(&tools, offers) != 0)
        err_set(e, AGW_ENOMEM, "memory is out");
    else
        code = ask_all(mcp, &tools, deadline_ms, watch_fd, e);
    if (code == 0)
        keep(mcp, &tools);
    mcp_tools_clear(&tools);
    return code;
}

/* ---- calls ---- */

static bool gather(struct mcp *mcp, const char *name, const json_t *arguments,
                   struct mcp_headers *headers)
{
    const json_t *known;
    bool repeatable;

    pthread_mutex_lock(&mcp->lock);
    known = json_object_get(mcp->known, name);
    repeatable = json_is_true(json_object_get(known, "repeatable"));
    mcp_headers_params(headers, json_object_get(known, "headers"), arguments);
    pthread_mutex_unlock(&mcp->lock);
    return repeatable;
}

static int ask_once(struct mcp *mcp, const struct tool_call *call, json_t *params,
                    struct mcp_reply *reply, struct err *e)
{
    struct mcp_headers headers = {0};
    struct mcp_request request = {
        .method = "tools/call", .name = call->tool->remote, .params = params,
        .headers = &headers, .deadline_ms = call->deadline_ms, .watch_fd = call->watch_fd};
    int code;

    request.repeatable = gather(mcp, request.name, call->arguments, &headers);
    code = request_of(mcp, &request, reply, e);
    mcp_headers_free(&headers);
    return code;
}

/* The server wants other headers than its list told: it is asked for the list again. What it
 * refuses for that it has not run. */
static int ask_right(struct mcp *mcp, const struct tool_call *call, json_t *params,
                     struct mcp_reply *reply, struct err *e)
{
    struct tool_offers offers = {0};
    int code = ask_once(mcp, call, params, reply, e);

    if (code != AGW_EINVALID || reply->code != MCP_HEADER_MISMATCH)
        return code;
    mcp->changed(mcp->changed_arg);
    code = list_tools(mcp, call->deadline_ms, call->watch_fd, &offers, e);
    tool_offers_clear(&offers);
    return code == 0 ? ask_once(mcp, call, params, reply, e) : code;
}

/* Whether the server wants to be asked again, with what it said last time and nothing else. */
static const json_t *wanted_state(const json_t *result)
{
    const char *type = json_string_value(json_object_get(result, "resultType"));
    const json_t *state = json_object_get(result, "requestState");

    if (type == NULL || strcmp(type, "input_required") != 0 || !json_is_string(state) ||
        json_object_size(json_object_get(result, "inputRequests")) > 0)
        return NULL;
    return state;
}

static int ask(struct mcp *mcp, const struct tool_call *call, struct mcp_reply *reply,
               struct err *e)
{
    json_t *params = json_pack("{s:s,s:o}", "name", call->tool->remote, "arguments",
                               json_deep_copy(call->arguments));
    const json_t *state = NULL;
    int code, rounds = 0;

    if (params == NULL)
        return err_set(e, AGW_ENOMEM, "memory is out");
    do {
        if (state != NULL)
            json_object_set_new(params, "requestState", json_deep_copy(state));
        json_decref(reply->result);
        code = ask_right(mcp, call, params, reply, e);
        state = code == 0 ? wanted_state(reply->result) : NULL;
    } while (state != NULL && ++rounds < ROUNDS_MAX);
    json_decref(params);
    return code;
}

static void call_tool(void *state, const struct tool_call *call, struct tool_result *result)
{
    struct mcp *mcp = state;
    struct mcp_reply reply = {0};
    struct err e = {0};

    switch (ask(mcp, call, &reply, &e)) {
    case 0:
        mcp_content_take(reply.result, call->max_result, result);
        if (result->content != NULL &&
            credential_is_quoted(mcp->config, result->content, result->length))
            tool_result_say(result, TOOL_FAILED, "The tool '%s' failed: " CREDENTIAL_QUOTED ".",
                            call->tool->name);
        break;
    case AGW_EINVALID:
        tool_result_say(result, TOOL_FAILED, "The tool's server refused the call: %s", e.message);
        break;
    case AGW_EGONE:
        result->status = TOOL_CANCELLED;
        break;
    case AGW_ETIMEOUT:
        tool_result_say(result, TOOL_TIMEOUT, "The tool was not ready in time: %s", e.message);
        break;
    default:
        tool_result_say(result, TOOL_UNAVAILABLE, "The tool is not available: %s", e.message);
    }
    json_decref(reply.result);
}

/* ---- shown ---- */

static void describe(void *state, json_t *object)
{
    struct mcp *mcp = state;
    json_t *diagnostics = json_object_get(object, "diagnostics");

    mcp_session_describe(mcp->session, object);
    pthread_mutex_lock(&mcp->lock);
    for (const char *line = mcp->notes; line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n");

        json_array_append_new(diagnostics, json_stringn(line, length));
        line += length + (line[length] == '\n');
    }
    pthread_mutex_unlock(&mcp->lock);
}

const struct tool_provider mcp_provider = {
    .name = "mcp",
    .open = open_server,
    .close = close_server,
    .list = list_tools,
    .call = call_tool,
    .describe = describe,
};

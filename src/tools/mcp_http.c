/* SPDX-License-Identifier: MIT */
/* Carries MCP messages over HTTP: a POST each, answered by JSON or by an event stream. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_client.h"
#include "net/sse_parse.h"
#include "tools/mcp_link.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/json_memory.h"

enum {
    IDLE_HANDLES = 16, HEADERS_MAX = 40, CONNECT_MS = 5000, ASIDE_MS = 2000, FAREWELL_MS = 1000,
    STREAM_MAX = 64 << 20,
    RETRY_MS = 1000, /* when the server names no time */
    RETRY_MIN_MS = 20,
    RETRIES_MAX = 3  /* in a row that brought nothing */
};

struct http_link {
    const struct config_tool *config;
    struct mcp_listener listener;
    struct http_pool *pool;
};

/* One exchange, which may take several requests. */
struct flight {
    struct http_link *link;
    const struct mcp_ask *ask;
    struct mcp_answer *answer;
    struct err *e;
    struct http_result head;  /* of the request that is on its way */
    struct sse_parser *stream;
    struct buf body;
    char last_id[SSE_ID_MAX + 1];
    int64_t retry_ms;
    int asides, retries;
};

static void *open_link(const struct config_tool *config, const struct mcp_listener *listener,
                       struct err *e)
{
    struct http_link *link = calloc(1, sizeof *link);

    if (link != NULL)
        link->pool = http_pool_new(IDLE_HANDLES);
    if (link == NULL || link->pool == NULL) {
        free(link);
        err_set(e, AGW_ENOMEM, "memory is out");
        return NULL;
    }
    link->config = config;
    link->listener = *listener;
    return link;
}

static void close_link(void *state)
{
    struct http_link *link = state;

    http_pool_free(&link->pool);
    free(link);
}

static int connect_link(void *state, int64_t deadline_ms, int watch_fd, uint64_t *life,
                        struct err *e)
{
    (void)state, (void)deadline_ms, (void)watch_fd, (void)e;
    *life = 1;
    return 0;
}

/* ---- requests ---- */

struct lines {
    const char *list[HEADERS_MAX + 1];
    size_t count;
};

static void add_lines(struct lines *lines, const struct mcp_headers *headers)
{
    for (size_t i = 0; headers != NULL && i < headers->count && lines->count < HEADERS_MAX; i++)
        lines->list[lines->count++] = headers->lines[i];
}

/* What every request of a link has in common. `total_ms` from now. */
static struct http_call call_of(const struct http_link *link, const char *method,
                                const struct lines *lines, int64_t total_ms, int watch_fd)
{
    if (total_ms < 1)
        total_ms = 1;
    return (struct http_call){
        .method = method, .url = link->config->url, .headers = lines->list,
        .connect_ms = total_ms < CONNECT_MS ? total_ms : CONNECT_MS, .total_ms = total_ms,
        .max_response = MCP_MESSAGE_MAX, .watch_fd = watch_fd, .once = true,
        .reach = link->config->allow_private ? HTTP_REACH_ANY : HTTP_REACH_PUBLIC};
}

/* The head of a request: what goes with its method, the entry's headers, those of the session, and
 * `more`. Lines are borrowed, but for those of `own`, which is to be freed. 0 or AGW_ENOMEM. */
static int head_of(const struct http_link *link, const char *method, const char *last_id,
                   const struct mcp_headers *session, const struct mcp_headers *more,
                   struct mcp_headers *own, struct lines *lines)
{
    *own = (struct mcp_headers){0};
    *lines = (struct lines){.count = 0};
    if (strcmp(method, "POST") == 0) {
        lines->list[lines->count++] = "Content-Type: application/json";
        lines->list[lines->count++] = "Accept: application/json, text/event-stream";
    } else if (strcmp(method, "GET") == 0) {
        lines->list[lines->count++] = "Accept: text/event-stream";
    }
    for (size_t i = 0; i < link->config->header_count; i++)
        mcp_headers_add(own, link->config->headers[i].name, link->config->headers[i].value);
    if (last_id != NULL)
        mcp_headers_add(own, "Last-Event-ID", last_id);
    add_lines(lines, own);
    add_lines(lines, session);
    add_lines(lines, more);
    return own->failed || (more != NULL && more->failed) ? AGW_ENOMEM : 0;
}

/* A request whose answer nobody waits for longer than to see it gone. */
static void send_only(const struct http_link *link, const char *method,
                      const struct mcp_headers *session, const char *text, int64_t total_ms)
{
    struct mcp_headers own;
    struct lines lines;
    struct http_result result;
    struct http_call call;
    struct err e = {0};
    int code = head_of(link, method, NULL, session, NULL, &own, &lines);

    call = call_of(link, method, &lines, total_ms, -1);
    call.body = text;
    call.body_length = text == NULL ? 0 : strlen(text);
    if (code == 0)
        http_client_call(link->pool, &call, &result, &e);
    mcp_headers_free(&own);
}

static void farewell(void *state, const struct mcp_headers *session)
{
    send_only(state, "DELETE", session, NULL, FAREWELL_MS);
}

/* ---- what comes back ---- */

static void answer_server(struct flight *flight, const struct mcp_message *request)
{
    int64_t left = flight->ask->deadline_ms - clock_mono_ms();
    char *text = mcp_message_reply(request);

    if (text != NULL)
        send_only(flight->link, "POST", flight->ask->session, text,
                  left < ASIDE_MS ? left : ASIDE_MS);
    json_memory_free(text);
}

/* Everything but the answer; an answer to something else may be one that came too late. */
static int take_aside(struct flight *flight, const struct mcp_message *message)
{
    if (++flight->asides > MCP_ASIDES_MAX)
        return err_set(flight->e, AGW_EUPSTREAM,
                       "more than %d messages came before the answer", MCP_ASIDES_MAX);
    if (message->kind == MCP_REQUEST)
        answer_server(flight, message);
    else if (message->kind == MCP_NOTIFICATION)
        flight->link->listener.notified(flight->link->listener.arg, message);
    return 0;
}

static int on_event(void *arg, const char *event, const char *data, size_t length)
{
    struct flight *flight = arg;
    struct mcp_message message;
    int code;

    (void)event;
    flight->retries = 0;
    if (length == 0) /* it only brings an id */
        return 0;
    code = mcp_message_parse(data, length, &message, flight->e);
    if (code == AGW_ENOMEM)
        return code;
    if (code != 0)
        return err_set(flight->e, AGW_EUPSTREAM, "%s", flight->e->message);
    if (mcp_message_answers(&message, flight->ask->id)) {
        flight->answer->message = message;
        return HTTP_CLIENT_ENOUGH;
    }
    code = take_aside(flight, &message);
    mcp_message_clear(&message);
    return code;
}

static int on_head(void *arg, const struct http_result *head)
{
    struct flight *flight = arg;

    if (head->status != 200 || strcmp(head->content_type, "text/event-stream") != 0)
        return 0;
    flight->stream = sse_parse_new(MCP_MESSAGE_MAX, on_event, flight);
    return flight->stream != NULL ? 0 : err_set(flight->e, AGW_ENOMEM, "memory is out");
}

static int on_body(void *arg, const char *bytes, size_t length)
{
    struct flight *flight = arg;

    if (flight->stream != NULL)
        return sse_parse_feed(flight->stream, bytes, length, flight->e);
    if (flight->body.length + length > MCP_MESSAGE_MAX)
        return err_set(flight->e, AGW_EUPSTREAM, "the answer exceeds %d bytes", MCP_MESSAGE_MAX);
    if (buf_append(&flight->body, bytes, length) == 0)
        return 0;
    return err_set(flight->e, AGW_ENOMEM, "memory is out");
}

/* One request, whose answer goes to the flight. `last_id`: of the stream that it goes on with. */
static int fly(struct flight *flight, const char *method, const char *body, const char *last_id)
{
    const struct mcp_ask *ask = flight->ask;
    struct mcp_headers own;
    struct lines lines;
    int code = head_of(flight->link, method, last_id, ask->session,
                       last_id == NULL ? ask->headers : NULL, &own, &lines);
    struct http_call call = call_of(flight->link, method, &lines,
                                    ask->deadline_ms - clock_mono_ms(), ask->watch_fd);

    call.max_response = STREAM_MAX;
    call.once = !ask->repeatable;
    call.body = body;
    call.body_length = body == NULL ? 0 : strlen(body);
    call.wanted = "Mcp-Session-Id";
    call.on_head = on_head;
    call.on_body = on_body;
    call.arg = flight;
    if (code == 0)
        code = http_client_call(flight->link->pool, &call, &flight->head, flight->e);
    else
        err_set(flight->e, code, "memory is out");
    mcp_headers_free(&own);
    if (flight->stream == NULL)
        return code;
    memcpy(flight->last_id, sse_parse_last_id(flight->stream), sizeof flight->last_id);
    if (sse_parse_retry_ms(flight->stream) >= 0)
        flight->retry_ms = sse_parse_retry_ms(flight->stream);
    if (flight->retry_ms < RETRY_MIN_MS)
        flight->retry_ms = RETRY_MIN_MS;
    return code;
}

static int post(struct flight *flight)
{
    int code = fly(flight, "POST", flight->ask->text, NULL);

    flight->answer->sent = flight->head.connected;
    flight->answer->status = flight->head.status;
    snprintf(flight->answer->session_id, sizeof flight->answer->session_id, "%s",
             flight->head.wanted);
    if (code == AGW_EUPSTREAM && !flight->head.connected)
        return err_set(flight->e, AGW_EUNAVAILABLE, "%s", flight->e->message);
    return code;
}

/* ---- broken streams ---- */

static int get(struct flight *flight)
{
    char last_id[sizeof flight->last_id];
    int code;

    sse_parse_free(&flight->stream);
    buf_reset(&flight->body);
    memcpy(last_id, flight->last_id, sizeof last_id);
    code = fly(flight, "GET", NULL, last_id);
    if (code == 0 && flight->stream == NULL)
        return err_set(flight->e, AGW_EINVALID, "the stream ended before the answer, and its "
                       "server does not let it be taken up again (HTTP %d)",
                       flight->head.status);
    return code;
}

static bool has_answer(const struct flight *flight)
{
    return flight->answer->message.whole != NULL;
}

/* The server keeps what it says; it is asked for the rest, which runs nothing twice. */
static int resume(struct flight *flight, int code)
{
    while (!has_answer(flight) && (code == 0 || code == AGW_EUPSTREAM)) {
        if (flight->retries++ >= RETRIES_MAX)
            return err_set(flight->e, AGW_EUPSTREAM,
                           "the stream ended before the answer, %d times in a row", RETRIES_MAX);
        if (clock_mono_ms() + flight->retry_ms >= flight->ask->deadline_ms)
            return err_set(flight->e, AGW_ETIMEOUT, "the stream ended before the answer, and "
                           "its server is to be asked again too late");
        code = http_client_pause(flight->ask->watch_fd, flight->retry_ms);
        if (code == 0)
            code = get(flight);
    }
    if (code == AGW_EGONE)
        return err_set(flight->e, AGW_EGONE, "the client hung up");
    return code == AGW_EINVALID ? AGW_EUPSTREAM : code;
}

/* ---- the whole ---- */

static bool is_json(const char *type)
{
    return strcmp(type, "application/json") == 0;
}

/* An answer that came as one document. */
static int take_document(struct flight *flight)
{
    const struct http_result *head = &flight->head;
    struct mcp_message *message = &flight->answer->message;
    bool good = head->status >= 200 && head->status < 300;
    char type[sizeof head->content_type];
    int code;

    if (flight->ask->id == 0 || flight->body.length == 0)
        return 0;
    snprintf(type, sizeof type, "%s", head->content_type[0] ? head->content_type : "no type");
    mcp_message_clean(type);
    if (!is_json(type))
        return !good ? 0 : err_set(flight->e, AGW_EUPSTREAM, "it answered with %s instead of "
                                   "JSON or an event stream", type);
    code = mcp_message_parse(flight->body.data, flight->body.length, message, flight->e);
    if (code == AGW_ENOMEM || (code != 0 && !good))
        return code == AGW_ENOMEM ? code : 0;
    if (code != 0)
        return err_set(flight->e, AGW_EUPSTREAM, "%s", flight->e->message);
    if (mcp_message_answers(message, flight->ask->id) ||
        (message->kind == MCP_ERROR && message->id == NULL))
        return 0;
    mcp_message_clear(message);
    return err_set(flight->e, AGW_EUPSTREAM, "it answered something that was not asked");
}

static int listen_in(void *state, const struct mcp_ask *ask, struct err *e)
{
    struct mcp_answer answer = {0};
    struct flight flight = {.link = state, .ask = ask, .answer = &answer, .e = e, .asides = INT_MIN};
    int code;

    buf_init(&flight.body, MCP_MESSAGE_MAX);
    code = fly(&flight, ask->text != NULL ? "POST" : "GET", ask->text, NULL);
    if (code == 0 && flight.stream == NULL)
        code = err_set(e, AGW_EINVALID, "there is no such stream (HTTP %d)", flight.head.status);
    mcp_message_clear(&answer.message);
    sse_parse_free(&flight.stream);
    buf_free(&flight.body);
    return code;
}

static int exchange(void *state, const struct mcp_ask *ask, struct mcp_answer *answer,
                    struct err *e)
{
    struct flight flight = {.link = state, .ask = ask, .answer = answer, .e = e,
                            .retry_ms = RETRY_MS};
    int code;

    memset(answer, 0, sizeof *answer);
    buf_init(&flight.body, MCP_MESSAGE_MAX);
    code = post(&flight);
    if (flight.stream == NULL && code == 0)
        code = take_document(&flight);
    else if (flight.stream != NULL && ask->resumable && flight.last_id[0] != '\0')
        code = resume(&flight, code);
    if (flight.stream != NULL && code == 0 && !has_answer(&flight) && ask->id != 0)
        code = err_set(e, AGW_EUPSTREAM, "the stream ended before the answer");
    if (code == AGW_ETIMEOUT)
        err_set(e, code, flight.head.connected ? "its server did not answer in time"
                                               : "its server could not be reached in time");
    sse_parse_free(&flight.stream);
    buf_free(&flight.body);
    return code;
}

const struct mcp_transport mcp_http = {
    .name = "http",
    .is_http = true,
    .open = open_link,
    .close = close_link,
    .connect = connect_link,
    .exchange = exchange,
    .listen = listen_in,
    .farewell = farewell,
};

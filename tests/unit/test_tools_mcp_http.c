/* SPDX-License-Identifier: MIT */
/* MCP servers over HTTP: which requests go out, in which era, and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hang_up.h"
#include "mock_http.h"
#include "net/http_client.h"
#include "tools/mcp.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/permit.h"

enum { LONG_MS = 60000, THREADS = 8, TEXT_MAX = 1 << 20 };

enum mood {
    MODERN, LEGACY, LEGACY_SSE, STATELESS,
    BROKEN,        /* modern; the first answer to each call is lost */
    PICKY,         /* modern; wants a header that its first list did not tell of */
    CUT,           /* legacy; the stream breaks, and is taken up by GET */
    FORGETFUL,     /* legacy; forgets its sessions whenever `epoch` changes */
    ASKING,        /* legacy; asks for a ping before it answers */
    SILENT,        /* modern; never answers a call */
    TELLING,       /* legacy, tells of changes by a stream that is held open */
    MODERN_TELLING,
    DOUBTFUL,      /* modern; says 400 to what it has run */
    REFUSING       /* modern; answers calls with an error */
};

/* What a server has seen, a line each: "POST tools/call", "GET", "DELETE". */
struct scene {
    enum mood mood;
    struct mock_http *server;
    char url[64];
    struct config_tool config;
    struct config_header header;
    struct tool tool, hinted;
    void *state;
    pthread_mutex_t lock;
    struct buf seen;
    _Atomic int epoch, lists, sessions, lost_calls; /* of all threads of the server */
    int changes;
    json_int_t waiting;     /* the call whose stream was cut */
};

static void see(struct scene *scene, const char *what, const char *more)
{
    pthread_mutex_lock(&scene->lock);
    buf_printf(&scene->seen, "%s%s%s\n", what, *more ? " " : "", more);
    pthread_mutex_unlock(&scene->lock);
}

static int count(struct scene *scene, const char *line)
{
    int found = 0;
    const char *at;
    char whole[100];

    snprintf(whole, sizeof whole, "%s\n", line);
    pthread_mutex_lock(&scene->lock);
    for (at = buf_text(&scene->seen); (at = strstr(at, whole)) != NULL; at++)
        found++;
    pthread_mutex_unlock(&scene->lock);
    return found;
}

/* ---- the server ---- */

static bool has(const struct mock_request *request, const char *header)
{
    return strcasestr(request->head, header) != NULL;
}

static bool is_modern(const struct scene *scene)
{
    return scene->mood == MODERN || scene->mood == BROKEN || scene->mood == PICKY ||
           scene->mood == SILENT || scene->mood == MODERN_TELLING ||
           scene->mood == DOUBTFUL || scene->mood == REFUSING;
}

static void send_json(struct mock_conn *conn, int status, const char *headers, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);

    mock_reply(conn, status, "application/json", headers, text);
    json_memory_free(text);
    json_decref(message);
}

static json_t *reply_to(json_int_t id, json_t *result)
{
    return json_pack("{s:s,s:I,s:o}", "jsonrpc", "2.0", "id", id, "result", result);
}

static json_t *error_to(json_int_t id, int code, const char *text)
{
    return json_pack("{s:s,s:I,s:{s:i,s:s}}", "jsonrpc", "2.0", "id", id, "error", "code", code,
                     "message", text);
}

static void send_event(struct mock_conn *conn, const char *head, json_t *message)
{
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT), event[2000];

    snprintf(event, sizeof event, "%sdata: %s\n\n", head, text == NULL ? "" : text);
    mock_chunk(conn, event);
    json_memory_free(text);
    json_decref(message);
}

static json_t *result_of(const struct scene *scene, const char *method, const json_t *params)
{
    const char *name = json_string_value(json_object_get(params, "name"));
    const char *word = json_string_value(json_object_get(json_object_get(params, "arguments"),
                                                         "word"));

    if (strcmp(method, "server/discover") == 0)
        return json_pack("{s:[s],s:{s:{s:b}}}", "supportedVersions", "2026-07-28",
                         "capabilities", "tools", "listChanged", scene->mood == MODERN_TELLING);
    if (strcmp(method, "initialize") == 0)
        return json_pack("{s:s,s:{s:{s:b}}}", "protocolVersion", "2025-06-18", "capabilities",
                         "tools", "listChanged", scene->mood == TELLING);
    if (strcmp(method, "tools/list") == 0)
        return json_pack("{s:[{s:s,s:{s:{s:{s:s,s:s}}}},{s:s,s:{s:b}}]}", "tools", "name", "t",
                         "inputSchema", "properties", "word", "type", "string",
                         scene->mood == PICKY && scene->lists > 1 ? "x-mcp-header" : "title",
                         "Word", "name", "hinted", "annotations", "idempotentHint", 1);
    return json_pack("{s:[{s:s,s:s+}]}", "content", "type", "text", "text", name ? name : "",
                     word ? word : "");
}

static bool in_session(struct scene *scene, const struct mock_request *request)
{
    char wanted[64];

    snprintf(wanted, sizeof wanted, "Mcp-Session-Id: session-%d-", scene->epoch);
    return scene->mood == STATELESS || has(request, wanted);
}

static bool cut(struct scene *scene, struct mock_conn *conn, json_int_t id)
{
    pthread_mutex_lock(&scene->lock);
    scene->waiting = id;
    pthread_mutex_unlock(&scene->lock);
    mock_head(conn, 200, "text/event-stream", true);
    send_event(conn, "id: event-1\nretry: 10\n", NULL);
    return false;
}

static void answer_stream(struct scene *scene, struct mock_conn *conn, json_t *reply)
{
    mock_head(conn, 200, "text/event-stream", true);
    if (scene->mood == ASKING)
        send_event(conn, "", json_pack("{s:s,s:s,s:s}", "jsonrpc", "2.0", "id", "q", "method",
                                       "ping"));
    send_event(conn, "", json_pack("{s:s,s:s}", "jsonrpc", "2.0", "method",
                                   "notifications/tools/list_changed"));
    send_event(conn, "", reply);
    mock_end(conn);
}

static bool take_call(struct scene *scene, struct mock_conn *conn,
                      const struct mock_request *request, json_int_t id, json_t *reply)
{
    if (scene->mood == SILENT) {
        while (!mock_sleep(conn, 100))
            ;
        see(scene, "hang-up", "");
    } else if (scene->mood == PICKY && !has(request, "Mcp-Param-Word: ")) {
        send_json(conn, 400, "", error_to(id, -32020, "a header is missing"));
        json_decref(reply);
        return true;
    } else if (scene->mood == DOUBTFUL) {
        send_json(conn, 400, "", error_to(id, -32000, "it went wrong"));
        json_decref(reply);
        return true;
    } else if (scene->mood == REFUSING) {
        send_json(conn, 200, "", error_to(id, -32602, "not for hinted!"));
        json_decref(reply);
        return true;
    } else if (scene->mood == BROKEN && scene->lost_calls++ % 2 == 0) {
        mock_reset(conn);
    } else if (scene->mood == CUT) {
        json_decref(reply);
        return cut(scene, conn, id);
    } else if (scene->mood == LEGACY_SSE || scene->mood == ASKING) {
        answer_stream(scene, conn, reply);
        return true;
    } else {
        send_json(conn, 200, "", reply);
        return true;
    }
    json_decref(reply);
    return false;
}

/* Tells of a change, and says nothing more until the client leaves. */
static bool tell(struct scene *scene, struct mock_conn *conn)
{
    mock_head(conn, 200, "text/event-stream", true);
    send_event(conn, "", json_pack("{s:s,s:s}", "jsonrpc", "2.0", "method",
                                   "notifications/tools/list_changed"));
    while (!mock_sleep(conn, 100))
        ;
    see(scene, "hang-up", "");
    return false;
}

static bool take_message(struct scene *scene, struct mock_conn *conn,
                         const struct mock_request *request, const json_t *message)
{
    const char *method = json_string_value(json_object_get(message, "method"));
    json_int_t id = json_integer_value(json_object_get(message, "id"));
    json_t *reply;
    char session[80] = "";

    see(scene, "POST", method == NULL ? "an answer" : method);
    if (method == NULL || id == 0) {
        mock_reply(conn, 202, "text/plain", "", "");
        return true;
    }
    if (is_modern(scene) != has(request, "MCP-Protocol-Version: 2026-07-28") ||
        (!is_modern(scene) && strcmp(method, "initialize") != 0 && !in_session(scene, request))) {
        if (scene->mood == FORGETFUL && scene->epoch % 2)
            mock_reply(conn, 404, "text/plain", "", "");
        else
            send_json(conn, 400, "", error_to(id, -32000, "no session"));
        return true;
    }
    if (strcmp(method, "subscriptions/listen") == 0)
        return tell(scene, conn);
    scene->lists += strcmp(method, "tools/list") == 0;
    reply = reply_to(id, result_of(scene, method, json_object_get(message, "params")));
    if (strcmp(method, "tools/call") == 0)
        return take_call(scene, conn, request, id, reply);
    if (strcmp(method, "initialize") == 0 && scene->mood != STATELESS)
        snprintf(session, sizeof session, "Mcp-Session-Id: session-%d-%d\r\n", scene->epoch,
                 ++scene->sessions);
    send_json(conn, 200, session, reply);
    return true;
}

static bool serve(struct mock_conn *conn, const struct mock_request *request, void *arg)
{
    struct scene *scene = arg;
    json_t *message;
    bool open;

    if (!has(request, "Authorization: Bearer token")) {
        mock_reply(conn, 401, "text/plain", "", "");
        return true;
    }
    if (strncmp(request->head, "DELETE ", 7) == 0) {
        see(scene, "DELETE", in_session(scene, request) ? "session" : "nothing");
        mock_reply(conn, 200, "text/plain", "", "");
        return true;
    }
    if (strncmp(request->head, "GET ", 4) == 0) {
        see(scene, "GET", has(request, "Last-Event-ID: event-1") ? "event-1" : "anew");
        if (scene->mood == TELLING)
            return tell(scene, conn);
        mock_head(conn, 200, "text/event-stream", true);
        send_event(conn, "id: event-2\n",
                   reply_to(scene->waiting, result_of(scene, "tools/call", NULL)));
        mock_end(conn);
        return true;
    }
    message = json_loads(request->body, 0, NULL);
    open = take_message(scene, conn, request, message);
    json_decref(message);
    return open;
}

/* ---- the client ---- */

static void on_change(void *arg)
{
    struct scene *scene = arg;

    pthread_mutex_lock(&scene->lock);
    scene->changes++;
    pthread_mutex_unlock(&scene->lock);
}

static void scene_open(struct scene *scene, enum mood mood)
{
    struct err e = {0};

    *scene = (struct scene){.mood = mood, .header = {.name = "Authorization",
                                                  .value = "Bearer token"}};
    pthread_mutex_init(&scene->lock, NULL);
    buf_init(&scene->seen, TEXT_MAX);
    scene->server = mock_http_start(serve, scene);
    assert_non_null(scene->server);
    snprintf(scene->url, sizeof scene->url, "http://127.0.0.1:%d/mcp",
             mock_http_port(scene->server));
    scene->config = (struct config_tool){
        .name = "s", .provider = TOOL_MCP, .method = "*", .url = scene->url, .header_count = 1,
        .headers = &scene->header, .allow_private = true};
    scene->tool = (struct tool){.name = "s.t", .remote = "t", .config = &scene->config};
    scene->hinted = (struct tool){.name = "s.hinted", .remote = "hinted",
                                  .config = &scene->config};
    scene->state = mcp_provider.open(&scene->config, on_change, scene, &e);
    assert_non_null(scene->state);
}

static void scene_leave(struct scene *scene)
{
    if (scene->state != NULL)
        mcp_provider.close(scene->state);
    scene->state = NULL;
}

static void scene_close(struct scene *scene)
{
    scene_leave(scene);
    mock_http_stop(&scene->server);
    buf_free(&scene->seen);
    pthread_mutex_destroy(&scene->lock);
}

static void list(struct scene *scene)
{
    struct tool_offers offers = {0};
    struct err e = {0};

    if (mcp_provider.list(scene->state, clock_mono_ms() + LONG_MS, -1, &offers, &e) != 0)
        fail_msg("%s", e.message);
    assert_int_equal(offers.count, 2);
    tool_offers_clear(&offers);
}

static bool call(struct scene *scene, const struct tool *tool, int64_t wait_ms, int watch_fd,
                 enum tool_status status, const char *part)
{
    json_t *arguments = json_pack("{s:s}", "word", "!");
    struct tool_call one = {.tool = tool, .arguments = arguments, .call_id = "c",
                            .request_id = "r", .max_result = 1000, .watch_fd = watch_fd,
                            .deadline_ms = clock_mono_ms() + wait_ms};
    struct tool_result result = {0};
    bool good;

    mcp_provider.call(scene->state, &one, &result);
    good = result.status == status &&
           (part == NULL || (result.content != NULL && strstr(result.content, part) != NULL));
    if (!good)
        print_error("%s '%s'\n", tool_status_name(result.status),
                    result.content ? result.content : "");
    tool_result_clear(&result);
    json_decref(arguments);
    return good;
}

static bool call_well(struct scene *scene)
{
    return call(scene, &scene->tool, LONG_MS, -1, TOOL_OK,
                scene->mood == CUT ? "" : "t!");
}

/* ---- tests ---- */

static void each_era(void **state)
{
    static const struct {
        enum mood mood;
        const char *protocol, *seen;
    } rows[] = {
        {MODERN, "2026-07-28", "POST server/discover\nPOST tools/list\nPOST tools/call\n"},
        {LEGACY, "2025-06-18", "POST server/discover\nPOST initialize\n"
         "POST notifications/initialized\nPOST tools/list\nPOST tools/call\nDELETE session\n"},
        {LEGACY_SSE, "2025-06-18", "POST server/discover\nPOST initialize\n"
         "POST notifications/initialized\nPOST tools/list\nPOST tools/call\nDELETE session\n"},
        {STATELESS, "2025-06-18", "POST server/discover\nPOST initialize\n"
         "POST notifications/initialized\nPOST tools/list\nPOST tools/call\n"},
        {CUT, "2025-06-18", "POST server/discover\nPOST initialize\n"
         "POST notifications/initialized\nPOST tools/list\nPOST tools/call\nGET event-1\n"
         "DELETE session\n"},
        {ASKING, "2025-06-18", "POST server/discover\nPOST initialize\n"
         "POST notifications/initialized\nPOST tools/list\nPOST tools/call\nPOST an answer\n"
         "DELETE session\n"},
        {PICKY, "2026-07-28", "POST server/discover\nPOST tools/list\nPOST tools/call\n"
         "POST tools/list\nPOST tools/call\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *shown = json_pack("{s:[]}", "diagnostics");
        struct scene s;

        scene_open(&s, rows[i].mood);
        list(&s);
        assert_true(call_well(&s));
        mcp_provider.describe(s.state, shown);
        assert_string_equal(json_string_value(json_object_get(shown, "protocol")),
                            rows[i].protocol);
        json_decref(shown);
        scene_leave(&s);
        assert_string_equal(buf_text(&s.seen), rows[i].seen);
        assert_int_equal(s.changes, rows[i].mood == LEGACY_SSE || rows[i].mood == ASKING ||
                                    rows[i].mood == PICKY);
        scene_close(&s);
    }
}

/* An answer that is lost: only what says that it may be repeated is asked for again. */
static void nothing_runs_twice_that_may_not(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, BROKEN);
    list(&s);
    assert_true(call(&s, &s.tool, LONG_MS, -1, TOOL_UNAVAILABLE, ""));
    assert_int_equal(count(&s, "POST tools/call"), 1);
    assert_true(call_well(&s));
    assert_int_equal(count(&s, "POST tools/call"), 2);
    assert_true(call(&s, &s.hinted, LONG_MS, -1, TOOL_OK, "hinted!"));
    assert_int_equal(count(&s, "POST tools/call"), 4);
    scene_close(&s);
}

static void what_may_have_run_is_not_asked_again(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, DOUBTFUL);
    list(&s);
    assert_true(call(&s, &s.tool, LONG_MS, -1, TOOL_UNAVAILABLE, "agreed upon"));
    assert_int_equal(count(&s, "POST tools/call"), 1);
    assert_true(call(&s, &s.hinted, LONG_MS, -1, TOOL_UNAVAILABLE, "agreed upon"));
    assert_int_equal(count(&s, "POST tools/call"), 3);
    assert_true(count(&s, "POST server/discover") >= 3);
    scene_close(&s);
}

/* A stream of its own tells of changes, and ends with the client. */
static void changes_are_told(void **state)
{
    static const struct {
        enum mood mood;
        const char *line;
    } rows[] = {{TELLING, "GET anew"}, {MODERN_TELLING, "POST subscriptions/listen"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t until = clock_mono_ms() + LONG_MS;
        struct scene s;
        int changes = 0;

        scene_open(&s, rows[i].mood);
        list(&s);
        while (changes == 0 && clock_mono_ms() < until) {
            usleep(10000);
            pthread_mutex_lock(&s.lock);
            changes = s.changes;
            pthread_mutex_unlock(&s.lock);
        }
        assert_int_equal(changes, 1);
        assert_int_equal(count(&s, rows[i].line), 1);
        assert_true(call_well(&s));
        scene_leave(&s);
        while (count(&s, "hang-up") == 0 && clock_mono_ms() < until)
            usleep(10000);
        assert_int_equal(count(&s, "hang-up"), 1);
        scene_close(&s);
    }
}

struct caller {
    struct scene *scene;
    bool good;
};

static void *call_in_thread(void *arg)
{
    struct caller *caller = arg;

    permit_take();
    caller->good = call_well(caller->scene);
    permit_drop();
    return NULL;
}

static void call_at_once(struct scene *scene)
{
    struct caller callers[THREADS];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){scene, false};
        assert_int_equal(pthread_create(&threads[i], NULL, call_in_thread, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(callers[i].good);
    }
}

/* One of many threads negotiates, also when the server forgets; with one permit for all. */
static void a_session_is_begun_once(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, FORGETFUL);
    call_at_once(&s);
    assert_int_equal(count(&s, "POST initialize"), 1);
    for (int lost = 1; lost <= 2; lost++) {
        s.epoch = lost;
        call_at_once(&s);
        assert_int_equal(count(&s, "POST initialize"), 1 + lost);
    }
    assert_int_equal(count(&s, "POST server/discover"), 1);
    scene_close(&s);
}

static void time_and_clients_end(void **state)
{
    struct hang_up client;
    struct scene s;

    (void)state;
    scene_open(&s, SILENT);
    list(&s);
    assert_true(call(&s, &s.tool, 300, -1, TOOL_TIMEOUT, "in time"));
    hang_up_begin(&client, "");
    assert_true(call(&s, &s.tool, LONG_MS, client.watched, TOOL_CANCELLED, NULL));
    for (int64_t until = clock_mono_ms() + LONG_MS;
         count(&s, "hang-up") < 2 && clock_mono_ms() < until;)
        usleep(10000);
    assert_int_equal(count(&s, "hang-up"), 2);
    assert_int_equal(count(&s, "POST notifications/cancelled"), 0);
    hang_up_end(&client);
    scene_close(&s);
}

/* "hinted!" is what the server answers, or complains of. */
static void credentials_are_withheld(void **state)
{
    struct scene s;

    (void)state;
    for (int refuses = 0; refuses < 2; refuses++) {
        enum tool_status status = refuses ? TOOL_FAILED : TOOL_OK;

        scene_open(&s, refuses ? REFUSING : MODERN);
        s.header.value = "Bearer token hinted!";
        assert_true(call(&s, &s.hinted, LONG_MS, -1, status, "hinted!"));
        s.header.expanded = true;
        assert_true(call(&s, &s.hinted, LONG_MS, -1, TOOL_FAILED, "quotes a credential"));
        scene_close(&s);
    }
}

static void who_leaves_ends_a_list(void **state)
{
    struct tool_offers offers = {0};
    struct err e = {0};
    struct scene s;
    int pair[2];

    (void)state;
    scene_open(&s, MODERN);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[0]);
    assert_int_equal(mcp_provider.list(s.state, clock_mono_ms() + LONG_MS, pair[1], &offers, &e),
                     AGW_EGONE);
    close(pair[1]);
    list(&s);
    scene_close(&s);
}

static void what_cannot_be_reached_says_why(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, MODERN);
    s.config.allow_private = false;
    assert_true(call(&s, &s.tool, LONG_MS, -1, TOOL_UNAVAILABLE, "not public"));
    s.config.allow_private = true;
    s.header.value = "Bearer other";
    assert_true(call(&s, &s.tool, LONG_MS, -1, TOOL_UNAVAILABLE, "credentials (HTTP 401)"));
    mock_http_stop(&s.server);
    assert_true(call(&s, &s.tool, LONG_MS, -1, TOOL_UNAVAILABLE, ""));
    s.server = mock_http_start(serve, &s);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_era),
        cmocka_unit_test(nothing_runs_twice_that_may_not),
        cmocka_unit_test(what_may_have_run_is_not_asked_again),
        cmocka_unit_test(changes_are_told),
        cmocka_unit_test(a_session_is_begun_once),
        cmocka_unit_test(time_and_clients_end),
        cmocka_unit_test(credentials_are_withheld),
        cmocka_unit_test(who_leaves_ends_a_list),
        cmocka_unit_test(what_cannot_be_reached_says_why),
    };

    assert_int_equal(http_client_init(), 0);
    permit_init(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Plays upstream, tools and client around an agent. */
#include "loop_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/catalog.h"
#include "build_config.h"
#include "chat_fixture.h"
#include "fine_tool.h"
#include "util/clock.h"
#include "util/permit.h"

static struct loop_scene *now; /* tests run one after the other */
static _Atomic int running;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what the upstream saw */

/* ---- tools ---- */

static void hang(const struct tool_call *call, struct tool_result *result)
{
    while (clock_mono_ms() < call->deadline_ms) {
        struct pollfd client = {.fd = call->watch_fd, .events = POLLRDHUP};

        if (poll(&client, 1, 10) > 0) {
            result->status = TOOL_CANCELLED;
            return;
        }
    }
    tool_result_say(result, TOOL_TIMEOUT, "It was not ready in time.");
}

static void meet_others(void)
{
    usleep(20000);
    for (int i = 0; i < 3000 && atomic_load(&now->peak) < now->meet; i++)
        usleep(10000);
}

static void leave(void)
{
    if (now->peer_fd > 0)
        close(now->peer_fd);
    now->peer_fd = 0;
}

static void echo(const struct tool_call *call, struct tool_result *result)
{
    char *text = json_dumps(call->arguments, JSON_COMPACT);

    tool_result_put(result, TOOL_OK, text, strlen(text), call->max_result);
    free(text);
}

static void call_tool(void *state, const struct tool_call *call, struct tool_result *result)
{
    const char *name = call->tool->name;
    int many = atomic_fetch_add(&running, 1) + 1, peak = atomic_load(&now->peak);
    char *big;

    (void)state;
    atomic_fetch_add(&now->called, 1);
    while (many > peak && !atomic_compare_exchange_weak(&now->peak, &peak, many))
        ;
    permit_wait_begin();
    if (strcmp(name, "nap") == 0)
        meet_others();
    if (strcmp(name, "leave") == 0)
        leave();
    if (strcmp(name, "hang") == 0 || strcmp(name, "leave") == 0) {
        hang(call, result);
    } else if (strcmp(name, "gone") == 0) {
        result->status = TOOL_CANCELLED;
    } else if (strcmp(name, "fail") == 0) {
        tool_result_say(result, TOOL_FAILED, "It failed.");
    } else if (strcmp(name, "big") == 0) {
        big = malloc(60000);
        memset(big, 'x', 60000);
        tool_result_put(result, TOOL_OK, big, 60000, call->max_result);
        free(big);
    } else {
        echo(call, result);
    }
    permit_wait_end();
    atomic_fetch_sub(&running, 1);
}

static const struct tool_provider local = {"local", fine_tool_open, fine_tool_close, NULL,
                                           call_tool, NULL};
static const struct tool_provider *const providers[TOOL_PROVIDERS] = {[TOOL_LOCAL] = &local};

static const char tools_text[] =
    "version: 1\n"
    "tools:\n"
    "  - {name: echo, provider: local, command: [x], description: Says it again.}\n"
    "  - {name: fail, provider: local, command: [x]}\n"
    "  - {name: nap, provider: local, command: [x]}\n"
    "  - {name: hang, provider: local, command: [x], timeout: 60}\n"
    "  - {name: leave, provider: local, command: [x], timeout: 60}\n"
    "  - {name: gone, provider: local, command: [x]}\n"
    "  - {name: big, provider: local, command: [x]}\n"
    "  - {name: secret, provider: local, command: [x]}\n"
    "  - name: strict\n"
    "    provider: local\n"
    "    command: [x]\n"
    "    schema: {type: object, properties: {city: {type: string}}, required: [city]}\n";

static const char security_text[] =
    "version: 1\n"
    "default: {local_tools_allowlist: ['*'], deny_tools: [secret]}\n"
    "api_keys:\n"
    "  - {id: k, hashed_key: \"sha256:"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n";

/* ---- the upstream ---- */

static void reply_slowly(struct mock_conn *conn, const char *turn)
{
    char *copy = strdup(turn), *rest = copy;

    mock_head(conn, 200, "text/event-stream", true);
    for (const char *piece; (piece = strsep(&rest, "\1")) != NULL;) {
        mock_chunk(conn, piece);
        mock_sleep(conn, 30);
    }
    mock_end(conn);
    free(copy);
}

static bool play(struct mock_conn *conn, const struct mock_request *request, void *arg)
{
    struct loop_scene *scene = arg;
    const char *turn;
    size_t count = 0;

    pthread_mutex_lock(&lock);
    while (scene->turns[count] != NULL)
        count++;
    turn = (size_t)request->number > count ? "!599" : scene->turns[request->number - 1];
    json_array_append_new(scene->sent, json_loads(request->body, 0, NULL));
    pthread_mutex_unlock(&lock);
    if (turn[0] == '!')
        mock_reply(conn, (int)strtol(turn + 1, NULL, 10), "application/json", "",
                   "{\"error\":{\"message\":\"no\"}}");
    else if (strchr(turn, '\1') != NULL)
        reply_slowly(conn, turn);
    else
        mock_reply(conn, 200,
                   turn[0] == 'd' ? "text/event-stream" : "application/json", "", turn);
    return true;
}

/* ---- the client ---- */

static int on_chunk(void *arg, json_t *chunk)
{
    struct loop_scene *scene = arg;

    json_array_append(scene->chunks, chunk);
    return json_array_size(scene->chunks) > scene->sink_after ? scene->sink_code : 0;
}

static int on_completion(void *arg, json_t *completion)
{
    struct loop_scene *scene = arg;

    assert_null(scene->completion);
    scene->completion = json_incref(completion);
    return scene->sink_code;
}

static int on_tick(void *arg)
{
    struct loop_scene *scene = arg;

    atomic_fetch_add(&scene->ticks, 1);
    if (scene->tick_code == 0)
        return 0;
    leave();
    return err_set(&scene->e, scene->tick_code, "a tick could not be sent");
}

static int on_sent(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- a run ---- */

static struct config *configuration(const struct loop_scene *scene)
{
    char agents[4096];

    snprintf(agents, sizeof agents,
             "version: 1\nagents:\n  - {name: a, model: m, upstream: echo, tools: %s%s%s}\n",
             scene->tools == NULL ? "['*']" : scene->tools, scene->agent == NULL ? "" : ", ",
             scene->agent == NULL ? "" : scene->agent);
    return build_config_tools(security_text, agents, tools_text);
}

void loop_scene_run(struct loop_scene *scene)
{
    struct mock_http *server = mock_http_start(play, scene);
    struct config *config = configuration(scene);
    struct catalog *catalog = catalog_new(config, NULL);
    struct toolset *toolset = toolset_new(providers);
    json_t *request = json_loads(scene->request, 0, NULL), *before = json_deep_copy(request);
    struct chat_sink sink = {.chunk = on_chunk, .completion = on_completion, .sent = on_sent,
                             .tick = scene->tick_ms > 0 ? on_tick : NULL,
                             .tick_ms = scene->tick_ms,
                             .watch_fd = scene->watch_fd == 0 ? -1 : scene->watch_fd,
                             .arg = scene};
    struct invoke_caller caller = {.toolset = toolset, .security = &config->security,
                                   .key = &config->security.keys[0], .agent = "default/a",
                                   .ns = "default", .request_id = "r", .source = "declarative",
                                   .watch_fd = sink.watch_fd};
    struct agent_run run = {.agent = catalog_find(catalog, "a"), .request = request,
                            .request_id = "r", .streaming = scene->streaming, .sink = &sink,
                            .caller = &caller, .hops = &scene->hops,
                            .added_max = scene->added_max == 0 ? 1 << 20 : scene->added_max};
    struct fixture f;

    now = scene;
    assert_non_null(request);
    assert_int_equal(toolset_update(toolset, config, &scene->e), 0);
    fixture_init(&f, 1, (int[]){mock_http_port(server)});
    f.definitions[0].retry_attempts = 0;
    f.definitions[0].total_ms = scene->total_ms == 0 ? 10000 : scene->total_ms;
    fixture_apply(&f);
    run.upstreams = f.upstreams;
    scene->sent = json_array();
    scene->chunks = json_array();
    scene->status = agent_run(&run, &scene->usage, &scene->e);
    assert_true(json_equal(request, before)); /* it is the client's */
    assert_int_equal(atomic_load(&running), 0);
    fixture_free(&f);
    mock_http_stop(&server);
    toolset_free(&toolset);
    catalog_release(&catalog);
    config_release(&config);
    json_decref(request);
    json_decref(before);
}

void loop_scene_clear(struct loop_scene *scene)
{
    json_decref(scene->sent);
    json_decref(scene->chunks);
    json_decref(scene->completion);
    scene->sent = scene->chunks = scene->completion = NULL;
}

/* ---- in short ---- */

static char shown[65536];

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    size_t used = strlen(shown);
    va_list values;

    va_start(values, format);
    vsnprintf(shown + used, sizeof shown - used, format, values);
    va_end(values);
}

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text == NULL ? "" : text;
}

const char *loop_scene_messages(const struct loop_scene *scene, size_t nth, size_t from)
{
    json_t *messages = json_object_get(json_array_get(scene->sent, nth), "messages"), *message,
           *call;
    size_t i, j;

    shown[0] = '\0';
    json_array_foreach(messages, i, message)
    {
        if (i < from)
            continue;
        say("%s%s:", shown[0] == '\0' ? "" : " | ", text_of(message, "role"));
        if (json_object_get(message, "tool_call_id") != NULL)
            say(" (%s)", text_of(message, "tool_call_id"));
        say(" %s", json_is_null(json_object_get(message, "content"))
                       ? "null"
                       : text_of(message, "content"));
        json_array_foreach(json_object_get(message, "tool_calls"), j, call)
            say(" %s=%s(%s)", text_of(call, "id"),
                text_of(json_object_get(call, "function"), "name"),
                text_of(json_object_get(call, "function"), "arguments"));
    }
    return shown;
}

static void say_delta(const json_t *delta)
{
    json_t *call;
    size_t i;

    say("%s", text_of(delta, "content"));
    json_array_foreach(json_object_get(delta, "tool_calls"), i, call)
    {
        const json_t *what = json_object_get(call, "function");

        if (what == NULL)
            what = json_object_get(call, "custom");
        say("[%d %s %s %s%s]", (int)json_integer_value(json_object_get(call, "index")),
            text_of(call, "id"), text_of(what, "name"), text_of(what, "arguments"),
            text_of(what, "input"));
    }
}

const char *loop_scene_stream(const struct loop_scene *scene)
{
    json_t *chunk, *choice, *usage;
    size_t i, j;

    shown[0] = '\0';
    json_array_foreach(scene->chunks, i, chunk)
    {
        json_array_foreach(json_object_get(chunk, "choices"), j, choice)
        {
            say_delta(json_object_get(choice, "delta"));
            if (text_of(choice, "finish_reason")[0] != '\0')
                say("<%s>", text_of(choice, "finish_reason"));
        }
        usage = json_object_get(chunk, "usage");
        if (usage != NULL)
            say("{%d+%d=%d}", (int)json_integer_value(json_object_get(usage, "prompt_tokens")),
                (int)json_integer_value(json_object_get(usage, "completion_tokens")),
                (int)json_integer_value(json_object_get(usage, "total_tokens")));
    }
    return shown;
}

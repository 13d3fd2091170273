/* SPDX-License-Identifier: MIT */
/* MCP servers that are programs: many calls at once, death in each moment, and nothing left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hang_up.h"
#include "inject.h"
#include "tools/mcp.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/proc.h"

enum { LONG_MS = 60000, THREADS = 8, CALLS = 25, WORDS = 3 };

/* Ids and names are found by the form in which the gateway writes its messages. */
static const char server_script[] =
    "#!/bin/sh\n"
    "answer() { printf '{\"jsonrpc\":\"2.0\",\"id\":%s,%s}\\n' \"$id\" \"$1\"; }\n"
    "text() { answer \"\\\"result\\\":{\\\"content\\\":[{\\\"type\\\":\\\"text\\\",\\\"text\\\":"
    "\\\"$1\\\"}]}\"; }\n"
    "[ \"$1\" = exit ] && { echo 'I will not' >&2; exit 3; }\n"
    "[ \"$1\" = stay ] && trap '' TERM\n"
    "echo 'Starting...'\n"
    "echo '{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}'\n"
    "while IFS= read -r line; do\n"
    "  id=${line#*'\"id\":'}; id=${id%%,*}\n"
    "  case $line in\n"
    "    *'\"server/discover\"'*) [ \"$1\" = shy ] && exit 4\n"
    "       answer '\"error\":{\"code\":-32601,\"message\":\"no\"}' ;;\n"
    "    *'\"initialize\"'*) [ \"$1\" = deaf ] && while :; do sleep 1; done\n"
    "       answer '\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},"
    "\"serverInfo\":{\"name\":\"script\",\"version\":\"1\"}}' ;;\n"
    "    *'\"tools/list\"'*) answer '\"result\":{\"tools\":[{\"name\":\"t\"}]}' ;;\n"
    "    *'\"word\":\"die\"'*) kill -9 $$ ;;\n"
    "    *'\"word\":\"leave\"'*) exit 5 ;;\n"
    "    *'\"word\":\"never\"'*) ;;\n"
    "    *'\"word\":\"garbage\"'*) echo '{nonsense'; text late ;;\n"
    "    *'\"word\":\"batch\"'*) echo \"[{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":$id,"
    "\\\"result\\\":{}}]\" ;;\n"
    "    *'\"word\":\"long\"'*) head -c 9000000 /dev/zero | tr '\\0' '{' ;;\n"
    "    *'\"word\":\"error\"'*) answer '\"error\":{\"code\":-5,\"message\":\"not so\"}' ;;\n"
    "    *'\"word\":\"changed\"'*)\n"
    "       echo '{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}'\n"
    "       text changed ;;\n"
    "    *'\"word\":\"ask\"'*) echo '{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"ping\"}'\n"
    "       asked=$id ;;\n"
    "    *'\"result\":{}'*) id=$asked; text 'ping was answered' ;;\n"
    "    *'\"tools/call\"'*) word=${line#*'\"word\":\"'}; text \"${word%%\\\"*}\" ;;\n"
    "  esac\n"
    "done\n"
    "[ \"$1\" = stay ] && while :; do sleep 1; done\n";

static char folder[] = "/tmp/agw-test-mcp-XXXXXX";
static char path[sizeof folder + 16];

static int set_up(void **state)
{
    FILE *f;

    (void)state;
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/server", folder);
    f = fopen(path, "w");
    if (f == NULL || fputs(server_script, f) < 0 || fclose(f) != 0 || chmod(path, 0755) != 0)
        return -1;
    log_open("/dev/null");
    return setenv("GATEWAY_EXEC", AGW_BUILD_DIR "/agw-exec", 1);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

struct scene {
    const char *command[2];
    struct config_tool config;
    struct tool tool;
    void *state;
    atomic_int changes;
    enum tool_status status;
};

static void on_change(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void scene_open(struct scene *scene, const char *mood)
{
    struct err e = {0};

    *scene = (struct scene){.command = {path, mood}};
    scene->config = (struct config_tool){
        .name = "s", .provider = TOOL_MCP, .method = "*", .command = scene->command,
        .command_count = mood == NULL ? 1 : 2,
        .program = {.folder = "", .max_memory_mib = 512, .max_processes = 64}};
    scene->tool = (struct tool){.name = "s.t", .remote = "t", .config = &scene->config};
    atomic_init(&scene->changes, 0);
    scene->state = mcp_provider.open(&scene->config, on_change, &scene->changes, &e);
    assert_non_null(scene->state);
}

static void scene_close(struct scene *scene)
{
    mcp_provider.close(scene->state);
}

static int list(struct scene *scene, int64_t wait_ms, struct err *e)
{
    struct tool_offers offers = {0};
    int code = mcp_provider.list(scene->state, clock_mono_ms() + wait_ms, -1, &offers, e);

    if (code == 0)
        assert_int_equal(offers.count, 1);
    tool_offers_clear(&offers);
    return code;
}

/* One call; false unless it ends as `status` and with `part` in its text. */
static bool call(struct scene *scene, const char *word, int64_t wait_ms, int watch_fd,
                 enum tool_status status, const char *part)
{
    json_t *arguments = json_pack("{s:s}", "word", word);
    struct tool_call one = {.tool = &scene->tool, .arguments = arguments, .call_id = "c",
                            .request_id = "r", .max_result = 1000, .watch_fd = watch_fd,
                            .deadline_ms = clock_mono_ms() + wait_ms};
    struct tool_result result = {0};
    bool good;

    mcp_provider.call(scene->state, &one, &result);
    good = result.status == status &&
           (part == NULL || (result.content != NULL && strstr(result.content, part) != NULL));
    if (!good)
        print_error("%s: %s '%s'\n", word, tool_status_name(result.status),
                    result.content ? result.content : "");
    tool_result_clear(&result);
    json_decref(arguments);
    return good;
}

static json_int_t number_of(struct scene *scene, const char *name)
{
    json_t *object = json_pack("{s:[]}", "diagnostics");
    json_int_t number;

    mcp_provider.describe(scene->state, object);
    number = json_integer_value(json_object_get(object, name));
    json_decref(object);
    return number;
}

/* ---- calls ---- */

static void calls_and_what_is_shown(void **state)
{
    json_t *object = json_pack("{s:[]}", "diagnostics");
    struct scene s;
    struct err e = {0};

    (void)state;
    scene_open(&s, NULL);
    assert_int_equal(list(&s, LONG_MS, &e), 0);
    assert_true(call(&s, "hello", LONG_MS, -1, TOOL_OK, "hello"));
    assert_true(call(&s, "error", LONG_MS, -1, TOOL_FAILED, "not so (-5)"));
    assert_true(call(&s, "ask", LONG_MS, -1, TOOL_OK, "ping was answered"));
    assert_true(call(&s, "changed", LONG_MS, -1, TOOL_OK, "changed"));
    assert_int_equal(atomic_load(&s.changes), 1);
    mcp_provider.describe(s.state, object);
    assert_string_equal(json_string_value(json_object_get(object, "transport")), "stdio");
    assert_string_equal(json_string_value(json_object_get(object, "protocol")), "2025-06-18");
    assert_string_equal(json_string_value(json_object_get(object, "era")), "legacy");
    assert_string_equal(json_string_value(json_object_get(object, "state")), "running");
    assert_true(json_integer_value(json_object_get(object, "pid")) > 0);
    json_decref(object);
    scene_close(&s);
}

struct caller {
    struct scene *scene;
    int number;
    bool good;
};

static void *call_often(void *arg)
{
    struct caller *caller = arg;
    char word[32];

    caller->good = true;
    for (int i = 0; i < CALLS; i++) {
        snprintf(word, sizeof word, "word-%d-%d", caller->number, i);
        caller->good = call(caller->scene, word, LONG_MS, -1, TOOL_OK, word) && caller->good;
    }
    return NULL;
}

static void many_callers_get_their_own_answers(void **state)
{
    struct caller callers[THREADS];
    pthread_t threads[THREADS];
    struct scene s;

    (void)state;
    scene_open(&s, NULL);
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){&s, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(callers[i].good);
    }
    assert_int_equal(number_of(&s, "restarts"), 0);
    scene_close(&s);
}

/* ---- ends ---- */

static void a_death_fails_what_it_was_asked_and_nothing_else(void **state)
{
    static const char *const deaths[][2] = {{"die", "signal 9"}, {"leave", "exit status 5"},
                                            {"long", "more than"}};
    struct scene s;

    (void)state;
    scene_open(&s, NULL);
    for (int i = 0; i < WORDS; i++) {
        json_int_t pid;

        assert_true(call(&s, "before", LONG_MS, -1, TOOL_OK, "before"));
        pid = number_of(&s, "pid");
        assert_true(call(&s, deaths[i][0], LONG_MS, -1, TOOL_UNAVAILABLE, deaths[i][1]));
        assert_int_equal(proc_start_time((pid_t)pid), 0);
        assert_true(atomic_load(&s.changes) >= i);
        assert_true(call(&s, "after", LONG_MS, -1, TOOL_OK, "after"));
        assert_int_equal(number_of(&s, "restarts"), i + 1);
    }
    scene_close(&s);
}

static void lines_that_are_no_answers_end_the_wait(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, NULL);
    assert_true(call(&s, "garbage", LONG_MS, -1, TOOL_UNAVAILABLE, "invalid JSON"));
    assert_true(call(&s, "batch", LONG_MS, -1, TOOL_UNAVAILABLE, "a batch"));
    assert_true(call(&s, "after", LONG_MS, -1, TOOL_OK, "after"));
    assert_int_equal(number_of(&s, "restarts"), 0);
    scene_close(&s);
}

static void time_and_clients_end(void **state)
{
    struct hang_up client;
    struct scene s;

    (void)state;
    scene_open(&s, NULL);
    assert_true(call(&s, "first", LONG_MS, -1, TOOL_OK, "first"));
    assert_true(call(&s, "never", 300, -1, TOOL_TIMEOUT, "in time"));
    hang_up_begin(&client, "x"); /* bytes that wait there hide nothing */
    assert_true(call(&s, "never", LONG_MS, client.watched, TOOL_CANCELLED, NULL));
    hang_up_end(&client);
    assert_true(call(&s, "last", LONG_MS, -1, TOOL_OK, "last"));
    scene_close(&s);
}

static void what_cannot_begin_says_why(void **state)
{
    struct scene s;
    struct err e = {0};

    (void)state;
    scene_open(&s, "exit");
    assert_int_not_equal(list(&s, LONG_MS, &e), 0);
    assert_non_null(strstr(e.message, "exit status 3"));
    scene_close(&s);
    scene_open(&s, "deaf");
    assert_int_equal(list(&s, 500, &e), AGW_ETIMEOUT);
    scene_close(&s);
    scene_open(&s, NULL);
    s.command[0] = "/nowhere/server";
    assert_int_equal(list(&s, LONG_MS, &e), AGW_EUNAVAILABLE);
    assert_non_null(strstr(e.message, "/nowhere/server"));
    scene_close(&s);
}

/* A server of old that does not survive the question for its revision is not asked twice. */
static void shy_servers_are_asked_in_the_old_way(void **state)
{
    struct scene s;
    struct err e = {0};

    (void)state;
    scene_open(&s, "shy");
    assert_int_equal(list(&s, LONG_MS, &e), 0);
    assert_true(call(&s, "hello", LONG_MS, -1, TOOL_OK, "hello"));
    assert_int_equal(number_of(&s, "restarts"), 1);
    scene_close(&s);
}

static void nothing_is_left_of_who_wants_to_stay(void **state)
{
    int64_t begun;
    json_int_t pid;
    struct scene s;

    (void)state;
    scene_open(&s, "stay");
    assert_true(call(&s, "hello", LONG_MS, -1, TOOL_OK, "hello"));
    pid = number_of(&s, "pid");
    assert_true(proc_start_time((pid_t)pid) != 0);
    begun = clock_mono_ms();
    scene_close(&s);
    assert_true(clock_mono_ms() - begun < 30000);
    assert_int_equal(proc_start_time((pid_t)pid), 0);
    scene_open(&s, "stay"); /* never started */
    scene_close(&s);
}

/* ---- memory ---- */

/* A list and a call, with whatever fails. */
static void use_a_server(void *arg)
{
    struct scene *s = arg;
    struct tool_offers offers = {0};
    struct tool_call one = {.tool = &s->tool, .arguments = NULL, .call_id = "c",
                            .request_id = "r", .max_result = 1000, .watch_fd = -1,
                            .deadline_ms = clock_mono_ms() + LONG_MS};
    struct tool_result result = {0};
    json_t *arguments = json_pack("{s:s}", "word", "hello"), *object = json_pack("{}");
    struct err e = {0};

    one.arguments = arguments;
    s->state = mcp_provider.open(&s->config, on_change, &s->changes, &e);
    if (s->state != NULL) {
        mcp_provider.list(s->state, clock_mono_ms() + LONG_MS, -1, &offers, &e);
        mcp_provider.call(s->state, &one, &result);
        mcp_provider.describe(s->state, object);
        mcp_provider.close(s->state);
    }
    s->status = result.status;
    tool_offers_clear(&offers);
    tool_result_clear(&result);
    json_decref(arguments);
    json_decref(object);
}

static void it_ended_in_a_known_way(void *arg)
{
    const struct scene *s = arg;

    assert_true(s->status == TOOL_OK || s->status == TOOL_UNAVAILABLE ||
                s->status == TOOL_FAILED);
}

static void memory_may_run_out(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, NULL);
    scene_close(&s);
    assert_true(inject_each(INJECT_MEMORY, use_a_server, it_ended_in_a_known_way, &s) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_and_what_is_shown),
        cmocka_unit_test(many_callers_get_their_own_answers),
        cmocka_unit_test(a_death_fails_what_it_was_asked_and_nothing_else),
        cmocka_unit_test(lines_that_are_no_answers_end_the_wait),
        cmocka_unit_test(time_and_clients_end),
        cmocka_unit_test(what_cannot_begin_says_why),
        cmocka_unit_test(shy_servers_are_asked_in_the_old_way),
        cmocka_unit_test(nothing_is_left_of_who_wants_to_stay),
        cmocka_unit_test(memory_may_run_out),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

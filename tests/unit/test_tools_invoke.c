/* SPDX-License-Identifier: MIT */
/* The tools of a process across configurations, and the one door to them: who may, with which
 * arguments, and what the trail holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "build_config.h"
#include "store_fixture.h"
#include "tools/invoke.h"
#include "util/clock.h"
#include "util/log.h"

/* ---- providers of the test ---- */

struct fake {
    void (*changed)(void *arg);
    void *arg;
};

static _Atomic int opened, closed, called, listed;
static atomic_bool list_fails, list_hangs, more_tools;
static struct fake *last_fake;

static void *fake_open(const struct config_tool *config, void (*changed)(void *arg), void *arg,
                       struct err *e)
{
    struct fake *fake = calloc(1, sizeof *fake);

    if (strcmp(config->name, "broken") == 0) {
        free(fake);
        err_set(e, AGW_ECONFIG, "cannot be opened");
        return NULL;
    }
    opened++;
    *fake = (struct fake){changed, arg};
    last_fake = fake;
    return fake;
}

static void fake_close(void *state)
{
    closed++;
    free(state);
}

static int fake_list(void *state, int64_t deadline_ms, int watch_fd, struct tool_offers *offers,
                     struct err *e)
{
    struct pollfd watched = {.fd = watch_fd, .events = POLLRDHUP};

    (void)state;
    listed++;
    while (list_hangs && clock_mono_ms() < deadline_ms)
        if (poll(&watched, 1, 1) > 0)
            return err_set(e, AGW_EGONE, "called off");
    if (list_fails)
        return err_set(e, AGW_EUNAVAILABLE, "nobody is there");
    tool_offers_add(offers, "read", "Reads.",
                    json_loads("{\"type\":\"object\",\"contains\":{},\"required\":[\"path\"]}", 0,
                               NULL));
    tool_offers_add(offers, "we ird", NULL, NULL);
    tool_offers_add(offers, "odd", NULL, json_loads("{\"type\":\"nothing\"}", 0, NULL));
    if (more_tools)
        tool_offers_add(offers, "write", NULL, NULL);
    return 0;
}

static void fake_call(void *state, const struct tool_call *call, struct tool_result *result)
{
    const char *say = json_string_value(json_object_get(call->arguments, "say"));

    (void)state;
    called++;
    if (say != NULL && strcmp(say, "nothing") == 0)
        return;
    if (say != NULL && strcmp(say, "bye") == 0)
        result->status = TOOL_CANCELLED;
    else
        tool_result_put(result, TOOL_OK, "done", 4, call->max_result);
}

static struct toolset *asked_about; /* NULL: nobody looks meanwhile */

static void *look(void *arg)
{
    struct tool *tool = toolset_find(arg, "say");
    void *found = tool;

    tool_release(&tool);
    return found;
}

static void fake_describe(void *state, json_t *object)
{
    struct timespec until;
    pthread_t thread;
    void *found = NULL;

    (void)state;
    if (asked_about == NULL)
        return;
    assert_int_equal(pthread_create(&thread, NULL, look, asked_about), 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    assert_int_equal(pthread_timedjoin_np(thread, &found, &until), 0);
    json_object_set_new(object, "found", json_boolean(found != NULL));
}

static const struct tool_provider local = {"local", fake_open, fake_close, NULL, fake_call,
                                           fake_describe};
static const struct tool_provider mcp = {"mcp", fake_open, fake_close, fake_list, fake_call, NULL};
static const struct tool_provider *const providers[TOOL_PROVIDERS] = {
    [TOOL_LOCAL] = &local, [TOOL_MCP] = &mcp};

/* ---- a scene ---- */

#define SCHEMA "schema: {type: object, properties: {say: {type: string}}," \
               " additionalProperties: false}"

static const char tools_text[] =
    "version: 1\n"
    "tools:\n"
    "  - {name: say, provider: local, command: [bin/say, loud], " SCHEMA "}\n"
    "  - {name: files, provider: mcp, command: [server]}\n"
    "  - {name: lone, provider: mcp, command: [server], method: read}\n"
    "  - {name: web, provider: http, url: \"http://127.0.0.1:1/\"}\n"
    "  - {name: broken, provider: local, command: [x]}\n";

static const char security_text[] =
    "version: 1\n"
    "default:\n"
    "  allow_agents: ['*']\n"
    "  deny_tools: ['*.write']\n"
    "  local_tools_allowlist: ['bin/*:say', 'x:*']\n"
    "  tool_rules:\n"
    "    - {agents: ['labs/*'], allow_tools: ['files.*']}\n"
    "    - {agents: ['closed/*'], deny_tools: ['*']}\n"
    "api_keys:\n"
    "  - {id: k, hashed_key: \"sha256:"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n"
    "  - {id: few, allow_tools: [say], hashed_key: \"sha256:"
    "baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n"
    "  - {id: none, deny_tools: [say], hashed_key: \"sha256:"
    "caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n";

static struct toolset *new_set(struct config *config)
{
    struct toolset *set = toolset_new(providers);
    struct err e = {0};

    assert_int_equal(toolset_update(set, config, &e), 0);
    return set;
}

static bool has_tool(struct toolset *set, const char *name)
{
    struct tool *tool = toolset_find(set, name);
    bool found = tool != NULL;

    tool_release(&tool);
    return found;
}

static bool comes(struct toolset *set, const char *name)
{
    for (int i = 0; i < 500; i++) {
        if (has_tool(set, name))
            return true;
        toolset_tick(set);
        usleep(10000);
    }
    return false;
}

/* ---- toolset ---- */

static void resolving_waits_for_the_first_list(void **state)
{
    static const char *const names[] = {"say", "files.*", "nothing.*", "say", "lone"};
    struct config *config = build_config_tools(security_text, NULL, tools_text);
    struct toolset *set = new_set(config);
    struct tool_list list;
    const char *missing;
    struct err e = {0};

    (void)state;
    assert_int_equal(toolset_resolve(set, names, 5, &list, &missing, &e), 0);
    assert_string_equal(missing, "nothing.*");
    assert_int_equal(list.count, 5); /* say, three of files, lone */
    assert_string_equal(list.tools[0]->name, "say");
    assert_string_equal(list.tools[1]->name, "files.read");
    assert_string_equal(list.tools[1]->function, "files_read");
    assert_string_equal(list.tools[1]->remote, "read");
    assert_string_equal(list.tools[1]->description, "Reads.");
    assert_string_equal(list.tools[4]->name, "lone");
    assert_int_equal(strncmp(list.tools[2]->function, "files_we_ird_", 13), 0);
    assert_int_equal(strlen(list.tools[2]->function), 21);
    assert_ptr_equal(tool_list_find(&list, "files_read"), list.tools[1]);
    assert_null(tool_list_find(&list, "files.read"));
    tool_list_clear(&list);
    toolset_free(&set);
    config_release(&config);
}

static void *let_list(void *arg)
{
    usleep(50000);
    list_hangs = false;
    return arg;
}

/* A server that hangs keeps those waiting who may want its tools, and nobody else. */
static void resolving_waits_for_no_other_list(void **state)
{
    static const char *const others[] = {"say", "s*", "filesystem", "file", "filesystem.*"};
    static const char *const files[] = {"files.read", "fi*", "*", "[f]iles.*", "files?read"};
    struct config *config = build_config_tools(
        security_text, NULL,
        "version: 1\ntools:\n  - {name: files, provider: mcp, command: [server]}\n"
        "  - {name: say, provider: local, command: [bin/say]}\n");
    struct tool_list list;
    const char *missing;
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        int64_t begun = clock_mono_ms();
        struct toolset *set;
        pthread_t thread;

        list_hangs = true;
        set = new_set(config);
        for (int j = 0; j < 10; j++) {
            assert_int_equal(toolset_resolve(set, others, 5, &list, &missing, &e), 0);
            assert_int_equal(list.count, 1);
            tool_list_clear(&list);
        }
        assert_true(clock_mono_ms() - begun < 25000); /* and not ten times three seconds */
        assert_int_equal(pthread_create(&thread, NULL, let_list, NULL), 0);
        assert_int_equal(toolset_resolve(set, files + i, 1, &list, &missing, &e), 0);
        assert_true(list.count > 0);
        assert_null(missing);
        tool_list_clear(&list);
        pthread_join(thread, NULL);
        toolset_free(&set);
    }
    config_release(&config);
}

static _Atomic int told;

static void tell(void *arg, const char *tool, const char *problem)
{
    assert_ptr_equal(arg, &told);
    assert_true(strcmp(tool, "files") == 0 || strcmp(tool, "lone") == 0);
    assert_string_equal(problem, "nobody is there");
    told++;
}

/* Nor is the end waited for, and that is no problem of the server. */
static void the_end_calls_lists_off(void **state)
{
    struct config *config = build_config_tools(security_text, NULL, tools_text);
    struct toolset *set = toolset_new(providers);
    int64_t begun = clock_mono_ms();
    struct err e = {0};

    (void)state;
    toolset_on_problem(set, tell, &told);
    list_hangs = true;
    assert_int_equal(toolset_update(set, config, &e), 0);
    toolset_free(&set);
    list_hangs = false;
    assert_true(clock_mono_ms() - begun < 25000);
    assert_int_equal(told, 0);
    config_release(&config);
}

static void an_unchanged_entry_keeps_its_source(void **state)
{
    struct config *first = build_config_tools(security_text, NULL, tools_text);
    struct config *second = build_config_tools(
        NULL, NULL, "version: 1\ntools:\n  - {name: files, provider: mcp, command: [server]}\n"
                    "  - {name: say, provider: local, command: [bin/other]}\n");
    struct toolset *set = new_set(first);
    struct tool *old = toolset_find(set, "say");
    struct err e = {0};
    int opened_before = opened, closed_before = closed;

    (void)state;
    assert_true(comes(set, "files.read"));
    config_release(&first);
    assert_int_equal(toolset_update(set, second, &e), 0);
    config_release(&second);
    toolset_tick(set);
    assert_int_equal(opened - opened_before, 1);
    for (int i = 0; i < 6000 && closed == closed_before; i++)
        usleep(10000); /* a thread may still ask for its list */
    assert_int_equal(closed - closed_before, 1); /* lone; say is still held by us */
    assert_true(has_tool(set, "files.read")); /* at once: nothing is asked anew */
    assert_false(has_tool(set, "lone"));
    assert_string_equal(old->config->command[0], "bin/say");
    tool_release(&old);
    assert_int_equal(closed - closed_before, 2);
    toolset_free(&set);
}

static void a_changed_list_is_asked_for(void **state)
{
    struct config *config = build_config_tools(
        NULL, NULL, "version: 1\ntools:\n  - {name: files, provider: mcp, command: [server]}\n");
    struct toolset *set = new_set(config);

    (void)state;
    assert_true(comes(set, "files.read"));
    more_tools = true;
    last_fake->changed(last_fake->arg);
    assert_true(comes(set, "files.write"));
    list_fails = true; /* what was there stays */
    toolset_refresh(set, 5000);
    assert_true(has_tool(set, "files.write"));
    more_tools = list_fails = false;
    toolset_refresh(set, 5000);
    assert_false(has_tool(set, "files.write"));
    toolset_free(&set);
    config_release(&config);
}

static void a_problem_is_told_once(void **state)
{
    struct config *config = build_config_tools(security_text, NULL, tools_text);
    struct toolset *set = toolset_new(providers);
    struct err e = {0};

    (void)state;
    toolset_on_problem(set, tell, &told);
    list_fails = true;
    assert_int_equal(toolset_update(set, config, &e), 0);
    for (int i = 0; i < 3; i++)
        toolset_refresh(set, 5000);
    list_fails = false;
    toolset_refresh(set, 5000);
    toolset_free(&set);
    assert_int_equal(told, 2); /* of two sources */
    config_release(&config);
}

static void diagnostics_say_what_is_wrong(void **state)
{
    static const char *const wanted[] = {
        "this release has no provider for it", "cannot be opened", "nobody is there"};
    struct config *config = build_config_tools(security_text, NULL, tools_text);
    struct toolset *set;
    json_t *shown;
    char *text;

    (void)state;
    list_fails = true;
    set = new_set(config);
    toolset_refresh(set, 5000);
    shown = toolset_json(set);
    text = json_dumps(shown, 0);
    assert_int_equal(json_array_size(shown), 5);
    for (size_t i = 0; i < 3; i++)
        assert_non_null(strstr(text, wanted[i]));
    free(text);
    json_decref(shown);
    list_fails = false;
    toolset_refresh(set, 5000);
    shown = toolset_json(set);
    text = json_dumps(shown, 0);
    assert_non_null(strstr(text, "files.read: keywords of its schema that are not checked: "
                                 "contains"));
    assert_non_null(strstr(text, "files.odd: its schema at '/type'"));
    free(text);
    json_decref(shown);
    toolset_free(&set);
    config_release(&config);
}

/* A provider that waits while it describes a source keeps nobody from the others. */
static void tools_are_found_while_one_is_described(void **state)
{
    struct config *config = build_config_tools(security_text, NULL, tools_text);
    struct toolset *set = new_set(config);
    json_t *shown;

    (void)state;
    asked_about = set;
    shown = toolset_json(set);
    asked_about = NULL;
    assert_true(json_is_true(json_object_get(json_array_get(shown, 0), "found")));
    assert_null(json_object_get(json_array_get(shown, 1), "found"));
    json_decref(shown);
    toolset_free(&set);
    config_release(&config);
}

/* ---- the door ---- */

static const struct {
    const char *key, *agent, *tool, *arguments;
    enum tool_status status;
    const char *content;
    bool runs;
} calls[] = {
    {"k", "default/a", "say", "{\"say\": \"hi\"}", TOOL_OK, "done", true},
    {"k", "default/a", "say", "", TOOL_OK, "done", true},
    {"k", "default/a", "say", "{\"say\": \"nothing\"}", TOOL_FAILED,
     "The tool 'say' gave no result.", true},
    {"k", "default/a", "say", "{\"say\": \"bye\"}", TOOL_CANCELLED, NULL, true},
    {"k", "default/a", "say", "{\"say\": 3}", TOOL_INVALID,
     "The arguments do not fit: /say must be string.", false},
    {"k", "default/a", "say", "{\"cry\": 3}", TOOL_INVALID,
     "The arguments do not fit: must not have a member 'cry'.", false},
    {"k", "default/a", "say", "[]", TOOL_INVALID, "The arguments must be a JSON object.", false},
    {"k", "default/a", "say", "{\"say\": ", TOOL_INVALID, NULL, false},
    {"k", "default/a", "files.read", "{}", TOOL_INVALID,
     "The arguments do not fit: the member 'path' is missing.", false},
    {"k", "default/a", "files.read", "{\"path\": 1}", TOOL_OK, "done", true},
    {"k", "default/a", "no\nsuch", "{}", TOOL_INVALID, "There is no tool 'no\nsuch'.", false},
    {"none", "default/a", "say", "{}", TOOL_DENIED,
     "The tool 'say' is not allowed here by policy.", false},
    {"few", "default/a", "say", "{}", TOOL_OK, "done", true},
    {"few", "default/a", "files.read", "{\"path\": 1}", TOOL_DENIED, NULL, false},
    {"k", "labs/a", "say", "{}", TOOL_DENIED, NULL, false},
    {"k", "labs/a", "files.read", "{\"path\": 1}", TOOL_OK, "done", true},
    {"k", "closed/a", "files.read", "{\"path\": 1}", TOOL_DENIED, NULL, false},
    {"k", "default/a", "broken", "{}", TOOL_UNAVAILABLE,
     "The tool 'broken' is not available: cannot be opened.", true},
};

static const struct config_key *key_named(const struct config *config, const char *id)
{
    for (size_t i = 0; i < config->security.key_count; i++)
        if (strcmp(config->security.keys[i].id, id) == 0)
            return &config->security.keys[i];
    fail_msg("no key %s", id);
    return NULL;
}

static void each_call_ends_as_the_table_says(void **state)
{
    struct config *config = build_config_tools(security_text, NULL, tools_text);
    struct toolset *set = new_set(config);

    (void)state;
    assert_true(comes(set, "files.read"));
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct invoke_caller caller = {
            .toolset = set, .security = &config->security, .generation = 1,
            .key = key_named(config, calls[i].key), .agent = calls[i].agent, .ns = "default",
            .source = "declarative", .watch_fd = -1};
        struct invoke_request request = {.name = calls[i].tool, .arguments = calls[i].arguments,
                                         .arguments_length = strlen(calls[i].arguments)};
        struct tool_result result;
        struct err e = {0};
        int before = called;

        assert_int_equal(invoke_tool(&caller, &request, &result, &e), 0);
        if (result.status != calls[i].status)
            fail_msg("%zu: %s: %s", i, tool_status_name(result.status), result.content);
        if (calls[i].content != NULL)
            assert_string_equal(result.content, calls[i].content);
        assert_int_equal(called - before,
                         calls[i].runs && result.status != TOOL_UNAVAILABLE);
        tool_result_clear(&result);
    }
    toolset_free(&set);
    config_release(&config);
}

/* ---- the log ---- */

/* What is logged of one call with `arguments`, by a configuration of one tool. */
static char *logged(const char *tools, const char *arguments)
{
    struct config *config = build_config_tools(security_text, NULL, tools);
    struct toolset *set = new_set(config);
    struct invoke_caller caller = {
        .toolset = set, .security = &config->security, .key = key_named(config, "k"),
        .agent = "default/a", .source = "declarative", .watch_fd = -1};
    struct invoke_request request = {.name = "say", .arguments = arguments,
                                     .arguments_length = strlen(arguments)};
    char path[] = "/tmp/agw-log-XXXXXX", *text = calloc(1, 65536);
    int fd = mkstemp(path);
    struct tool_result result;
    struct err e = {0};

    assert_int_equal(log_open(path), 0);
    assert_int_equal(invoke_tool(&caller, &request, &result, &e), 0);
    assert_int_equal(log_open(NULL), 0);
    assert_true(read(fd, text, 65535) > 0);
    close(fd);
    unlink(path);
    tool_result_clear(&result);
    toolset_free(&set);
    config_release(&config);
    return text;
}

static void arguments_are_logged_on_request_only(void **state)
{
    static const char arguments[] = "{\"say\": \"p4ssw0rd\"}";
    char *text = logged("version: 1\ntools:\n"
                        "  - {name: say, provider: local, command: [bin/say]}\n", arguments);

    (void)state;
    assert_non_null(strstr(text, "\"event\":\"tool.invoke\""));
    assert_non_null(strstr(text, "\"status\":\"ok\""));
    assert_null(strstr(text, "p4ssw0rd"));
    free(text);
    text = logged("version: 1\ntools:\n  - {name: say, provider: local, command: [bin/say],"
                  " log_arguments: true}\n", arguments);
    assert_non_null(strstr(text, "\"arguments\":\"{\\\"say\\\": \\\"p4ssw0rd\\\"}\""));
    free(text);
}

/* ---- the trail ---- */

static void the_trail_has_each_call(void **state)
{
    static const char *const rows[] = {
        ("SELECT count(*) FROM tool_invocations WHERE tool = 'say' AND status = 'ok' AND"
         " decision = 'allow' AND duration_ms >= 0 AND request_id = 'r' AND call_id = 'call_1'"
         " AND generation = 7 AND caller = 'declarative' AND list = 'default.allow_tools'"),
        "SELECT count(*) FROM tool_invocations WHERE status = 'invalid' AND decision = 'allow'",
        ("SELECT count(*) FROM tool_invocations WHERE status = 'denied' AND decision = 'deny'"
         " AND list = 'tool_rules.deny_tools' AND pattern = '*' AND rule LIKE '%.yaml:8'"),
        "SELECT count(DISTINCT request_uid) FROM audit_event",
    };
    const struct fixture *f = *state;
    const struct audit_options options = {.queue_max = 100, .linger_ms = 1, .wait_ms = 5000};
    struct config *config = build_config_tools(security_text, NULL, tools_text);
    struct toolset *set = new_set(config);
    struct audit_row row = fixture_row("decision", "k", "default/a"), end = row;
    struct audit_ticket *ticket;
    struct audit *audit;
    struct err e = {0};
    struct tool_result result;

    assert_int_equal(audit_start(f->store, &options, &audit, &e), 0);
    row.process = NULL;
    assert_int_equal(audit_record(audit, &row, &ticket, &e), 0);
    {
        struct invoke_caller caller = {
            .toolset = set, .security = &config->security, .generation = 7, .audit = audit,
            .key = key_named(config, "k"), .agent = "default/a", .ns = "default",
            .request_id = "r", .request_uid = audit_uid(ticket), .source = "declarative",
            .watch_fd = -1};
        struct invoke_request request = {.name = "say", .call_id = "call_1"};

        assert_int_equal(invoke_tool(&caller, &request, &result, &e), 0);
        tool_result_clear(&result);
        request.arguments = "{\"say\": 1}";
        request.arguments_length = strlen(request.arguments);
        assert_int_equal(invoke_tool(&caller, &request, &result, &e), 0);
        tool_result_clear(&result);
        caller.agent = "closed/a";
        assert_int_equal(invoke_tool(&caller, &request, &result, &e), 0);
        tool_result_clear(&result);
    }
    end.outcome = "completed";
    audit_finish(audit, &ticket, &end);
    audit_stop(&audit);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 6);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM tool_invocations"), 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (fixture_number(f, rows[i]) != 1)
            fail_msg("%s", rows[i]);
    assert_int_equal(fixture_number(f, "SELECT sum(requests) FROM usage_day"), 1);
    toolset_free(&set);
    config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolving_waits_for_the_first_list),
        cmocka_unit_test(resolving_waits_for_no_other_list),
        cmocka_unit_test(the_end_calls_lists_off),
        cmocka_unit_test(an_unchanged_entry_keeps_its_source),
        cmocka_unit_test(a_changed_list_is_asked_for),
        cmocka_unit_test(a_problem_is_told_once),
        cmocka_unit_test(diagnostics_say_what_is_wrong),
        cmocka_unit_test(tools_are_found_while_one_is_described),
        cmocka_unit_test(each_call_ends_as_the_table_says),
        cmocka_unit_test(arguments_are_logged_on_request_only),
        cmocka_unit_test_setup_teardown(the_trail_has_each_call, fixture_setup,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

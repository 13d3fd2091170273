/* SPDX-License-Identifier: MIT */
/* Runs of agents that another process hosts, against a host that plays a script: what the client
 * gets, how failures are told, and what must hold when memory or threads are out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/run.h"
#include "agent/sdk_run.h"
#include "build_config.h"
#include "inject.h"
#include "net/http_client.h"
#include "util/clock.h"
#include "util/log.h"

#define HELLO "{\"t\":\"hello\",\"v\":1}\n"
#define DONE(text) "{\"t\":\"run.done\",\"output\":\"" text "\",\"finish_reason\":\"stop\"}\n"
#define ASK(id, more)                                                                            \
    "{\"t\":\"llm.request\",\"id\":" id ",\"body\":{\"messages\":[{\"role\":\"user\","            \
    "\"content\":\"hi\"}]" more "}}\n"
#define CHECK(id, name)                                                                          \
    "{\"t\":\"tool.check\",\"id\":" id ",\"name\":\"" name "\",\"call_id\":\"c\"}\n"
#define ENDED(id) "{\"t\":\"tool.done\",\"id\":" id ",\"ok\":true}\n"
#define CALL(id, name)                                                                           \
    "{\"t\":\"tool.call\",\"id\":" id ",\"name\":\"" name "\",\"args\":\"{}\"}\n"

/* ---- a tool of the gateway that has no need of memory ---- */

static void *open_tool(const struct config_tool *config, void (*changed)(void *arg), void *arg,
                       struct err *e)
{
    (void)changed, (void)arg, (void)e;
    return (void *)(uintptr_t)config;
}

static void close_tool(void *state)
{
    (void)state;
}

static void call_tool(void *state, const struct tool_call *call, struct tool_result *result)
{
    (void)state;
    tool_result_put(result, TOOL_OK, "fine", 4, call->max_result);
}

static const struct tool_provider local = {"local", open_tool, close_tool, NULL, call_tool,
                                           NULL};
static const struct tool_provider *const providers[TOOL_PROVIDERS] = {[TOOL_LOCAL] = &local};

/* ---- the host ---- */

/* Sends a text, then waits for so many lines, and so on; then for the end. It must not need the
 * allocator, which others find empty. */
struct step {
    const char *text;
    int lines;
};

struct scene {
    struct config *config;
    struct dropins *dropins;
    struct catalog *catalog;
    struct toolset *toolset;
    struct upstreams *upstreams;
    struct invoke_caller caller;
    struct agent_run run;
    struct agent_hops hops;
    struct chat_sink sink;
    json_t *request;
    const struct step *steps;
    pthread_t host;
    int peer, opened, refuse;
    char heard[65536]; /* what the host was told */
    char told[65536];  /* what the client was: texts, <reason>, {usage} */
    int answers, status, sink_code, violations;
    struct err e;
};

static struct scene *on_stage;

static bool wait_lines(struct scene *s, int lines, size_t *length)
{
    while (lines > 0) {
        ssize_t got = recv(s->peer, s->heard + *length, sizeof s->heard - 1 - *length, 0);

        if (got <= 0)
            return false;
        for (ssize_t i = 0; i < got; i++)
            lines -= s->heard[*length + (size_t)i] == '\n';
        *length += (size_t)got;
        s->heard[*length] = '\0';
    }
    return true;
}

static void *play(void *arg)
{
    struct scene *s = arg;
    size_t length = 0;

    for (const struct step *step = s->steps; step->text != NULL; step++) {
        size_t size = strlen(step->text);

        if (send(s->peer, step->text, size, MSG_NOSIGNAL) != (ssize_t)size ||
            !wait_lines(s, step->lines, &length))
            break;
    }
    shutdown(s->peer, SHUT_WR);
    while (wait_lines(s, 1, &length))
        ;
    close(s->peer);
    return NULL;
}

static void clean_up_host(struct scene *s)
{
    if (s->opened > 0)
        pthread_join(s->host, NULL);
    s->opened = 0;
}

int __wrap_link_open(struct link *link, const char *id, int64_t deadline_ms, int watch_fd, int *fd,
                     struct err *e);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg);

int __wrap_link_open(struct link *link, const char *id, int64_t deadline_ms, int watch_fd, int *fd,
                     struct err *e)
{
    struct scene *s = on_stage;
    int ends[2];

    (void)link, (void)deadline_ms, (void)watch_fd;
    assert_string_equal(id, "a/x");
    if (s->refuse != 0)
        return err_set_public(e, s->refuse, NULL, "refused");
    clean_up_host(s); /* of the try before */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return err_set(e, AGW_ENOMEM, "sockets");
    *fd = ends[0];
    s->peer = ends[1];
    s->heard[0] = '\0';
    s->opened = 1;
    return __real_pthread_create(&s->host, NULL, play, s);
}

static _Atomic int hangs;

void __wrap_link_report_hang(struct link *link, const char *id);
void __wrap_link_report_hang(struct link *link, const char *id)
{
    (void)link, (void)id;
    hangs++;
}

/* ---- the client ---- */

static void add(struct scene *s, const char *before, const char *text, const char *after)
{
    size_t length = strlen(s->told);

    if (text != NULL)
        snprintf(s->told + length, sizeof s->told - length, "%s%s%s", before, text, after);
}

static void add_usage(struct scene *s, const json_t *answer)
{
    const json_t *usage = json_object_get(answer, "usage");
    char text[64];

    if (usage == NULL)
        return;
    snprintf(text, sizeof text, "%d+%d",
             (int)json_integer_value(json_object_get(usage, "prompt_tokens")),
             (int)json_integer_value(json_object_get(usage, "completion_tokens")));
    add(s, "{", text, "}");
}

static int on_answer(struct scene *s, json_t *answer, const char *where)
{
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    const json_t *message = json_object_get(choice, where);

    add(s, "", json_string_value(json_object_get(message, "content")), "");
    add(s, "!", json_string_value(json_object_get(message, "refusal")), "");
    add(s, "?", json_string_value(json_object_get(message, "reasoning_content")), "");
    add(s, "<", json_string_value(json_object_get(choice, "finish_reason")), ">");
    add_usage(s, answer);
    return s->sink_code;
}

static int on_chunk(void *arg, json_t *chunk)
{
    return on_answer(arg, chunk, "delta");
}

static int on_completion(void *arg, json_t *completion)
{
    struct scene *s = arg;

    s->answers++;
    return on_answer(s, completion, "message");
}

static void on_denied(void *arg, const char *tool)
{
    struct scene *s = arg;

    assert_string_equal(tool, "forbidden");
    s->violations++;
}

/* ---- the scene ---- */

static const char security_text[] =
    "version: 1\n"
    "default: {local_tools_allowlist: ['*'], deny_tools: [forbidden]}\n"
    "api_keys:\n"
    "  - {id: k, hashed_key: \"sha256:"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n";

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    s->config = build_config_tools(security_text, NULL,
                                   "version: 1\ntools:\n"
                                   "  - {name: one, provider: local, command: [x],"
                                   " description: The first.}\n");
    s->dropins = dropins_new(json_loads(
        "{\"agents\":[{\"id\":\"a/x\",\"namespace\":\"a\",\"name\":\"x\",\"lang\":\"python\","
        "\"module\":\"m\",\"path\":\"/p\",\"attr\":\"agent\",\"model\":\"echo-1\",\"upstream\":"
        "\"echo\",\"available\":true,\"tools\":[\"own\"]}]}", 0, NULL));
    s->catalog = catalog_new(s->config, s->dropins);
    s->toolset = toolset_new(providers);
    s->upstreams = upstreams_new();
    assert_int_equal(toolset_update(s->toolset, s->config, &s->e), 0);
    assert_int_equal(upstreams_update(s->upstreams, s->config, &s->e), 0);
    s->caller = (struct invoke_caller){
        .toolset = s->toolset, .security = &s->config->security,
        .key = &s->config->security.keys[0], .agent = "a/x", .ns = "a", .source = "sdk",
        .watch_fd = -1, .denied = on_denied, .denied_arg = s};
    s->sink = (struct chat_sink){.chunk = on_chunk, .completion = on_completion, .watch_fd = -1,
                                 .arg = s};
    s->request = json_loads("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 0, NULL);
    s->run = (struct agent_run){
        .agent = catalog_find(s->catalog, "a/x"), .request = s->request, .request_id = "r",
        .upstreams = s->upstreams, .sink = &s->sink, .caller = &s->caller, .total_ms = 60000,
        .hops = &s->hops};
    on_stage = s;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    clean_up_host(s);
    json_decref(s->request);
    upstreams_free(&s->upstreams);
    toolset_free(&s->toolset);
    catalog_release(&s->catalog);
    dropins_release(&s->dropins);
    config_release(&s->config);
    free(s);
    return 0;
}

static void run_scene(void *arg)
{
    struct scene *s = arg;
    struct chat_usage usage;

    s->told[0] = '\0';
    s->answers = s->violations = 0;
    s->hops = (struct agent_hops){0};
    err_reset(&s->e);
    s->status = agent_run(&s->run, &usage, &s->e);
}

static void perform(struct scene *s, const struct step *steps, bool streaming)
{
    s->steps = steps;
    s->run.streaming = streaming;
    run_scene(s);
    clean_up_host(s);
}

/* ---- what the client gets ---- */

static const struct run_case {
    const char *name;
    bool streaming;
    struct step steps[4];
    int status, http;
    const char *told; /* or, of a failure that may be shown, a part of its message */
} cases[] = {
    {"an answer", false, {{HELLO DONE("fine"), 0}}, 0, 0, "fine<stop>"},
    {"a stream", true,
     {{HELLO "{\"t\":\"delta\",\"content\":\"fi\"}\n{\"t\":\"delta\",\"reasoning_content\":\"r\"}\n"
       "{\"t\":\"delta\",\"content\":\"ne\",\"tool_calls\":[1],\"role\":\"x\"}\n" DONE("x"), 0}},
     0, 0, "fi?rne<stop>"},
    {"deltas are for streams", false,
     {{HELLO "{\"t\":\"delta\",\"content\":\"no\"}\n" DONE("fine"), 0}}, 0, 0, "fine<stop>"},
    {"empty deltas and odd ones", true,
     {{HELLO "{\"t\":\"delta\",\"content\":\"\"}\n{\"t\":\"delta\",\"content\":7}\n"
       "{\"t\":\"delta\"}\n{\"t\":\"made up\"}\n{}\n" DONE(""), 0}}, 0, 0, "<stop>"},
    {"a refusal", false,
     {{HELLO "{\"t\":\"run.done\",\"output\":\"x\",\"refusal\":\"no\"}\n", 0}}, 0, 0,
     "!no<stop>"},
    {"no output", false, {{HELLO "{\"t\":\"run.done\",\"output\":[1]}\n", 0}}, 0, 0, "<stop>"},
    {"a reason", false,
     {{HELLO "{\"t\":\"run.done\",\"output\":\"x\",\"finish_reason\":\"length\"}\n", 0}}, 0, 0,
     "x<length>"},
    {"a reason of its own", false,
     {{HELLO "{\"t\":\"run.done\",\"output\":\"x\",\"finish_reason\":\"tired\"}\n", 0}}, 0, 0,
     "x<stop>"},
    {"a model call", false, {{HELLO ASK("1", ""), 3}, {DONE("fine"), 0}}, 0, 0,
     "fine<stop>{1+2}"},
    {"two model calls", true,
     {{HELLO ASK("1", "") ASK("2", ",\"stream\":false"), 4}, {DONE("fine"), 0}}, 0, 0,
     "<stop>{2+4}"},
    {"no hello", false, {{DONE("fine"), 0}}, AGW_EAGENT, 502, NULL},
    {"a newer hello", false, {{"{\"t\":\"hello\",\"v\":2}\n", 0}}, AGW_EAGENT, 502, NULL},
    {"nonsense", false, {{HELLO "nonsense\n", 0}}, AGW_EAGENT, 502, NULL},
    {"an end", false, {{HELLO, 2}}, AGW_EAGENT, 502, "'a/x' has ended"},
    {"a guardrail", false,
     {{HELLO "{\"t\":\"run.error\",\"class\":\"input_guardrail\",\"message\":\"No.\"}\n", 0}},
     AGW_EGUARDRAIL, 0, "The agent 'a/x': No."},
    {"a guardrail of a stream that has begun", true,
     {{HELLO "{\"t\":\"delta\",\"content\":\"Once\"}\n"
       "{\"t\":\"run.error\",\"class\":\"output_guardrail\"}\n", 0}}, 0, 0,
     "Once<content_filter>"},
    {"a guardrail of a stream that has not", true,
     {{HELLO "{\"t\":\"run.error\",\"class\":\"output_guardrail\"}\n", 0}}, AGW_EGUARDRAIL, 0,
     "it failed"},
};

static void the_client_gets_what_the_table_says(void **state)
{
    struct scene *s = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct run_case *c = &cases[i];

        perform(s, c->steps, c->streaming);
        if (s->status != c->status)
            print_error("%s: %d %s\n", c->name, s->status, s->e.message);
        assert_int_equal(s->status, c->status);
        if (c->status == 0) {
            assert_string_equal(s->told, c->told);
            continue;
        }
        assert_int_equal(s->e.status, c->http);
        assert_true(s->e.is_public == (c->told != NULL));
        if (c->told != NULL)
            assert_non_null(strstr(s->e.message, c->told));
    }
}

static void what_the_runner_refuses_is_passed_on(void **state)
{
    struct scene *s = *state;

    s->refuse = AGW_EUNAVAILABLE;
    run_scene(s);
    assert_int_equal(s->status, AGW_EUNAVAILABLE);
    assert_string_equal(s->e.message, "refused");
}

static void tools_run_by_leave_only(void **state)
{
    static const struct step steps[] = {
        {HELLO CHECK("1", "own") CHECK("2", "forbidden") CALL("3", "one") CALL("4", "forbidden"),
         6},
        {ENDED("1") ENDED("2") ENDED("99") DONE("fine"), 0}, {0}};
    struct scene *s = *state;

    perform(s, steps, false);
    assert_int_equal(s->status, 0);
    assert_non_null(strstr(s->heard, "\"t\": \"tool.verdict\", \"id\": 1, \"allow\": true") ?:
                    strstr(s->heard, "\"t\":\"tool.verdict\",\"id\":1,\"allow\":true"));
    assert_non_null(strstr(s->heard, "\"id\":2,\"allow\":false"));
    assert_non_null(strstr(s->heard, "\"id\":3,\"ok\":true,\"content\":\"fine\""));
    assert_non_null(strstr(s->heard, "\"id\":4,\"ok\":false"));
    assert_int_equal(s->hops.calls, 4);
    assert_int_equal(s->hops.model_calls, 0);
    assert_int_equal(s->violations, 1); /* there is no gateway tool of that name */
}

static void a_sink_that_fails_ends_the_run(void **state)
{
    static const struct step steps[] = {{HELLO "{\"t\":\"delta\",\"content\":\"a\"}\n", 3}, {0}};
    struct scene *s = *state;

    s->sink_code = AGW_EGONE;
    perform(s, steps, true);
    assert_int_equal(s->status, AGW_EGONE);
    assert_non_null(strstr(s->heard, "client_gone"));
}

static void a_client_that_leaves_ends_the_run(void **state)
{
    static const struct step steps[] = {{HELLO CHECK("1", "own"), 4}, {0}};
    struct scene *s = *state;
    int client[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client), 0);
    close(client[1]);
    s->sink.watch_fd = client[0];
    perform(s, steps, false);
    close(client[0]);
    assert_int_equal(s->status, AGW_EGONE);
    assert_non_null(strstr(s->heard, "client_gone"));
}

static void a_run_ends_at_its_deadline(void **state)
{
    static const struct step steps[] = {{HELLO, 3}, {0}};
    struct scene *s = *state;

    s->run.total_ms = 300;
    perform(s, steps, false);
    assert_int_equal(s->status, AGW_ETIMEOUT);
    assert_int_equal(hangs, 0);
}

static void one_that_says_nothing_is_reported(void **state)
{
    static const struct step steps[] = {{"", 3}, {0}};
    struct scene *s = *state;

    hangs = 0;
    perform(s, steps, false);
    assert_int_equal(s->status, AGW_ETIMEOUT);
    assert_non_null(strstr(s->e.message, "does not answer"));
    assert_int_equal(hangs, 1);
}

/* ---- failures in the gateway's terms ---- */

static const struct error_case {
    const char *message;
    int failed; /* of the last model call */
    int code, status;
} errors[] = {
    {"{\"class\":\"input_guardrail\",\"status\":400}", 0, AGW_EGUARDRAIL, 0},
    {"{\"class\":\"output_guardrail\"}", 0, AGW_EGUARDRAIL, 0},
    {"{\"class\":\"max_turns\",\"status\":500}", 0, AGW_EAGENT, 0},
    {"{\"class\":\"model_behavior\"}", 0, AGW_EAGENT, 0},
    {"{\"class\":\"user_error\",\"status\":500}", 0, AGW_EAGENT, 0},
    {"{\"class\":\"user_error\",\"status\":400}", 0, AGW_EINVALID, 0},
    {"{\"class\":\"crash\"}", 0, AGW_EAGENT, 502},
    {"{\"class\":\"internal\",\"status\":200}", 0, AGW_EAGENT, 0},
    {"{\"class\":\"tool\"}", 0, AGW_EAGENT, 0},
    {"{\"class\":\"cancelled\"}", 0, AGW_ETIMEOUT, 0},
    {"{\"class\":7,\"status\":\"x\",\"message\":[]}", 0, AGW_EAGENT, 0},
    {"{}", 0, AGW_EAGENT, 0},
    /* what the gateway has seen counts, not what the module says */
    {"{\"class\":\"upstream\",\"status\":200}", AGW_EUPSTREAMREQ, AGW_EUPSTREAMREQ, 429},
    {"{\"class\":\"upstream\",\"status\":429}", 0, AGW_EUPSTREAM, 0},
    {"{\"class\":\"upstream\",\"status\":504}", 0, AGW_ETIMEOUT, 0},
};

static void failures_become_the_gateways(void **state)
{
    struct scene *s = *state;

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        const struct error_case *c = &errors[i];
        json_t *message = json_loads(c->message, 0, NULL);
        struct sdk_run r = {.run = &s->run, .dropin = s->run.agent->dropin,
                            .lock = PTHREAD_MUTEX_INITIALIZER};
        struct err e = {0};

        if (c->failed != 0) {
            err_set_public(&r.failed, c->failed, NULL, "too fast");
            r.failed.status = 429;
            r.failed.retry_after_s = 9;
        }
        assert_int_equal(sdk_error(&r, message, &e), c->code);
        assert_int_equal(e.code, c->code);
        assert_int_equal(e.status, c->status);
        assert_true(e.is_public);
        assert_int_equal(e.retry_after_s, c->failed != 0 ? 9 : 0);
        json_decref(message);
    }
}

static void modules_hear_of_failures_as_from_a_provider(void **state)
{
    struct err e = {0};
    json_t *object;
    const json_t *error;

    (void)state;
    err_set(&e, AGW_EUPSTREAM, "secret detail");
    object = sdk_error_object(&e);
    error = json_object_get(object, "error");
    assert_string_equal(json_string_value(json_object_get(error, "message")),
                        err_info(AGW_EUPSTREAM)->text);
    assert_string_equal(json_string_value(json_object_get(error, "code")), "upstream_error");
    assert_true(json_is_null(json_object_get(error, "param")));
    json_decref(object);
    err_set_public(&e, AGW_EUPSTREAMREQ, "temperature", "too hot");
    object = sdk_error_object(&e);
    error = json_object_get(object, "error");
    assert_string_equal(json_string_value(json_object_get(error, "message")), "too hot");
    assert_string_equal(json_string_value(json_object_get(error, "param")), "temperature");
    json_decref(object);
}

/* ---- without memory, without threads ---- */

/* An answer is whole, or there is none. That the module is told of a failure, and ends as it
 * likes, is as good as any. */
static void whole_or_none(void *arg)
{
    struct scene *s = arg;

    clean_up_host(s);
    if (s->status == 0) {
        assert_non_null(strstr(s->told, "<stop>"));
        return;
    }
    if (s->status != AGW_ENOMEM && s->status != AGW_EAGENT && s->status != AGW_ETIMEOUT)
        print_error("%d %s\n", s->status, s->e.message);
    assert_true(s->status == AGW_ENOMEM || s->status == AGW_EAGENT);
    assert_null(strstr(s->told, "<"));
}

static const struct step busy[] = {
    {HELLO ASK("1", ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"own\"}}]"), 3},
    {CHECK("2", "own"), 1}, {CALL("3", "one"), 1},
    {ENDED("2") "{\"t\":\"delta\",\"content\":\"x\"}\n" DONE("fine"), 0}, {0}};

static void runs_without_memory(void **state)
{
    struct scene *s = *state;

    log_set_level(LOG_ERROR);
    s->steps = busy;
    assert_true(inject_each(INJECT_MEMORY, run_scene, whole_or_none, s) > 50);
    s->run.streaming = true;
    assert_true(inject_each(INJECT_MEMORY, run_scene, whole_or_none, s) > 50);
}

static void runs_without_threads(void **state)
{
    struct scene *s = *state;

    s->steps = busy;
    assert_true(inject_each(INJECT_SYSTEM, run_scene, whole_or_none, s) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_client_gets_what_the_table_says, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_runner_refuses_is_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(tools_run_by_leave_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sink_that_fails_ends_the_run, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_ends_the_run, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_ends_at_its_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_says_nothing_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_become_the_gateways, setup, teardown),
        cmocka_unit_test(modules_hear_of_failures_as_from_a_provider),
        cmocka_unit_test_setup_teardown(runs_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_without_threads, setup, teardown),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

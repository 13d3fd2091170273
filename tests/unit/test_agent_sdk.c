/* SPDX-License-Identifier: MIT */
/* Runs of agents that another process hosts, against a host that plays a script: what the client
 * gets, how failures are told, and what must hold when memory or threads are out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/sdk_run.h"
#include "inject.h"
#include "net/http_client.h"
#include "sdk_scene.h"
#include "util/log.h"

/* ---- what the client gets ---- */

static const struct run_case {
    const char *name;
    bool streaming;
    struct sdk_step steps[4];
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
    struct sdk_scene *s = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct run_case *c = &cases[i];

        sdk_scene_perform(s, c->steps, c->streaming);
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
    struct sdk_scene *s = *state;

    s->refuse = AGW_EUNAVAILABLE;
    sdk_scene_run(s);
    assert_int_equal(s->status, AGW_EUNAVAILABLE);
    assert_string_equal(s->e.message, "refused");
}

static void tools_run_by_leave_only(void **state)
{
    static const struct sdk_step steps[] = {
        {HELLO CHECK("1", "own") CHECK("2", "forbidden") CALL("3", "one") CALL("4", "forbidden"),
         6},
        {ENDED("1") ENDED("2") ENDED("99") DONE("fine"), 0}, {0}};
    struct sdk_scene *s = *state;

    sdk_scene_perform(s, steps, false);
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
    static const struct sdk_step steps[] = {{HELLO "{\"t\":\"delta\",\"content\":\"a\"}\n", 3}, {0}};
    struct sdk_scene *s = *state;

    s->sink_code = AGW_EGONE;
    sdk_scene_perform(s, steps, true);
    assert_int_equal(s->status, AGW_EGONE);
    assert_non_null(strstr(s->heard, "client_gone"));
}

static void a_client_that_leaves_ends_the_run(void **state)
{
    static const struct sdk_step steps[] = {{HELLO CHECK("1", "own"), 4}, {0}};
    struct sdk_scene *s = *state;
    int client[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client), 0);
    close(client[1]);
    s->sink.watch_fd = client[0];
    sdk_scene_perform(s, steps, false);
    close(client[0]);
    assert_int_equal(s->status, AGW_EGONE);
    assert_non_null(strstr(s->heard, "client_gone"));
}

static void a_run_ends_at_its_deadline(void **state)
{
    static const struct sdk_step steps[] = {{HELLO, 3}, {0}};
    struct sdk_scene *s = *state;

    s->run.total_ms = 300;
    sdk_scene_perform(s, steps, false);
    assert_int_equal(s->status, AGW_ETIMEOUT);
    assert_int_equal(sdk_scene_hangs, 0);
}

static void one_that_says_nothing_is_reported(void **state)
{
    static const struct sdk_step steps[] = {{"", 3}, {0}};
    struct sdk_scene *s = *state;

    sdk_scene_hangs = 0;
    sdk_scene_perform(s, steps, false);
    assert_int_equal(s->status, AGW_ETIMEOUT);
    assert_non_null(strstr(s->e.message, "does not answer"));
    assert_int_equal(sdk_scene_hangs, 1);
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
    {"{\"class\":\"approval\"}", 0, AGW_EAPPROVAL, 0},
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
    struct sdk_scene *s = *state;

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
    struct sdk_scene *s = arg;

    sdk_scene_clean_up(s);
    if (s->status == 0) {
        assert_non_null(strstr(s->told, "<stop>"));
        return;
    }
    if (s->status != AGW_ENOMEM && s->status != AGW_EAGENT && s->status != AGW_ETIMEOUT)
        print_error("%d %s\n", s->status, s->e.message);
    assert_true(s->status == AGW_ENOMEM || s->status == AGW_EAGENT);
    assert_null(strstr(s->told, "<"));
}

static const struct sdk_step busy[] = {
    {HELLO ASK("1", ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"own\"}}]"), 3},
    {CHECK("2", "own"), 1}, {CALL("3", "one"), 1},
    {ENDED("2") "{\"t\":\"delta\",\"content\":\"x\"}\n" DONE("fine"), 0}, {0}};

static void runs_without_memory(void **state)
{
    struct sdk_scene *s = *state;

    log_set_level(LOG_ERROR);
    s->steps = busy;
    assert_true(inject_each(INJECT_MEMORY, sdk_scene_run, whole_or_none, s) > 50);
    s->run.streaming = true;
    assert_true(inject_each(INJECT_MEMORY, sdk_scene_run, whole_or_none, s) > 50);
}

static void runs_without_threads(void **state)
{
    struct sdk_scene *s = *state;

    s->steps = busy;
    assert_true(inject_each(INJECT_SYSTEM, sdk_scene_run, whole_or_none, s) > 0);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, sdk_scene_setup, sdk_scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(the_client_gets_what_the_table_says),
        ROW(what_the_runner_refuses_is_passed_on),
        ROW(tools_run_by_leave_only),
        ROW(a_sink_that_fails_ends_the_run),
        ROW(a_client_that_leaves_ends_the_run),
        ROW(a_run_ends_at_its_deadline),
        ROW(one_that_says_nothing_is_reported),
        ROW(failures_become_the_gateways),
        cmocka_unit_test(modules_hear_of_failures_as_from_a_provider),
        ROW(runs_without_memory),
        ROW(runs_without_threads),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

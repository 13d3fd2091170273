/* SPDX-License-Identifier: MIT */
/* chat_call() against mock upstreams: good answers, refusals, retries, failover. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chat_fixture.h"
#include "metrics_double.h"
#include "net/http_client.h"
#include "util/clock.h"

/* What the next requests get, one step each; the last one repeats. */
struct step {
    int status;             /* 0: reset the connection */
    const char *type, *headers, *body;
};

struct script {
    const struct step *steps;
    int count;
    char seen_head[8192], seen_body[4096];
};

#define JSON_STEP(status, body) {status, "application/json", "", body}
#define GOOD JSON_STEP(200, FIXTURE_COMPLETION("hi"))

static bool play(struct mock_conn *conn, const struct mock_request *request, void *arg)
{
    struct script *script = arg;
    int last = script->count - 1;
    const struct step *step =
        &script->steps[request->number - 1 < last ? request->number - 1 : last];

    snprintf(script->seen_head, sizeof script->seen_head, "%s", request->head);
    snprintf(script->seen_body, sizeof script->seen_body, "%s", request->body);
    if (step->status == 0) {
        mock_reset(conn);
        return false;
    }
    mock_reply(conn, step->status, step->type, step->headers, step->body);
    return true;
}

static void whole_answer(void **state)
{
    static const struct step steps[] = {GOOD};
    struct script script = {steps, 1, "", ""};
    struct mock_http *server = mock_http_start(play, &script);
    struct fixture f;
    json_t *sent;

    (void)state;
    metrics_double_reset();
    fixture_init(&f, 1, (int[]){mock_http_port(server)});
    assert_int_equal(fixture_call(&f, NULL, false), 0);
    assert_int_equal(f.sink.completions, 1);
    assert_string_equal(f.sink.text, "hi");
    assert_int_equal(f.usage.prompt_tokens, 3);
    assert_int_equal(f.usage.completion_tokens, 5);
    assert_int_equal(f.usage.attempts, 1);
    assert_string_equal(f.usage.upstream, "u0");
    assert_non_null(strstr(script.seen_head, "POST /v1/chat/completions HTTP/1.1\r\n"));
    assert_non_null(strstr(script.seen_head, "Authorization: Bearer " FIXTURE_KEY "\r\n"));
    assert_non_null(strstr(script.seen_head, "x-request-id: req-1\r\n"));
    assert_non_null(strstr(script.seen_head, "Content-Type: application/json\r\n"));
    assert_null(strstr(script.seen_head, "Expect"));
    sent = json_loads(script.seen_body, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(sent, "model")), "m");
    assert_null(json_object_get(sent, "stream_options"));
    json_decref(sent);
    assert_int_equal(metrics_double_value(METRIC_UPSTREAM_REQUESTS, "u0,200"), 1);
    assert_int_equal(metrics_double_value(METRIC_UPSTREAM_UP, "u0"), 1);
    /* fields that clients' types need */
    json_t *choice = json_array_get(json_object_get(f.sink.last, "choices"), 0);
    assert_true(json_is_null(json_object_get(choice, "logprobs")));
    assert_true(json_is_null(json_object_get(json_object_get(choice, "message"), "refusal")));
    /* the connection is used again */
    assert_int_equal(fixture_call(&f, NULL, false), 0);
    assert_int_equal(mock_http_connections(server), 1);
    fixture_free(&f);
    mock_http_stop(&server);
}

static void streamed_answer(void **state)
{
    static const struct step steps[] = {
        {200, "text/event-stream; charset=utf-8", "",
         ": hello\n\n" FIXTURE_CHUNK("a ") FIXTURE_CHUNK("b") FIXTURE_END FIXTURE_USAGE
             FIXTURE_DONE}};
    struct script script = {steps, 1, "", ""};
    struct mock_http *server = mock_http_start(play, &script);
    struct fixture f;
    json_t *sent, *body = json_pack("{s:s, s:b, s:{s:b, s:b}}", "model", "m", "stream", 1,
                                    "stream_options", "include_usage", 0, "other", 1);

    (void)state;
    fixture_init(&f, 1, (int[]){mock_http_port(server)});
    assert_int_equal(fixture_call_body(&f, NULL, json_incref(body)), 0);
    assert_int_equal(f.sink.chunks, 4);
    assert_string_equal(f.sink.text, "a b");
    assert_string_equal(f.sink.finish_reason, "stop");
    assert_int_equal(f.usage.completion_tokens, 5);
    assert_int_equal(json_array_size(json_object_get(f.sink.last, "choices")), 0);
    sent = json_loads(script.seen_body, 0, NULL);
    assert_true(json_is_true(
        json_object_get(json_object_get(sent, "stream_options"), "include_usage")));
    assert_true(
        json_is_true(json_object_get(json_object_get(sent, "stream_options"), "other")));
    json_decref(sent);
    /* the caller's body is untouched */
    assert_true(json_is_false(
        json_object_get(json_object_get(body, "stream_options"), "include_usage")));
    json_decref(body);
    assert_non_null(strstr(script.seen_head, "Accept: text/event-stream\r\n"));
    assert_int_equal(fixture_call(&f, NULL, true), 0);
    assert_int_equal(mock_http_connections(server), 1);
    fixture_free(&f);
    mock_http_stop(&server);
}

#define ERROR_BODY(text) "{\"error\":{\"message\":\"" text "\",\"param\":\"messages\"}}"

/* One upstream, one retry. */
static const struct {
    const char *name;
    bool stream;
    int count;
    struct step steps[3];
    int code, status, requests;
    const char *message; /* public message, NULL = not public */
} table[] = {
    {"503 then good", false, 2, {JSON_STEP(503, "x"), GOOD}, 0, 0, 2, NULL},
    {"500 then good", false, 2, {JSON_STEP(500, "x"), GOOD}, 0, 0, 2, NULL},
    {"429 then good", false, 2, {JSON_STEP(429, "x"), GOOD}, 0, 0, 2, NULL},
    {"reset then good", false, 2, {{0, NULL, NULL, NULL}, GOOD}, 0, 0, 2, NULL},
    {"503 for ever", false, 1, {JSON_STEP(503, "x")}, AGW_EUPSTREAM, 0, 2, NULL},
    {"501 is not retried", false, 2, {JSON_STEP(501, "x"), GOOD}, AGW_EUPSTREAM, 0, 1, NULL},
    {"400", false, 1, {JSON_STEP(400, ERROR_BODY("bad \\u0007field"))}, AGW_EUPSTREAMREQ, 400, 1,
     "bad  field"},
    {"404 streamed", true, 1, {JSON_STEP(404, ERROR_BODY("no model"))}, AGW_EUPSTREAMREQ, 404, 1,
     "no model"},
    {"413 without JSON", false, 1, {{413, "text/html", "", "<h1>"}}, AGW_EUPSTREAMREQ, 413, 1,
     "The model provider refused the request with status 413."},
    {"422 detail", false, 1, {JSON_STEP(422, "{\"detail\":\"d\"}")}, AGW_EUPSTREAMREQ, 422, 1,
     "d"},
    {"429 for ever", false, 1, {JSON_STEP(429, ERROR_BODY("slow down"))}, AGW_EUPSTREAMREQ, 429,
     2, "slow down"},
    {"429 that says that a retry is useless", false, 1,
     {{429, "application/json", "X-Should-Retry: False\r\n", ERROR_BODY("no quota")}},
     AGW_EUPSTREAMREQ, 429, 1, "no quota"},
    {"401 is ours", false, 1, {JSON_STEP(401, ERROR_BODY("bad key " FIXTURE_KEY))},
     AGW_EUPSTREAM, 0, 1, NULL},
    {"403 is ours", false, 1, {JSON_STEP(403, ERROR_BODY("x"))}, AGW_EUPSTREAM, 0, 1, NULL},
    {"400 that quotes the key", false, 1, {JSON_STEP(400, ERROR_BODY("you sent " FIXTURE_KEY))},
     AGW_EUPSTREAMREQ, 400, 1, "The model provider refused the request with status 400."},
    {"a content type that quotes the key", true, 1, {{200, "text/" FIXTURE_KEY, "", "x"}},
     AGW_EUPSTREAM, 0, 1, NULL},
    {"redirect", false, 1, {{302, "text/html", "Location: /v1/chat/completions\r\n", ""}},
     AGW_EUPSTREAM, 0, 1, NULL},
    {"not JSON", false, 1, {{200, "application/json", "", "{\"choices\":["}}, AGW_EUPSTREAM, 0,
     1, NULL},
    {"no choices", false, 1, {JSON_STEP(200, "{}")}, AGW_EUPSTREAM, 0, 1, NULL},
    {"empty choices", false, 1, {JSON_STEP(200, "{\"choices\":[]}")}, AGW_EUPSTREAM, 0, 1, NULL},
    {"choice without message", false, 1, {JSON_STEP(200, "{\"choices\":[{}]}")}, AGW_EUPSTREAM,
     0, 1, NULL},
    {"JSON bomb", false, 1,
     {JSON_STEP(200, "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                     "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}")},     AGW_EUPSTREAM, 0, 1, NULL},
    {"a stream that is JSON", true, 1, {GOOD}, AGW_EUPSTREAM, 0, 1, NULL},
    {"a stream that starts with an error", true, 1,
     {{200, "text/event-stream", "", "data: {\"error\":{\"message\":\"x\"}}\n\n"}},
     AGW_EUPSTREAM, 0, 1, NULL},
    {"a cut stream", true, 1, {{200, "text/event-stream", "", FIXTURE_CHUNK("a") FIXTURE_END}},
     AGW_EUPSTREAM, 0, 1, NULL},
    {"a stream that turns into an error", true, 1,
     {{200, "text/event-stream", "", FIXTURE_CHUNK("a") "data: {\"error\":\"x\"}\n\n"}},
     AGW_EUPSTREAM, 0, 1, NULL},
    {"a forged event", true, 1,
     {{200, "text/event-stream", "", "data: {\"x\":\"\n\ndata: [DONE]\n\n\"}\n\n"}},
     AGW_EUPSTREAM, 0, 1, NULL},
    {"an empty stream is retried", true, 2,
     {{200, "text/event-stream", "", ""},
      {200, "text/event-stream", "", FIXTURE_CHUNK("a") FIXTURE_END FIXTURE_DONE}}, 0, 0, 2,
     NULL},
    {"only [DONE]", true, 1, {{200, "text/event-stream", "", FIXTURE_DONE}}, AGW_EUPSTREAM, 0, 2,
     NULL},
};

static void answers_and_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct script script = {table[i].steps, table[i].count, "", ""};
        struct mock_http *server = mock_http_start(play, &script);
        struct fixture f;
        int code;

        fixture_init(&f, 1, (int[]){mock_http_port(server)});
        code = fixture_call(&f, NULL, table[i].stream);
        if (code != table[i].code || f.e.status != table[i].status ||
            mock_http_requests(server) != table[i].requests ||
            f.usage.attempts != table[i].requests)
            fail_msg("%s: code %d status %d requests %d: %s", table[i].name, code, f.e.status,
                     mock_http_requests(server), f.e.message);
        if (code != 0 && f.e.is_public != (table[i].message != NULL))
            fail_msg("%s: public message: %s", table[i].name, f.e.message);
        if (table[i].message != NULL && strcmp(f.e.message, table[i].message) != 0)
            fail_msg("%s: '%s'", table[i].name, f.e.message);
        assert_null(strstr(f.e.message, FIXTURE_KEY));
        fixture_free(&f);
        mock_http_stop(&server);
    }
}

static void failover_and_back(void **state)
{
    static const struct step bad[] = {JSON_STEP(503, "x")}, good[] = {GOOD};
    struct script first = {bad, 1, "", ""}, second = {good, 1, "", ""};
    struct mock_http *a = mock_http_start(play, &first), *b = mock_http_start(play, &second);
    struct fixture f;

    (void)state;
    fixture_init(&f, 2, (int[]){mock_http_port(a), mock_http_port(b)});
    assert_int_equal(fixture_call(&f, NULL, false), 0);
    assert_int_equal(mock_http_requests(a), 2);
    assert_int_equal(mock_http_requests(b), 1);
    assert_string_equal(f.usage.upstream, "u1");
    assert_int_equal(f.usage.attempts, 3);
    /* the preferred one comes first whatever its priority */
    assert_int_equal(fixture_call(&f, "u1", false), 0);
    assert_int_equal(mock_http_requests(a), 2);
    fixture_free(&f);
    mock_http_stop(&a);
    mock_http_stop(&b);
}

static void nobody_listens(void **state)
{
    static const struct step good[] = {GOOD};
    struct script script = {good, 1, "", ""};
    struct mock_http *gone = mock_http_start(play, &script);
    int port = mock_http_port(gone);
    struct fixture f;

    (void)state;
    mock_http_stop(&gone);
    fixture_init(&f, 1, (int[]){port});
    assert_int_equal(fixture_call(&f, NULL, false), AGW_EUPSTREAM);
    assert_int_equal(f.usage.attempts, 2);
    f.definitions[0].models =
        (struct config_patterns){.present = true, .count = 1, .patterns = (const char *[]){"gpt-*"}};
    fixture_apply(&f);
    assert_int_equal(fixture_call(&f, NULL, false), AGW_EUNAVAILABLE);
    fixture_free(&f);
}

static _Atomic int no_socket; /* errno of socket(), 0 = there are some */

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);

int __wrap_socket(int family, int type, int protocol)
{
    if (no_socket == 0)
        return __real_socket(family, type, protocol);
    errno = no_socket;
    return -1;
}

/* The next upstream could not be reached either, and none of them is to blame. */
static void without_sockets_the_gateway_is_overloaded(void **state)
{
    static const int lacks[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    static const struct step good[] = {GOOD};
    struct script script = {good, 1, "", ""};
    struct mock_http *server = mock_http_start(play, &script);
    struct fixture f;

    (void)state;
    metrics_double_reset();
    fixture_init(&f, 2, (int[]){mock_http_port(server), mock_http_port(server)});
    for (size_t i = 0; i < sizeof lacks / sizeof lacks[0]; i++) {
        no_socket = lacks[i];
        assert_int_equal(fixture_call(&f, NULL, i % 2 == 1), AGW_EOVERLOAD);
        assert_int_equal(f.usage.attempts, 1);
    }
    no_socket = EACCES; /* that is another matter */
    assert_int_equal(fixture_call(&f, NULL, false), AGW_EUPSTREAM);
    assert_int_equal(f.usage.attempts, 4);
    no_socket = 0;
    assert_int_equal(fixture_call(&f, NULL, false), 0);
    assert_string_equal(f.usage.upstream, "u0");
    assert_int_equal(f.usage.attempts, 1);
    fixture_free(&f);
    mock_http_stop(&server);
}

static void sink_decides(void **state)
{
    static const struct step steps[] = {
        {200, "text/event-stream", "", FIXTURE_CHUNK("a") FIXTURE_CHUNK("b") FIXTURE_DONE}};
    struct script script = {steps, 1, "", ""};
    struct mock_http *server = mock_http_start(play, &script);
    struct fixture f;

    (void)state;
    fixture_init(&f, 1, (int[]){mock_http_port(server)});
    f.sink.answer = AGW_EAUDIT;
    assert_int_equal(fixture_call(&f, NULL, true), AGW_EAUDIT);
    assert_int_equal(f.sink.chunks, 1);
    assert_int_equal(mock_http_requests(server), 1);
    fixture_free(&f);
    mock_http_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_answer),
        cmocka_unit_test(streamed_answer),
        cmocka_unit_test(answers_and_refusals),
        cmocka_unit_test(failover_and_back),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(without_sockets_the_gateway_is_overloaded),
        cmocka_unit_test(sink_decides),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("upstream/chat_call", tests, NULL, NULL);
}

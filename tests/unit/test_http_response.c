/* SPDX-License-Identifier: MIT */
/* Responses and event streams as a web server receives them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/fcgi_client.h"
#include "http/sse_write.h"
#include "util/clock.h"

struct scene {
    int peer;
    struct fcgi *x;
    struct arena *arena;
    struct request request;
    struct response response;
    struct fcgi_client_reply reply;
};

static void open_scene(struct scene *s, const char *method)
{
    const char *params[] = {"REQUEST_METHOD", method, "REQUEST_URI", "/",
                            "HTTP_X_REQUEST_ID", "rid", NULL};
    int pair[2];

    memset(s, 0, sizeof *s);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s->peer = pair[0];
    assert_int_equal(
        fcgi_client_send(pair[0], &(struct fcgi_client_request){.params = params}), 0);
    s->x = fcgi_accept(pair[1], 300, 300);
    assert_non_null(s->x);
    s->arena = arena_new(1 << 20);
    assert_int_equal(request_parse(s->x, s->arena, &s->request, NULL), 0);
    response_init(&s->response, &s->request);
}

static void receive(struct scene *s)
{
    assert_int_equal(fcgi_finish(&s->x), -1);
    assert_true(fcgi_client_receive(s->peer, &s->reply));
    assert_true(s->reply.ended);
}

static void close_scene(struct scene *s)
{
    response_free(&s->response);
    arena_free(&s->arena);
    fcgi_client_reply_free(&s->reply);
    close(s->peer);
}

static void expect_header(const struct scene *s, const char *name, const char *expected)
{
    char value[4096];

    fcgi_client_header(&s->reply, name, value, sizeof value);
    assert_string_equal(value, expected);
}

static void whole_json(void **state)
{
    json_t *value = json_pack("{s:s}", "text", "a\nb\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\x01");
    struct scene s;

    (void)state;
    open_scene(&s, "GET");
    response_header(&s.response, "x-test", "a%sb", "\r\nset-cookie: x");
    assert_int_equal(response_json(&s.response, 200, value), 0);
    receive(&s);
    assert_int_equal(s.reply.status, 200);
    assert_string_equal(s.reply.body,
                        "{\"text\":\"a\\nb\\u2028\\u2029\xe2\x80\xaa\\u0001\"}");
    expect_header(&s, "x-request-id", "rid");
    expect_header(&s, "cache-control", "no-store");
    expect_header(&s, "x-content-type-options", "nosniff");
    expect_header(&s, "content-type", "application/json");
    expect_header(&s, "x-test", "aset-cookie: xb");
    expect_header(&s, "set-cookie", "");
    close_scene(&s);
    json_decref(value);
}

static void head_has_no_body(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, "HEAD");
    assert_int_equal(response_text(&s.response, 200, "text/plain", "hello", 5), 0);
    receive(&s);
    expect_header(&s, "content-length", "5");
    assert_int_equal(s.reply.body_length, 0);
    close_scene(&s);
}

static void empty(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, "OPTIONS");
    assert_int_equal(response_empty(&s.response, 204), 0);
    assert_int_not_equal(response_empty(&s.response, 204), 0); /* once */
    receive(&s);
    assert_int_equal(s.reply.status, 204);
    expect_header(&s, "content-length", "");
    close_scene(&s);
}

/* code, the struct err that goes with it, and what a client must see of it */
static void errors(void **state)
{
    static const struct {
        int code;
        struct err e;
        int status;
        const char *retry_after, *should_retry, *body;
    } cases[] = {
        {AGW_ENOROUTE, {0}, 404, "", "",
         "{\"error\":{\"message\":\"No such endpoint.\",\"type\":\"invalid_request_error\","
         "\"param\":null,\"code\":\"not_found\"}}"},
        {AGW_EINVALID, {.is_public = true, .param = "messages", .message = "Too few."}, 400,
         "", "",
         "{\"error\":{\"message\":\"Too few.\",\"type\":\"invalid_request_error\","
         "\"param\":\"messages\",\"code\":null}}"},
        {AGW_EINVALID, {.message = "private path /etc"}, 400, "", "",
         "{\"error\":{\"message\":\"The request is not valid.\","
         "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}"},
        {AGW_ERATE, {.retry_after_s = 17}, 429, "17", "", NULL},
        {AGW_ERATE, {.retry_after_s = 600}, 429, "60", "", NULL},
        {AGW_ERATE, {0}, 429, "1", "", NULL},
        {AGW_EOVERLOAD, {0}, 503, "1", "", NULL},
        {AGW_EAUDIT, {0}, 503, "1", "", NULL},
        {AGW_EUPSTREAM, {0}, 502, "", "", NULL},
        {AGW_ETIMEOUT, {0}, 504, "", "", NULL},
        {AGW_EAGENT, {0}, 500, "", "false", NULL},
        {AGW_EDENIED, {0}, 403, "", "", NULL},
        {AGW_EUPSTREAMREQ, {.status = 422}, 422, "", "", NULL},
        {AGW_EUPSTREAMREQ, {.status = 429}, 429, "", "false", NULL},
        {AGW_EUPSTREAMREQ, {.status = 429, .retry_after_s = 3}, 429, "3", "", NULL},
        {AGW_EUPSTREAMREQ, {.status = 429, .retry_after_s = 3, .no_retry = true}, 429, "",
         "false", NULL},
        {AGW_EUPSTREAM, {.no_retry = true}, 502, "", "false", NULL},
        {AGW_EINVALID, {.is_public = true, .message = "\xff\xfe"}, 400, "", "", NULL},
        {-9999, {0}, 500, "", "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene s;
        json_t *body, *error;

        open_scene(&s, "POST");
        assert_int_equal(response_error(&s.response, cases[i].code, &cases[i].e), 0);
        receive(&s);
        if (s.reply.status != cases[i].status)
            fail_msg("case %zu: status %d", i, s.reply.status);
        expect_header(&s, "retry-after", cases[i].retry_after);
        expect_header(&s, "x-should-retry", cases[i].should_retry);
        if (cases[i].body != NULL)
            assert_string_equal(s.reply.body, cases[i].body);
        body = json_loads(s.reply.body, 0, NULL);
        error = json_object_get(body, "error");
        assert_int_equal(json_object_size(error), 4);
        assert_true(json_is_string(json_object_get(error, "message")));
        assert_true(json_is_string(json_object_get(error, "type")));
        assert_non_null(json_object_get(error, "param"));
        assert_non_null(json_object_get(error, "code"));
        json_decref(body);
        close_scene(&s);
    }
}

static void stream(void **state)
{
    json_t *value = json_pack("{s:s}", "text", "a\r\n\r\ndata: forged\n\n");
    struct scene s;

    (void)state;
    open_scene(&s, "POST");
    assert_int_equal(sse_write_begin(&s.response), 0);
    assert_int_equal(sse_write_ping(&s.response), 0);
    assert_int_equal(sse_write_json(&s.response, value), 0);
    assert_int_equal(sse_write_done(&s.response), 0);
    receive(&s);
    assert_int_equal(s.reply.status, 200);
    expect_header(&s, "content-type", "text/event-stream; charset=utf-8");
    expect_header(&s, "x-accel-buffering", "no");
    expect_header(&s, "x-request-id", "rid");
    expect_header(&s, "content-length", "");
    assert_string_equal(s.reply.body,
                        ": ping\n\n"
                        "data: {\"text\":\"a\\r\\n\\r\\ndata: forged\\n\\n\"}\n\n"
                        "data: [DONE]\n\n");
    assert_int_equal(s.response.bytes, s.reply.body_length);
    close_scene(&s);
    json_decref(value);
}

static void a_frame_arrives_at_once(void **state)
{
    char text[1024];
    struct scene s;
    ssize_t n;

    (void)state;
    open_scene(&s, "POST");
    sse_write_begin(&s.response);
    sse_write_ping(&s.response);
    n = recv(s.peer, text, sizeof text - 1, MSG_DONTWAIT);
    assert_true(n > 8);
    text[n] = '\0';
    assert_non_null(strstr(text + 8, ": ping\n\n"));
    fcgi_finish(&s.x);
    close_scene(&s);
}

/* Nobody reads: the writer gives up after its write timeout, never blocks for long. */
static void stuck_reader(void **state)
{
    size_t length = 2 << 20;
    char *text = malloc(length);
    int64_t before;
    struct scene s;

    (void)state;
    memset(text, 'x', length);
    open_scene(&s, "GET");
    before = clock_mono_ms();
    assert_int_equal(response_text(&s.response, 200, "text/plain", text, length), AGW_EGONE);
    assert_true(clock_mono_ms() - before < 2000);
    assert_true(clock_mono_ms() - before >= 250);
    assert_int_equal(fcgi_finish(&s.x), -1);
    close_scene(&s);
    free(text);
}

static void reader_gone(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, "POST");
    assert_false(fcgi_peer_gone(s.x));
    close(s.peer);
    s.peer = -1;
    assert_true(fcgi_peer_gone(s.x));
    assert_int_equal(sse_write_begin(&s.response), 0);
    assert_int_equal(sse_write_ping(&s.response), AGW_EGONE);
    assert_int_equal(sse_write_ping(&s.response), AGW_EGONE);
    assert_int_equal(fcgi_finish(&s.x), -1);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_json),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(empty),
        cmocka_unit_test(errors),
        cmocka_unit_test(stream),
        cmocka_unit_test(a_frame_arrives_at_once),
        cmocka_unit_test(stuck_reader),
        cmocka_unit_test(reader_gone),
    };

    if (fcgi_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("http/response", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Requests as they come out of FastCGI records: parameters, credentials, ids, bodies. */
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
#include "http/request.h"
#include "util/clock.h"

#define BASE "REQUEST_METHOD", "POST", "REQUEST_URI", "/v1/chat/completions?x=1"

struct scene {
    int peer;
    struct fcgi *x;
    struct arena *arena;
    struct request request;
    struct err e;
    int rc;
};

static void open_scene(struct scene *s, const struct fcgi_client_request *request)
{
    int pair[2];

    memset(s, 0, sizeof *s);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s->peer = pair[0];
    assert_int_equal(fcgi_client_send(pair[0], request), 0);
    s->x = fcgi_accept(pair[1], 300, 300);
    assert_non_null(s->x);
    s->arena = arena_new(64 << 20);
    s->rc = request_parse(s->x, s->arena, &s->request, &s->e);
}

static void close_scene(struct scene *s)
{
    int fd = fcgi_finish(&s->x);

    if (fd >= 0)
        close(fd);
    arena_free(&s->arena);
    close(s->peer);
}

static void fields(void **state)
{
    static const char *const params[] = {
        BASE, "HTTP_AUTHORIZATION", "Bearer k", "HTTP_ORIGIN", "https://a.example",
        "CONTENT_TYPE", "application/json", "HTTP_USER_AGENT", "curl", "REMOTE_ADDR",
        "127.0.0.1", "PATH_INFO", "/../evil", "SCRIPT_NAME", "/other", "HTTP_PROXY",
        "http://evil.example", "HTTP_X_REQUEST_ID", "trace-1._X",
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD", "POST", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
        "x-stainless-os", NULL};
    struct scene s;

    (void)state;
    open_scene(&s, &(struct fcgi_client_request){.params = params});
    assert_int_equal(s.rc, 0);
    assert_string_equal(s.request.method, "POST");
    assert_string_equal(s.request.path, "/v1/chat/completions");
    assert_string_equal(s.request.query, "x=1");
    assert_string_equal(s.request.authorization, "Bearer k");
    assert_null(s.request.x_api_key);
    assert_string_equal(s.request.origin, "https://a.example");
    assert_string_equal(s.request.content_type, "application/json");
    assert_string_equal(s.request.user_agent, "curl");
    assert_string_equal(s.request.remote_addr, "127.0.0.1");
    assert_string_equal(s.request.access_request_method, "POST");
    assert_string_equal(s.request.access_request_headers, "x-stainless-os");
    assert_string_equal(s.request.id, "trace-1._X");
    assert_string_equal(request_query(&s.request, "x"), "1");
    assert_null(request_query(&s.request, "y"));
    close_scene(&s);
}

/* What a web server passes, and whether it is a request. */
static void refusals(void **state)
{
    static char long_value[REQUEST_HEADER_MAX + 2];
    static const struct {
        const char *const params[12];
        bool good;
    } cases[] = {
        {{BASE, "HTTP_AUTHORIZATION", "Bearer a", NULL}, true},
        {{BASE, "HTTP_X_API_KEY", "a", NULL}, true},
        {{BASE, "HTTP_X_API_KEY", "a", "HTTP_X_API_KEY", "b", NULL}, false},
        {{BASE, "HTTP_X_API_KEY", "a", "HTTP_X_API_KEY", "a", NULL}, false},
        {{BASE, "HTTP_AUTHORIZATION", "Bearer a", "HTTP_AUTHORIZATION", "Bearer a", NULL},
         false},
        {{BASE, "HTTP_AUTHORIZATION", "", "HTTP_AUTHORIZATION", "Bearer a", NULL}, false},
        {{BASE, "HTTP_ORIGIN", "a", "HTTP_ORIGIN", "b", NULL}, true},
        {{BASE, "HTTP_X_API_KEYS", "a", "HTTP_X_API_KEYS", "b", NULL}, true},
        {{BASE, "HTTP_X_API_KEY", long_value, NULL}, false},
        {{BASE, "HTTP_X_UNKNOWN", long_value, NULL}, true},
        {{"REQUEST_METHOD", "GET", NULL}, false},
        {{"REQUEST_URI", "/", NULL}, false},
        {{"REQUEST_METHOD", "", "REQUEST_URI", "/", NULL}, false},
        {{"REQUEST_METHOD", "get", "REQUEST_URI", "/", NULL}, false},
        {{"REQUEST_METHOD", "GET X", "REQUEST_URI", "/", NULL}, false},
        {{"REQUEST_METHOD", "DELETE", "REQUEST_URI", "/", NULL}, true},
        {{"REQUEST_METHOD", "GET", "REQUEST_URI", "http://x/", NULL}, false},
        {{"REQUEST_METHOD", "GET", "REQUEST_URI", "", NULL}, false},
    };

    (void)state;
    memset(long_value, 'k', sizeof long_value - 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene s;

        open_scene(&s, &(struct fcgi_client_request){.params = cases[i].params});
        if ((s.rc == 0) != cases[i].good || (s.rc != 0 && s.rc != AGW_EINVALID))
            fail_msg("case %zu: code %d (%s)", i, s.rc, s.e.message);
        assert_int_not_equal(s.request.id[0], '\0'); /* set even on failure */
        close_scene(&s);
    }
}

static void request_ids(void **state)
{
    static char id128[129], id129[130];
    static const struct {
        const char *wish;
        bool kept;
    } cases[] = {
        {"a", true},          {"A-z_0.9", true},    {id128, true},
        {id129, false},       {"", false},          {"a b", false},
        {"a/b", false},       {"a\nb", false},      {"\xe2\x80\xa8", false},
        {"<script>", false},  {"a\"b", false},
    };

    (void)state;
    memset(id128, 'i', 128);
    memset(id129, 'i', 129);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char id[REQUEST_ID_MAX + 1];

        request_id_choose(cases[i].wish, id);
        if (cases[i].kept) {
            assert_string_equal(id, cases[i].wish);
        } else {
            assert_int_equal(strlen(id), 28);
            assert_memory_equal(id, "req_", 4);
            assert_int_equal(strspn(id + 4, "0123456789abcdef"), 24);
        }
    }
}

static void bodies(void **state)
{
    static char big[70000];
    static const struct {
        const char *content_length; /* NULL = absent */
        const char *body;
        size_t length, record;
        bool open_end;
        size_t max;
        int rc;
        size_t got;
    } cases[] = {
        {"5", "hello", 5, 0, false, 100, 0, 5},
        {"5", "hello", 5, 1, false, 100, 0, 5},
        {NULL, "hello", 5, 0, false, 100, 0, 5},    /* chunked through Apache */
        {NULL, "hello", 5, 2, false, 5, 0, 5},
        {"", "hello", 5, 0, false, 100, 0, 5},
        {NULL, "", 0, 0, false, 100, 0, 0},
        {"0", "", 0, 0, false, 100, 0, 0},
        {"5", "a\0b\0c", 5, 0, false, 100, 0, 5},
        {"70000", big, 70000, 0, false, 70000, 0, 70000},
        {NULL, big, 70000, 999, false, 70000, 0, 70000},
        {NULL, big, 70000, 0, false, 69999, AGW_ETOOLARGE, 0},
        {"70000", big, 70000, 0, false, 69999, AGW_ETOOLARGE, 0},
        {"99999999999999999999999", "hello", 5, 0, false, 100, AGW_ETOOLARGE, 0},
        {"9", "hello", 5, 0, false, 100, AGW_EINVALID, 0},  /* shorter than it said */
        {"9", "hello", 5, 0, true, 100, AGW_EINVALID, 0},   /* never completed */
        {NULL, "hello", 5, 0, true, 100, AGW_EINVALID, 0},
        {"5x", "hello", 5, 0, false, 100, AGW_EINVALID, 0},
        {"+5", "hello", 5, 0, false, 100, AGW_EINVALID, 0},
        {"-1", "hello", 5, 0, false, 100, AGW_EINVALID, 0},
        {"5, 5", "hello", 5, 0, false, 100, AGW_EINVALID, 0},
        {" 5", "hello", 5, 0, false, 100, AGW_EINVALID, 0},
    };

    (void)state;
    memset(big, 'b', sizeof big);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *params[] = {BASE, "CONTENT_LENGTH", cases[i].content_length, NULL};
        struct scene s;
        int rc;

        if (cases[i].content_length == NULL)
            params[4] = NULL;
        open_scene(&s, &(struct fcgi_client_request){
                           .params = params, .body = cases[i].body,
                           .body_length = cases[i].length, .record = cases[i].record,
                           .open_end = cases[i].open_end});
        rc = request_read_body(&s.request, cases[i].max, &s.e);
        if (rc != cases[i].rc || (rc == 0 && s.request.body_length != cases[i].got))
            fail_msg("case %zu: code %d, %zu bytes", i, rc, s.request.body_length);
        if (rc == 0) {
            assert_memory_equal(s.request.body, cases[i].body, cases[i].length);
            assert_int_equal(s.request.body[cases[i].length], '\0');
        } else {
            assert_null(s.request.body);
        }
        close_scene(&s);
    }
}

/* What is not read is dropped, and the connection takes the next request as ever. */
static void reading_can_end_early(void **state)
{
    static const char *const params[] = {BASE, "CONTENT_LENGTH", "6", NULL};
    const struct fcgi_client_request request = {
        .keep = true, .params = params, .body = "abcdef", .body_length = 6, .record = 2};
    struct fcgi_client_reply reply;
    struct scene s;
    char bytes[8];
    int fd;

    (void)state;
    open_scene(&s, &request);
    assert_int_equal(fcgi_read(s.x, bytes, 1), 1);
    fcgi_end_reading(s.x);
    fcgi_end_reading(s.x);
    assert_int_equal(fcgi_read(s.x, bytes, sizeof bytes), 0);
    assert_int_equal(fcgi_write(s.x, "Status: 200\r\n\r\nx", 16), 0);
    fd = fcgi_finish(&s.x);
    assert_true(fd >= 0);
    assert_true(fcgi_client_receive(s.peer, &reply));
    assert_true(reply.ended);
    fcgi_client_reply_free(&reply);
    assert_int_equal(fcgi_client_send(s.peer, &request), 0);
    s.x = fcgi_accept(fd, 300, 300);
    assert_non_null(s.x);
    assert_int_equal(fcgi_read(s.x, bytes, sizeof bytes) > 0, 1);
    close_scene(&s);
}

/* The rest of a body that is still on its way is not waited for. */
static void reading_ends_without_waiting(void **state)
{
    static const char *const params[] = {BASE, "CONTENT_LENGTH", "6", NULL};
    struct scene s;
    char bytes[8];
    int64_t before = clock_mono_ms();

    (void)state;
    open_scene(&s, &(struct fcgi_client_request){
                       .params = params, .body = "abc", .body_length = 3, .open_end = true});
    fcgi_end_reading(s.x);
    assert_true(clock_mono_ms() - before < 200);
    assert_int_equal(fcgi_read(s.x, bytes, sizeof bytes), 3);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(refusals),
        cmocka_unit_test(request_ids),
        cmocka_unit_test(bodies),
        cmocka_unit_test(reading_can_end_early),
        cmocka_unit_test(reading_ends_without_waiting),
    };

    if (fcgi_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("http/request", tests, NULL, NULL);
}

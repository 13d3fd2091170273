/* SPDX-License-Identifier: MIT */
/* http_client.c against a mock server: answers, caps, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_scene.h"

static void plain_calls_share_a_connection(void **state)
{
    const char *headers[] = {"X-One: 1", NULL};
    struct scene s;

    (void)state;
    scene_open(&s, PLAIN);
    s.call.headers = headers;
    for (int i = 0; i < 5; i++) {
        s.call.method = i % 2 == 0 ? "GET" : "POST";
        s.call.body = i % 2 == 0 ? NULL : "sent";
        s.call.body_length = i % 2 == 0 ? 0 : 4;
        assert_int_equal(scene_call(&s), 0);
        assert_int_equal(s.result.status, 200);
        assert_string_equal(s.result.content_type, "text/plain");
        assert_string_equal(buf_text(&s.body), i % 2 == 0 ? "hello" : "sent");
        assert_true(s.result.connected && s.result.any_byte && s.result.duration_us > 0);
    }
    assert_int_equal(s.heads, 5);
    assert_int_equal(mock_http_connections(s.server), 1);
    scene_close(&s);
}

static void stale_connections_are_replaced(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, CLOSE_AFTER);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(scene_call(&s), 0);
        assert_string_equal(buf_text(&s.body), "hello");
    }
    assert_int_equal(mock_http_requests(s.server), 3);
    scene_close(&s);
}

static void broken_answers(void **state)
{
    static const enum scene_behaviour cases[] = {SHORT_BODY, RESET, ENDLESS_HEAD, HTTP09};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene s;

        scene_open(&s, cases[i]);
        if (scene_call(&s) != AGW_EUPSTREAM)
            fail_msg("case %zu", i);
        assert_true(s.result.connected);
        assert_true(s.e.message[0] != '\0');
        scene_close(&s);
    }
}

static void caps(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, PLAIN);
    s.call.max_response = 5;
    assert_int_equal(scene_call(&s), 0);
    s.call.max_response = 4;
    assert_int_equal(scene_call(&s), AGW_EUPSTREAM);
    assert_true(s.result.too_large);
    scene_close(&s);
    scene_open(&s, GZIP_BOMB);
    s.call.max_response = 100000;
    assert_int_equal(scene_call(&s), AGW_EUPSTREAM);
    assert_true(s.result.too_large);
    assert_in_range(s.body.length, 65536, 100000);
    scene_close(&s);
}

static void redirects_stay_where_they_are(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, REDIRECT);
    assert_int_equal(scene_call(&s), 0);
    assert_int_equal(s.result.status, 307);
    assert_int_equal(mock_http_requests(s.server), 1);
    scene_close(&s);
}

static void heads(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, RETRY_LATER);
    assert_int_equal(scene_call(&s), 0);
    assert_int_equal(s.result.retry_after_s, 17);
    assert_string_equal(s.result.content_type, "text/html");
    scene_close(&s);
    scene_open(&s, INTERIM);
    assert_int_equal(scene_call(&s), 0);
    assert_int_equal(s.result.status, 200);
    assert_int_equal(s.heads, 1);
    assert_string_equal(s.result.content_type, "text/plain");
    scene_close(&s);
}

/* libcurl before 8.1.0 wrote to the last header of the handle's last answer, which it had freed;
 * otherwise it refuses such an answer, and a newer one takes it. */
static void a_first_line_that_goes_on_with_nothing(void **state)
{
    struct scene s;
    int code;

    (void)state;
    scene_open(&s, PLAIN);
    s.call.wanted = "X-Wanted";
    for (int i = 0; i < 20; i++) {
        s.behaviour = i % 2 ? FOLDED : PLAIN;
        code = scene_call(&s);
        if (s.behaviour == PLAIN || code == 0)
            assert_string_equal(s.body.data, "hello");
        assert_true(code == 0 || (s.behaviour == FOLDED && code == AGW_EUPSTREAM));
    }
    scene_close(&s);
}

static void environment_proxies_and_other_schemes_are_ignored(void **state)
{
    struct scene s, proxy;
    char address[64];

    (void)state;
    scene_open(&s, PLAIN);
    scene_open(&proxy, PLAIN);
    snprintf(address, sizeof address, "http://127.0.0.1:%d", mock_http_port(proxy.server));
    setenv("http_proxy", address, 1);
    setenv("ALL_PROXY", address, 1);
    assert_int_equal(scene_call(&s), 0);
    assert_int_equal(mock_http_requests(s.server), 1);
    assert_int_equal(mock_http_requests(proxy.server), 0);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    s.call.url = "file:///etc/hostname";
    assert_int_equal(scene_call(&s), AGW_EUPSTREAM);
    assert_int_equal(s.body.length, 0);
    scene_close(&proxy);
    scene_close(&s);
}

static void header_injection_is_refused(void **state)
{
    const char *headers[] = {"X-One: 1\r\nX-Two: 2", NULL};
    struct scene s;

    (void)state;
    scene_open(&s, PLAIN);
    s.call.headers = headers;
    assert_int_equal(scene_call(&s), AGW_EINTERNAL);
    assert_int_equal(mock_http_requests(s.server), 0);
    scene_close(&s);
}

static int note_sent(void *arg)
{
    struct scene *s = arg;

    s->ticks++; /* there are no ticks here */
    assert_true(s->result.connected);
    assert_false(s->result.any_byte);
    return s->enough_after; /* nor a body to be cut */
}

static void sent_is_told_once_and_may_cancel(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, SILENT);
    s.call.on_sent = note_sent;
    s.call.first_byte_ms = 100;
    assert_int_equal(scene_call(&s), AGW_ETIMEOUT);
    assert_int_equal(s.ticks, 1);
    s.enough_after = AGW_EAUDIT;
    s.call.first_byte_ms = 0;
    assert_int_equal(scene_call(&s), AGW_EAUDIT);
    assert_int_equal(s.ticks, 2);
    scene_close(&s);
}

static void sent_is_not_told_without_a_connection_and_changes_no_answer(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, PLAIN);
    s.call.on_sent = note_sent;
    for (int i = 1; i <= 3; i++) { /* an answer may be there at once: then there is no need */
        assert_int_equal(scene_call(&s), 0);
        assert_string_equal(buf_text(&s.body), "hello");
        assert_in_range(s.ticks, 0, i);
    }
    s.ticks = 0;
    s.call.url = "http://127.0.0.1:1/";
    assert_int_equal(scene_call(&s), AGW_EUPSTREAM);
    assert_false(s.result.connected);
    assert_int_equal(s.ticks, 0);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_calls_share_a_connection),
        cmocka_unit_test(stale_connections_are_replaced),
        cmocka_unit_test(broken_answers),
        cmocka_unit_test(caps),
        cmocka_unit_test(redirects_stay_where_they_are),
        cmocka_unit_test(heads),
        cmocka_unit_test(a_first_line_that_goes_on_with_nothing),
        cmocka_unit_test(environment_proxies_and_other_schemes_are_ignored),
        cmocka_unit_test(header_injection_is_refused),
        cmocka_unit_test(sent_is_told_once_and_may_cancel),
        cmocka_unit_test(sent_is_not_told_without_a_connection_and_changes_no_answer),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("net/http_client", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* http_tool.c against a mock server: what is sent, what comes of each way to answer, and that
 * nothing is sent twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mock_http.h"
#include "net/http_client.h"
#include "tools/http_tool.h"
#include "util/clock.h"

enum mood { ECHO, BIG, SILENT, LEAVE, LEAVE_IN_BODY, REDIRECT, REFUSE };

struct scene {
    _Atomic enum mood mood;
    struct mock_http *server;
    char head[8192], url[128];
    struct config_header headers[2];
    struct config_tool config;
    struct tool tool;
    void *state;
    json_t *arguments;
    struct tool_call call;
    struct tool_result result;
};

static bool reply_big(struct mock_conn *conn)
{
    static char piece[65537];

    memset(piece, 'x', sizeof piece - 1);
    mock_head(conn, 200, "text/plain", true);
    for (int i = 0; i < 1000; i++) /* 64 MB, would it be read */
        if (!mock_chunk(conn, piece))
            return false;
    return mock_end(conn);
}

static bool answer(struct mock_conn *conn, const struct mock_request *request, void *arg)
{
    struct scene *s = arg;
    enum mood mood = atomic_load(&s->mood);

    memcpy(s->head, request->head, sizeof s->head);
    switch (mood) {
    case BIG:
        return reply_big(conn);
    case SILENT:
        while (!mock_sleep(conn, 10000))
            ;
        return false;
    case LEAVE:
        return false;
    case LEAVE_IN_BODY:
        mock_head(conn, 200, "text/plain", true);
        mock_chunk(conn, "half of");
        return false;
    case REDIRECT:
        mock_reply(conn, 302, "text/plain", "Location: http://127.0.0.1:1/\r\n", "there");
        return true;
    case REFUSE:
        mock_reply(conn, 422, "application/json", "", "{\"detail\":\"no\"}");
        return true;
    case ECHO:
        break;
    }
    mock_reply(conn, 200, "application/json", "", request->body[0] ? request->body : "null");
    return true;
}

static void open_scene(struct scene *s, enum mood mood)
{
    struct err e;

    memset(s, 0, sizeof *s);
    s->mood = mood;
    s->server = mock_http_start(answer, s);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/do", mock_http_port(s->server));
    s->config = (struct config_tool){.name = "t", .provider = TOOL_HTTP, .url = s->url,
                                     .method = "POST", .headers = s->headers,
                                     .allow_private = true};
    s->tool = (struct tool){.name = "t", .config = &s->config};
    s->state = http_tool_provider.open(&s->config, NULL, NULL, &e);
    assert_non_null(s->state);
    s->arguments = json_pack("{s:i}", "a", 1);
    s->call = (struct tool_call){.tool = &s->tool, .arguments = s->arguments, .call_id = "c",
                                 .request_id = "req-1", .max_result = 65536, .watch_fd = -1};
}

static void run(struct scene *s, int64_t ms)
{
    tool_result_clear(&s->result);
    s->call.deadline_ms = clock_mono_ms() + ms;
    http_tool_provider.call(s->state, &s->call, &s->result);
}

static void check(const struct scene *s, enum tool_status status, const char *begins)
{
    if (s->result.status != status ||
        strncmp(s->result.content, begins, strlen(begins)) != 0)
        fail_msg("%s: %s", tool_status_name(s->result.status), s->result.content);
}

static void close_scene(struct scene *s)
{
    tool_result_clear(&s->result);
    http_tool_provider.close(s->state);
    mock_http_stop(&s->server);
    json_decref(s->arguments);
}

static void a_call_is_one_request_on_a_kept_connection(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, ECHO);
    s.headers[0] = (struct config_header){"X-Static", "yes", false};
    s.config.header_count = 1;
    for (int i = 1; i <= 3; i++) {
        run(&s, 30000);
        check(&s, TOOL_OK, "{\"a\":1}");
        assert_int_equal(mock_http_requests(s.server), i);
    }
    assert_int_equal(mock_http_connections(s.server), 1);
    assert_non_null(strstr(s.head, "POST /do HTTP/1.1\r\n"));
    assert_non_null(strstr(s.head, "\r\nX-Static: yes\r\n"));
    assert_non_null(strstr(s.head, "\r\nx-request-id: req-1\r\n"));
    assert_non_null(strstr(s.head, "\r\nContent-Type: application/json\r\n"));
    assert_null(strcasestr(s.head, "\r\naccept-encoding:"));
    s.config.method = "GET";
    run(&s, 30000);
    check(&s, TOOL_OK, "null");
    assert_non_null(strstr(s.head, "GET /do?a=1 HTTP/1.1\r\n"));
    assert_null(strcasestr(s.head, "\r\ncontent-type:"));
    close_scene(&s);
}

static void configured_headers_replace_ours(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, ECHO);
    s.headers[0] = (struct config_header){"content-type", "application/vnd.x+json", false};
    s.headers[1] = (struct config_header){"ACCEPT", "x/y", false};
    s.config.header_count = 2;
    run(&s, 30000);
    check(&s, TOOL_OK, "{\"a\":1}");
    assert_null(strstr(s.head, "\r\nContent-Type:"));
    assert_non_null(strstr(s.head, "\r\nACCEPT: x/y\r\n"));
    assert_null(strstr(s.head, "\r\nAccept:"));
    close_scene(&s);
}

static void what_is_wrong_with_the_arguments_is_not_sent(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, ECHO);
    snprintf(s.url, sizeof s.url, "http://127.0.0.1:%d/{b}", mock_http_port(s.server));
    run(&s, 30000);
    check(&s, TOOL_INVALID, "The argument 'b' must be a text");
    s.headers[0] = (struct config_header){"X-A", "{a}", false};
    s.config.header_count = 1;
    json_object_set_new(s.arguments, "a", json_string("1\r\n2"));
    json_object_set_new(s.arguments, "b", json_string("x"));
    run(&s, 30000);
    check(&s, TOOL_INVALID, "The argument 'a' must not have line ends");
    assert_int_equal(mock_http_requests(s.server), 0);
    close_scene(&s);
}

static void only_public_addresses_unless_allowed(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, ECHO);
    s.config.allow_private = false;
    run(&s, 30000);
    check(&s, TOOL_UNAVAILABLE, "The tool 't' cannot be reached: the address 127.0.0.1 is not "
                                "public but loopback: only 'allow_private: true' permits it.");
    assert_int_equal(mock_http_connections(s.server), 0);
    close_scene(&s);
}

static void refusals_and_redirects_are_failures(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, REFUSE);
    run(&s, 30000);
    check(&s, TOOL_FAILED, "The tool 't' failed: HTTP status 422: {\"detail\":\"no\"}");
    s.mood = REDIRECT;
    run(&s, 30000);
    check(&s, TOOL_FAILED, "The tool 't' failed: its server answered with the redirect 302");
    assert_int_equal(mock_http_requests(s.server), 2);
    close_scene(&s);
}

static void a_long_answer_is_cut(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, BIG);
    s.call.max_result = 1000;
    run(&s, 30000);
    check(&s, TOOL_OK, "xxx");
    assert_int_equal(s.result.length, 1000);
    assert_true(s.result.truncated);
    close_scene(&s);
}

/* Also not on a connection that was there and broke, where libcurl would by itself. */
static void nothing_is_sent_twice(void **state)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    struct scene s;

    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        open_scene(&s, ECHO);
        s.config.method = methods[i];
        run(&s, 30000);
        assert_int_equal(s.result.status, TOOL_OK);
        s.mood = LEAVE;
        run(&s, 30000); /* on the kept connection */
        check(&s, TOOL_UNAVAILABLE, "The tool 't' went away while it answered (");
        run(&s, 30000); /* on a new one */
        check(&s, TOOL_UNAVAILABLE, "The tool 't' went away while it answered (");
        s.mood = LEAVE_IN_BODY;
        run(&s, 30000);
        check(&s, TOOL_UNAVAILABLE, "The tool 't' went away while it answered (");
        assert_int_equal(mock_http_requests(s.server), 4);
        close_scene(&s);
    }
}

static void nobody_there(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, ECHO);
    s.config.url = "http://127.0.0.1:1/";
    run(&s, 30000);
    check(&s, TOOL_UNAVAILABLE, "The tool 't' cannot be reached: ");
    s.config.url = "http://nowhere.invalid/";
    run(&s, 30000);
    check(&s, TOOL_UNAVAILABLE, "The tool 't' cannot be reached: ");
    close_scene(&s);
}

static void deadlines(void **state)
{
    struct scene s;
    int64_t before;

    (void)state;
    open_scene(&s, SILENT);
    before = clock_mono_ms();
    run(&s, 300);
    check(&s, TOOL_TIMEOUT, "The tool 't' did not answer within ");
    assert_in_range(clock_mono_ms() - before, 250, 20000);
    run(&s, -5); /* nothing is left of its time: it does not run */
    check(&s, TOOL_TIMEOUT, "The tool 't' did not answer within 0 ms.");
    assert_int_equal(mock_http_requests(s.server), 1);
    close_scene(&s);
}

static void a_client_that_leaves_cancels(void **state)
{
    struct scene s;
    int pair[2];

    (void)state;
    open_scene(&s, SILENT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    close(pair[1]);
    s.call.watch_fd = pair[0];
    run(&s, 60000);
    assert_int_equal(s.result.status, TOOL_CANCELLED);
    assert_null(s.result.content);
    close(pair[0]);
    close_scene(&s);
}

static void an_answer_that_quotes_a_credential_is_withheld(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, ECHO);
    s.headers[0] = (struct config_header){"Authorization", "Bearer canary-0123", true};
    s.config.header_count = 1;
    run(&s, 30000);
    check(&s, TOOL_OK, "{\"a\":1}");
    json_object_set_new(s.arguments, "a", json_string("x canary-0123 y"));
    run(&s, 30000);
    check(&s, TOOL_FAILED, "The tool 't' failed: its answer quotes a credential.");
    s.headers[0].value = "1"; /* no secret, but in many texts */
    run(&s, 30000);
    assert_int_equal(s.result.status, TOOL_OK);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_one_request_on_a_kept_connection),
        cmocka_unit_test(configured_headers_replace_ours),
        cmocka_unit_test(what_is_wrong_with_the_arguments_is_not_sent),
        cmocka_unit_test(only_public_addresses_unless_allowed),
        cmocka_unit_test(refusals_and_redirects_are_failures),
        cmocka_unit_test(a_long_answer_is_cut),
        cmocka_unit_test(nothing_is_sent_twice),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(a_client_that_leaves_cancels),
        cmocka_unit_test(an_answer_that_quotes_a_credential_is_withheld),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("tools/http_tool", tests, NULL, NULL);
}

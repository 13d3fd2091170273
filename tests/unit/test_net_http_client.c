/* SPDX-License-Identifier: MIT */
/* http_client.c against a mock server: deadlines, caps, hang-ups, what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mock_http.h"
#include "net/http_client.h"
#include "util/buf.h"
#include "util/clock.h"

enum { LATE_MS = 900 }; /* what a deadline may be late by */

enum behaviour { PLAIN, SILENT, STALL_IN_HEAD, STALL_IN_BODY, DRIP, SHORT_BODY, RESET, GZIP_BOMB,
                 ENDLESS_HEAD, HTTP09, REDIRECT, RETRY_LATER, NEVER_ENDS, CLOSE_AFTER, INTERIM };

struct scene {
    enum behaviour behaviour;
    struct mock_http *server;
    struct http_pool *pool;
    struct http_call call;
    struct http_result result;
    struct err e;
    struct buf body;
    char url[64];
    int heads, ticks, enough_after;
    int64_t took;
};

/* 64 MiB in 84 kB: one deflate block of 64 KiB of zeros, flushed to a byte boundary, so that
 * it may be repeated. */
static void send_bomb(struct mock_conn *conn)
{
    static const unsigned char head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    static const unsigned char zeros[] = {
        0xec, 0xc1, 0x01, 0x01, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0x6a, 0, 0, 0, 0xff, 0xff};

    mock_head(conn, 200, "application/json\r\nTransfer-Encoding: gzip", false);
    mock_write(conn, (const char *)head, sizeof head);
    for (int i = 0; i < 1024; i++)
        if (!mock_write(conn, (const char *)zeros, sizeof zeros))
            return;
}

static bool drip(struct mock_conn *conn)
{
    mock_head(conn, 200, "text/plain", true);
    while (!mock_sleep(conn, 50))
        if (!mock_chunk(conn, "x"))
            break;
    return false;
}

static bool endless_head(struct mock_conn *conn)
{
    static const char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";

    mock_write(conn, "HTTP/1.1 200 OK\r\n", 17);
    while (mock_write(conn, line, sizeof line - 1))
        ;
    return false;
}

static bool raw(struct mock_conn *conn, const char *text)
{
    mock_write(conn, text, strlen(text));
    return false;
}

static bool stall(struct mock_conn *conn)
{
    while (!mock_sleep(conn, 10000))
        ;
    return false;
}

static bool behave(struct mock_conn *conn, const struct mock_request *request, void *arg)
{
    struct scene *scene = arg;

    switch (scene->behaviour) {
    case SILENT:
        return stall(conn);
    case STALL_IN_HEAD:
        raw(conn, "HTTP/1.1 200 OK\r\nContent-Ty");
        return stall(conn);
    case STALL_IN_BODY:
        raw(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
        return stall(conn);
    case DRIP:
        return drip(conn);
    case SHORT_BODY:
        return raw(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    case RESET:
        mock_reset(conn);
        return false;
    case GZIP_BOMB:
        send_bomb(conn);
        return false;
    case ENDLESS_HEAD:
        return endless_head(conn);
    case HTTP09:
        return raw(conn, "<html>no status line here</html>\n\n");
    case REDIRECT:
        mock_reply(conn, 307, "text/plain", "Location: /elsewhere\r\n", "go");
        return true;
    case RETRY_LATER:
        mock_reply(conn, 503, "Text/HTML; charset=x", "Retry-After: 17\r\n", "later");
        return true;
    case NEVER_ENDS:
        mock_head(conn, 200, "text/plain", true);
        mock_chunk(conn, "enough");
        return stall(conn);
    case CLOSE_AFTER:
        mock_reply(conn, 200, "text/plain", "", "hello");
        return false;
    case INTERIM:
        raw(conn, "HTTP/1.1 103 Early Hints\r\nContent-Type: x/y\r\n\r\n");
        mock_reply(conn, 200, "text/plain", "", "hello");
        return true;
    case PLAIN:
        break;
    }
    mock_reply(conn, 200, "text/plain", "", request->body[0] ? request->body : "hello");
    return true;
}

static int on_head(void *arg, const struct http_result *head)
{
    struct scene *scene = arg;

    scene->heads++;
    assert_int_equal(head->status, scene->result.status);
    return 0;
}

static int on_body(void *arg, const char *bytes, size_t length)
{
    struct scene *scene = arg;

    buf_append(&scene->body, bytes, length);
    return scene->enough_after > 0 && scene->body.length >= (size_t)scene->enough_after
               ? HTTP_CLIENT_ENOUGH
               : 0;
}

static int on_tick(void *arg)
{
    struct scene *scene = arg;

    scene->ticks++;
    return 0;
}

static void open_scene(struct scene *scene, enum behaviour behaviour)
{
    memset(scene, 0, sizeof *scene);
    scene->behaviour = behaviour;
    scene->server = mock_http_start(behave, scene);
    scene->pool = http_pool_new(4);
    buf_init(&scene->body, 1 << 20);
    snprintf(scene->url, sizeof scene->url, "http://127.0.0.1:%d/x",
             mock_http_port(scene->server));
    scene->call = (struct http_call){
        .method = "GET", .url = scene->url, .max_response = 100000, .watch_fd = -1,
        .total_ms = 20000, .on_head = on_head, .on_body = on_body, .on_tick = on_tick,
        .arg = scene};
}

static int go(struct scene *scene)
{
    int64_t before = clock_mono_ms();
    int code;

    err_reset(&scene->e);
    buf_reset(&scene->body);
    code = http_client_call(scene->pool, &scene->call, &scene->result, &scene->e);
    scene->took = clock_mono_ms() - before;
    return code;
}

static void close_scene(struct scene *scene)
{
    http_pool_free(&scene->pool);
    mock_http_stop(&scene->server);
    buf_free(&scene->body);
}

static void plain_calls_share_a_connection(void **state)
{
    const char *headers[] = {"X-One: 1", NULL};
    struct scene s;

    (void)state;
    open_scene(&s, PLAIN);
    s.call.headers = headers;
    for (int i = 0; i < 5; i++) {
        s.call.method = i % 2 == 0 ? "GET" : "POST";
        s.call.body = i % 2 == 0 ? NULL : "sent";
        s.call.body_length = i % 2 == 0 ? 0 : 4;
        assert_int_equal(go(&s), 0);
        assert_int_equal(s.result.status, 200);
        assert_string_equal(s.result.content_type, "text/plain");
        assert_string_equal(buf_text(&s.body), i % 2 == 0 ? "hello" : "sent");
        assert_true(s.result.connected && s.result.any_byte && s.result.duration_us > 0);
    }
    assert_int_equal(s.heads, 5);
    assert_int_equal(mock_http_connections(s.server), 1);
    close_scene(&s);
}

static void stale_connections_are_replaced(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, CLOSE_AFTER);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(go(&s), 0);
        assert_string_equal(buf_text(&s.body), "hello");
    }
    assert_int_equal(mock_http_requests(s.server), 3);
    close_scene(&s);
}

static void T19_deadlines(void **state)
{
    static const struct {
        enum behaviour behaviour;
        int64_t first_byte, idle, total, expected;
        const char *text;
    } cases[] = {
        {SILENT, 150, 5000, 9000, 150, "first byte"},
        {SILENT, 5000, 5000, 150, 150, "total"},
        {STALL_IN_BODY, 5000, 150, 9000, 150, "idle"},
        {STALL_IN_HEAD, 5000, 150, 9000, 150, "idle"},
        {DRIP, 5000, 1000, 300, 300, "total"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene s;

        open_scene(&s, cases[i].behaviour);
        s.call.first_byte_ms = cases[i].first_byte;
        s.call.idle_ms = cases[i].idle;
        s.call.total_ms = cases[i].total;
        assert_int_equal(go(&s), AGW_ETIMEOUT);
        if (strstr(s.e.message, cases[i].text) == NULL || s.took < cases[i].expected ||
            s.took > cases[i].expected + LATE_MS)
            fail_msg("case %zu: %s", i, s.e.message);
        close_scene(&s);
    }
}

/* A listening socket whose queue is full neither accepts nor refuses. */
static void connect_deadline(void **state)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int filler[3];
    struct scene s;
    struct mock_http *other;
    int fd;

    (void)state;
    open_scene(&s, PLAIN);
    other = mock_http_start(behave, &s);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(listen(fd, 0), 0); /* binds to a free port */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    for (int i = 0; i < 3; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(filler[i], (struct sockaddr *)&address, length);
    }
    snprintf(s.url, sizeof s.url, "http://127.0.0.1:%d/",
             ((unsigned char *)&address)[2] * 256 + ((unsigned char *)&address)[3]);
    s.call.connect_ms = 200;
    s.call.first_byte_ms = 5000;
    assert_int_equal(go(&s), AGW_ETIMEOUT);
    assert_false(s.result.connected);
    assert_true(s.took >= 200 && s.took < 200 + LATE_MS);
    for (int i = 0; i < 3; i++)
        close(filler[i]);
    close(fd);
    mock_http_stop(&other);
    close_scene(&s);
}

static void broken_answers(void **state)
{
    static const enum behaviour cases[] = {SHORT_BODY, RESET, ENDLESS_HEAD, HTTP09};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene s;

        open_scene(&s, cases[i]);
        if (go(&s) != AGW_EUPSTREAM)
            fail_msg("case %zu", i);
        assert_true(s.result.connected);
        assert_true(s.e.message[0] != '\0');
        close_scene(&s);
    }
}

static void caps(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, PLAIN);
    s.call.max_response = 5;
    assert_int_equal(go(&s), 0);
    s.call.max_response = 4;
    assert_int_equal(go(&s), AGW_EUPSTREAM);
    assert_true(s.result.too_large);
    close_scene(&s);
    open_scene(&s, GZIP_BOMB);
    s.call.max_response = 100000;
    assert_int_equal(go(&s), AGW_EUPSTREAM);
    assert_true(s.result.too_large);
    assert_in_range(s.body.length, 65536, 100000);
    close_scene(&s);
}

static void redirects_stay_where_they_are(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, REDIRECT);
    assert_int_equal(go(&s), 0);
    assert_int_equal(s.result.status, 307);
    assert_int_equal(mock_http_requests(s.server), 1);
    close_scene(&s);
}

static void heads(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, RETRY_LATER);
    assert_int_equal(go(&s), 0);
    assert_int_equal(s.result.retry_after_s, 17);
    assert_string_equal(s.result.content_type, "text/html");
    close_scene(&s);
    open_scene(&s, INTERIM);
    assert_int_equal(go(&s), 0);
    assert_int_equal(s.result.status, 200);
    assert_int_equal(s.heads, 1);
    assert_string_equal(s.result.content_type, "text/plain");
    close_scene(&s);
}

static void environment_proxies_and_other_schemes_are_ignored(void **state)
{
    struct scene s, proxy;
    char address[64];

    (void)state;
    open_scene(&s, PLAIN);
    open_scene(&proxy, PLAIN);
    snprintf(address, sizeof address, "http://127.0.0.1:%d", mock_http_port(proxy.server));
    setenv("http_proxy", address, 1);
    setenv("ALL_PROXY", address, 1);
    assert_int_equal(go(&s), 0);
    assert_int_equal(mock_http_requests(s.server), 1);
    assert_int_equal(mock_http_requests(proxy.server), 0);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    s.call.url = "file:///etc/hostname";
    assert_int_equal(go(&s), AGW_EUPSTREAM);
    assert_int_equal(s.body.length, 0);
    close_scene(&proxy);
    close_scene(&s);
}

static void header_injection_is_refused(void **state)
{
    const char *headers[] = {"X-One: 1\r\nX-Two: 2", NULL};
    struct scene s;

    (void)state;
    open_scene(&s, PLAIN);
    s.call.headers = headers;
    assert_int_equal(go(&s), AGW_EINTERNAL);
    assert_int_equal(mock_http_requests(s.server), 0);
    close_scene(&s);
}

struct leaver {
    int fd;
    int64_t at;
};

static void *leave(void *arg)
{
    struct leaver *leaver = arg;

    usleep(100000);
    leaver->at = clock_mono_ms();
    close(leaver->fd);
    return NULL;
}

/* The client may have unread bytes waiting: they must neither hide its leaving nor make the
 * wait spin. */
static void client_gone(void **state)
{
    (void)state;
    for (int chatty = 0; chatty < 2; chatty++) {
        struct leaver leaver;
        pthread_t thread;
        struct scene s;
        int pair[2];
        int64_t late;

        open_scene(&s, SILENT);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        if (chatty)
            assert_int_equal(write(pair[1], "more", 4), 4);
        s.call.watch_fd = pair[0];
        leaver.fd = pair[1];
        pthread_create(&thread, NULL, leave, &leaver);
        assert_int_equal(go(&s), AGW_EGONE);
        late = clock_mono_ms();
        pthread_join(thread, NULL);
        late -= leaver.at;
        assert_true(late >= 0 && late < (chatty ? 400 : 100));
        assert_true(http_client_peer_gone(pair[0]));
        assert_int_equal(http_client_pause(pair[0], 5000), AGW_EGONE);
        close(pair[0]);
        close_scene(&s);
    }
}

static void waiting_costs_no_processor(void **state)
{
    struct scene s;
    struct timespec before, after;
    int pair[2];

    (void)state;
    open_scene(&s, SILENT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], "more", 4), 4);
    s.call.watch_fd = pair[0];
    s.call.total_ms = 1000;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    assert_int_equal(go(&s), AGW_ETIMEOUT);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000 +
                    (after.tv_nsec - before.tv_nsec) / 1000000 < 200);
    assert_false(http_client_peer_gone(pair[0]));
    assert_int_equal(http_client_pause(pair[0], 20), 0);
    close(pair[0]);
    close(pair[1]);
    close_scene(&s);
}

static void ticks(void **state)
{
    struct scene s;
    int64_t quiet;

    (void)state;
    open_scene(&s, SILENT);
    s.call.total_ms = 550;
    s.call.tick_ms = 100;
    assert_int_equal(go(&s), AGW_ETIMEOUT);
    assert_in_range(s.ticks, 3, 5);
    close_scene(&s);
    /* arriving bytes end the silence, unless the caller decides what does */
    open_scene(&s, DRIP);
    s.call.total_ms = 550;
    s.call.tick_ms = 300;
    assert_int_equal(go(&s), AGW_ETIMEOUT);
    assert_int_equal(s.ticks, 0);
    quiet = clock_mono_ms();
    s.call.quiet_since_ms = &quiet;
    s.call.tick_ms = 100;
    assert_int_equal(go(&s), AGW_ETIMEOUT);
    assert_in_range(s.ticks, 3, 5);
    close_scene(&s);
}

static void enough_ends_an_answer_that_never_ends(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, NEVER_ENDS);
    s.enough_after = 6;
    assert_int_equal(go(&s), 0);
    assert_true(s.took < HTTP_CLIENT_TAIL_MS + LATE_MS);
    close_scene(&s);
    open_scene(&s, PLAIN);
    s.enough_after = 5;
    assert_int_equal(go(&s), 0);
    assert_int_equal(go(&s), 0);
    assert_int_equal(mock_http_connections(s.server), 1);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_calls_share_a_connection),
        cmocka_unit_test(stale_connections_are_replaced),
        cmocka_unit_test(T19_deadlines),
        cmocka_unit_test(connect_deadline),
        cmocka_unit_test(broken_answers),
        cmocka_unit_test(caps),
        cmocka_unit_test(redirects_stay_where_they_are),
        cmocka_unit_test(heads),
        cmocka_unit_test(environment_proxies_and_other_schemes_are_ignored),
        cmocka_unit_test(header_injection_is_refused),
        cmocka_unit_test(client_gone),
        cmocka_unit_test(waiting_costs_no_processor),
        cmocka_unit_test(ticks),
        cmocka_unit_test(enough_ends_an_answer_that_never_ends),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("net/http_client", tests, NULL, NULL);
}

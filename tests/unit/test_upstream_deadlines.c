/* SPDX-License-Identifier: MIT */
/* chat_call() against upstreams that stall, drip, break off or send too much, and with
 * clients that leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chat_fixture.h"
#include "metrics_double.h"
#include "net/http_client.h"
#include "util/clock.h"

enum { LATE_MS = 900 };

enum behaviour { GOOD, SILENT, HEAD_ONLY, ONE_CHUNK, COMMENTS, DRIP, BREAK_EARLY, BREAK_LATE,
                 HUGE_LINE, HUGE_STREAM, HUGE_WHOLE, BUSY, OPEN_END };

struct upstream {
    enum behaviour behaviour;
    atomic_int left_at; /* ms since `start` when the gateway went away */
    int64_t start;
    struct mock_http *server;
};

static bool stall(struct upstream *u, struct mock_conn *conn)
{
    while (!mock_sleep(conn, 10000))
        ;
    u->left_at = (int)(clock_mono_ms() - u->start);
    return false;
}

static bool repeat(struct mock_conn *conn, const char *text, int pause_ms)
{
    do {
        if (!mock_chunk(conn, text))
            return false;
    } while (pause_ms == 0 || !mock_sleep(conn, pause_ms));
    return false;
}

static void fill(char block[4097], char c)
{
    memset(block, c, 4096);
    block[4096] = '\0';
}

static bool huge_line(struct mock_conn *conn)
{
    char block[4097];

    fill(block, 'a');
    mock_chunk(conn, "data: ");
    for (int i = 0; i < 256; i++)
        if (!mock_chunk(conn, block))
            return false;
    return mock_chunk(conn, "\n\n") && mock_end(conn);
}

static bool behave(struct mock_conn *conn, const struct mock_request *request, void *arg)
{
    struct upstream *u = arg;
    char blanks[4097];

    fill(blanks, ' ');
    if (u->behaviour == SILENT)
        return stall(u, conn);
    if (u->behaviour == BUSY) {
        mock_reply(conn, 503, "text/plain", "Retry-After: 1\r\n", "");
        return true;
    }
    if (u->behaviour == HUGE_WHOLE) {
        mock_head(conn, 200, "application/json", true);
        return repeat(conn, blanks, 0);
    }
    if (strstr(request->body, "\"stream\":true") == NULL) {
        mock_reply(conn, 200, "application/json", "", FIXTURE_COMPLETION("hi"));
        return true;
    }
    mock_head(conn, 200, "text/event-stream", true);
    switch (u->behaviour) {
    case HEAD_ONLY:
        return stall(u, conn);
    case ONE_CHUNK:
        mock_chunk(conn, FIXTURE_CHUNK("a"));
        return stall(u, conn);
    case COMMENTS:
        return repeat(conn, ": wait\n\n", 40);
    case DRIP:
        return repeat(conn, FIXTURE_CHUNK("a"), 40);
    case BREAK_EARLY:
        mock_reset(conn);
        return false;
    case BREAK_LATE:
        mock_chunk(conn, FIXTURE_CHUNK("a"));
        return false;
    case HUGE_LINE:
        return huge_line(conn);
    case HUGE_STREAM:
        return repeat(conn, FIXTURE_CHUNK("a"), 0);
    case OPEN_END:
        mock_chunk(conn, FIXTURE_CHUNK("a") FIXTURE_END FIXTURE_DONE);
        return stall(u, conn);
    default:
        return mock_chunk(conn, FIXTURE_CHUNK("a") FIXTURE_END FIXTURE_DONE) && mock_end(conn);
    }
}

static void start(struct upstream *u, enum behaviour behaviour)
{
    memset(u, 0, sizeof *u);
    u->behaviour = behaviour;
    u->start = clock_mono_ms();
    u->server = mock_http_start(behave, u);
}

static const struct {
    const char *name;
    enum behaviour behaviour;
    bool stream;
    int code, passed; /* chunks at least */
    int least_ms, most_ms;
    int requests;
    const char *metric;
} alone[] = {
    {"silent", SILENT, false, AGW_ETIMEOUT, 0, 300, 300, 1, "u0,timeout"},
    {"silent stream", SILENT, true, AGW_ETIMEOUT, 0, 300, 300, 1, "u0,timeout"},
    {"nothing after the head", HEAD_ONLY, true, AGW_ETIMEOUT, 0, 300, 300, 1, "u0,timeout"},
    {"nothing after a chunk", ONE_CHUNK, true, AGW_ETIMEOUT, 1, 300, 300, 1, "u0,timeout"},
    {"only comments", COMMENTS, true, AGW_ETIMEOUT, 0, 600, 600, 1, "u0,timeout"},
    {"dripping", DRIP, true, AGW_ETIMEOUT, 5, 600, 600, 1, "u0,timeout"},
    {"breaking off early", BREAK_EARLY, true, AGW_EUPSTREAM, 0, 0, 0, 2, "u0,invalid"},
    {"breaking off late", BREAK_LATE, true, AGW_EUPSTREAM, 1, 0, 0, 1, "u0,cut"},
    {"1 MiB line", HUGE_LINE, true, AGW_EUPSTREAM, 0, 0, 0, 1, "u0,invalid"},
    {"endless stream", HUGE_STREAM, true, AGW_EUPSTREAM, 100, 0, 0, 1, "u0,cut"},
    {"endless answer", HUGE_WHOLE, false, AGW_EUPSTREAM, 0, 0, 0, 1, "u0,invalid"},
    {"no end after [DONE]", OPEN_END, true, 0, 2, 0, HTTP_CLIENT_TAIL_MS, 1, "u0,200"},
};

static void T19_one_upstream_misbehaves(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        struct upstream u;
        struct fixture f;
        int64_t took;
        int code;

        start(&u, alone[i].behaviour);
        fixture_init(&f, 1, (int[]){mock_http_port(u.server)});
        f.definitions[0].first_byte_ms = f.definitions[0].idle_ms = 300;
        f.definitions[0].total_ms = 600;
        if (alone[i].behaviour == HUGE_STREAM || alone[i].behaviour == HUGE_WHOLE)
            f.definitions[0].max_response_bytes = 50000;
        fixture_apply(&f);
        metrics_double_reset();
        took = clock_mono_ms();
        code = fixture_call(&f, NULL, alone[i].stream);
        took = clock_mono_ms() - took;
        if (code != alone[i].code || f.sink.chunks < alone[i].passed ||
            (alone[i].passed == 0 && f.sink.chunks > 0) || took < alone[i].least_ms ||
            took > alone[i].most_ms + LATE_MS ||
            mock_http_requests(u.server) != alone[i].requests)
            fail_msg("%s: code %d, %d chunks, %lld ms, %d requests: %s", alone[i].name, code,
                     f.sink.chunks, (long long)took, mock_http_requests(u.server),
                     f.e.message);
        if (metrics_double_value(METRIC_UPSTREAM_REQUESTS, alone[i].metric) < 1)
            fail_msg("%s: not counted as %s", alone[i].name, alone[i].metric);
        fixture_free(&f);
        mock_http_stop(&u.server);
    }
}

/* With a second, good upstream: what may be asked again is, what was passed on is not. */
static const struct {
    const char *name;
    enum behaviour behaviour;
    bool stream;
    int code;
} together[] = {
    {"silent", SILENT, false, 0},          {"silent stream", SILENT, true, 0},
    {"head only", HEAD_ONLY, true, 0},     {"break early", BREAK_EARLY, true, 0},
    {"1 MiB line", HUGE_LINE, true, 0},    {"endless answer", HUGE_WHOLE, false, 0},
    {"busy", BUSY, true, 0},               {"break late", BREAK_LATE, true, AGW_EUPSTREAM},
    {"one chunk", ONE_CHUNK, true, AGW_ETIMEOUT},
};

static void another_upstream_steps_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof together / sizeof together[0]; i++) {
        struct upstream bad, good;
        struct fixture f;
        int code;

        start(&bad, together[i].behaviour);
        start(&good, GOOD);
        fixture_init(&f, 2, (int[]){mock_http_port(bad.server), mock_http_port(good.server)});
        f.definitions[0].first_byte_ms = f.definitions[0].idle_ms = 200;
        fixture_apply(&f);
        code = fixture_call(&f, NULL, together[i].stream);
        if (code != together[i].code || mock_http_requests(good.server) != (code == 0))
            fail_msg("%s: code %d: %s", together[i].name, code, f.e.message);
        fixture_free(&f);
        mock_http_stop(&bad.server);
        mock_http_stop(&good.server);
    }
}

static void all_attempts_share_one_deadline(void **state)
{
    struct upstream a, b;
    struct fixture f;
    int64_t took;

    (void)state;
    start(&a, SILENT);
    start(&b, SILENT);
    fixture_init(&f, 2, (int[]){mock_http_port(a.server), mock_http_port(b.server)});
    f.definitions[0].first_byte_ms = 400;
    f.definitions[0].total_ms = 600;
    fixture_apply(&f);
    took = clock_mono_ms();
    assert_int_equal(fixture_call(&f, NULL, true), AGW_ETIMEOUT);
    took = clock_mono_ms() - took;
    assert_in_range(took, 600, 600 + LATE_MS);
    assert_int_equal(f.usage.attempts, 2);
    fixture_free(&f);
    mock_http_stop(&a.server);
    mock_http_stop(&b.server);
}

static int leaving_fd;

static void *leave_soon(void *arg)
{
    int64_t *at = arg;

    usleep(100000);
    *at = clock_mono_ms();
    close(leaving_fd);
    return NULL;
}

/* Returns how long it took to notice, ms. */
static int64_t leave_during(enum behaviour behaviour)
{
    struct upstream u;
    struct fixture f;
    pthread_t thread;
    int64_t left = 0, noticed;
    int pair[2];

    start(&u, behaviour);
    fixture_init(&f, 1, (int[]){mock_http_port(u.server)});
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    f.sink.sink.watch_fd = pair[0];
    leaving_fd = pair[1];
    pthread_create(&thread, NULL, leave_soon, &left);
    assert_int_equal(fixture_call(&f, NULL, true), AGW_EGONE);
    noticed = clock_mono_ms();
    pthread_join(thread, NULL);
    for (int wait = 0; behaviour != BUSY && u.left_at == 0 && wait < 500; wait++)
        usleep(2000);
    if (behaviour != BUSY) /* the upstream saw it too */
        assert_in_range(u.left_at, 1, left - u.start + 1000);
    close(pair[0]);
    fixture_free(&f);
    mock_http_stop(&u.server);
    return noticed - left;
}

/* T41: also while the upstream is silent, and while the gateway waits to try again. A busy
 * machine may spoil one measurement, not three. */
static void T41_client_leaves(void **state)
{
    static const enum behaviour cases[] = {SILENT, HEAD_ONLY, ONE_CHUNK, BUSY};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t took = INT64_MAX;

        for (int tries = 0; tries < 3 && took >= 100; tries++)
            took = leave_during(cases[i]);
        assert_true(took < 100);
    }
}

static void silence_ticks(void **state)
{
    static const struct {
        enum behaviour behaviour;
        int least, most;
    } cases[] = {
        {SILENT, 3, 5}, {COMMENTS, 3, 5}, {BUSY, 8, 12}, {DRIP, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct upstream u;
        struct fixture f;

        start(&u, cases[i].behaviour);
        fixture_init(&f, 1, (int[]){mock_http_port(u.server)});
        f.definitions[0].total_ms = cases[i].behaviour == BUSY ? 3000 : 550;
        fixture_apply(&f);
        f.sink.sink.tick_ms = 100;
        assert_int_not_equal(fixture_call(&f, NULL, true), 0);
        if (f.sink.ticks < cases[i].least || f.sink.ticks > cases[i].most)
            fail_msg("case %zu: %d ticks", i, f.sink.ticks);
        fixture_free(&f);
        mock_http_stop(&u.server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T19_one_upstream_misbehaves),
        cmocka_unit_test(another_upstream_steps_in),
        cmocka_unit_test(all_attempts_share_one_deadline),
        cmocka_unit_test(T41_client_leaves),
        cmocka_unit_test(silence_ticks),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("upstream/deadlines", tests, NULL, NULL);
}

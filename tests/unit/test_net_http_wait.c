/* SPDX-License-Identifier: MIT */
/* http_client.c against a mock server: deadlines, hang-ups, ticks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http_scene.h"
#include "util/clock.h"

enum { LATE_MS = 900 }; /* what a deadline may be late by */

static void T19_deadlines(void **state)
{
    static const struct {
        enum scene_behaviour behaviour;
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

        scene_open(&s, cases[i].behaviour);
        s.call.first_byte_ms = cases[i].first_byte;
        s.call.idle_ms = cases[i].idle;
        s.call.total_ms = cases[i].total;
        assert_int_equal(scene_call(&s), AGW_ETIMEOUT);
        if (strstr(s.e.message, cases[i].text) == NULL || s.took < cases[i].expected ||
            s.took > cases[i].expected + LATE_MS)
            fail_msg("case %zu: %s", i, s.e.message);
        scene_close(&s);
    }
}

/* A listening socket whose queue is full neither accepts nor refuses. */
static void connect_deadline(void **state)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int filler[3];
    struct scene s;
    int fd;

    (void)state;
    scene_open(&s, PLAIN);
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
    assert_int_equal(scene_call(&s), AGW_ETIMEOUT);
    assert_false(s.result.connected);
    assert_true(s.took >= 200 && s.took < 200 + LATE_MS);
    for (int i = 0; i < 3; i++)
        close(filler[i]);
    close(fd);
    scene_close(&s);
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

        scene_open(&s, SILENT);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        if (chatty)
            assert_int_equal(write(pair[1], "more", 4), 4);
        s.call.watch_fd = pair[0];
        leaver.fd = pair[1];
        pthread_create(&thread, NULL, leave, &leaver);
        assert_int_equal(scene_call(&s), AGW_EGONE);
        late = clock_mono_ms();
        pthread_join(thread, NULL);
        late -= leaver.at;
        assert_true(late >= 0 && late < (chatty ? 1000 : 500));
        assert_true(http_client_peer_gone(pair[0]));
        assert_int_equal(http_client_pause(pair[0], 5000), AGW_EGONE);
        close(pair[0]);
        scene_close(&s);
    }
}

static void waiting_costs_no_processor(void **state)
{
    struct scene s;
    struct timespec before, after;
    int pair[2];

    (void)state;
    scene_open(&s, SILENT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], "more", 4), 4);
    s.call.watch_fd = pair[0];
    s.call.total_ms = 1000;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    assert_int_equal(scene_call(&s), AGW_ETIMEOUT);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000 +
                    (after.tv_nsec - before.tv_nsec) / 1000000 < 200);
    assert_false(http_client_peer_gone(pair[0]));
    assert_int_equal(http_client_pause(pair[0], 20), 0);
    close(pair[0]);
    close(pair[1]);
    scene_close(&s);
}

static void ticks(void **state)
{
    struct scene s;
    int64_t quiet;

    (void)state;
    scene_open(&s, SILENT);
    s.call.total_ms = 550;
    s.call.tick_ms = 100;
    assert_int_equal(scene_call(&s), AGW_ETIMEOUT);
    assert_in_range(s.ticks, 3, 5);
    scene_close(&s);
    /* arriving bytes end the silence, unless the caller decides what does */
    scene_open(&s, DRIP);
    s.call.total_ms = 550;
    s.call.tick_ms = 300;
    assert_int_equal(scene_call(&s), AGW_ETIMEOUT);
    assert_int_equal(s.ticks, 0);
    quiet = clock_mono_ms();
    s.call.quiet_since_ms = &quiet;
    s.call.tick_ms = 100;
    assert_int_equal(scene_call(&s), AGW_ETIMEOUT);
    assert_in_range(s.ticks, 3, 5);
    scene_close(&s);
}

static void enough_ends_an_answer_that_never_ends(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, NEVER_ENDS);
    s.enough_after = 6;
    assert_int_equal(scene_call(&s), 0);
    assert_true(s.took < HTTP_CLIENT_TAIL_MS + LATE_MS);
    scene_close(&s);
    scene_open(&s, PLAIN);
    s.enough_after = 5;
    assert_int_equal(scene_call(&s), 0);
    assert_int_equal(scene_call(&s), 0);
    assert_int_equal(mock_http_connections(s.server), 1);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T19_deadlines),
        cmocka_unit_test(connect_deadline),
        cmocka_unit_test(client_gone),
        cmocka_unit_test(waiting_costs_no_processor),
        cmocka_unit_test(ticks),
        cmocka_unit_test(enough_ends_an_answer_that_never_ends),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("net/http_wait", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The connection of one run: many may speak, one listens, and nobody waits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "runner/session.h"
#include "util/clock.h"

enum { LONG_MS = 60000, SPEAKERS = 8, EACH = 200, BIG = 300000 };

struct talk {
    struct session session;
    int peer;
    struct wire other; /* of the peer */
};

static void begin(struct talk *t)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    session_init(&t->session, ends[0]);
    wire_init(&t->other, ends[1], NULL);
    t->peer = ends[1];
}

static void end(struct talk *t)
{
    session_close(&t->session);
    wire_close(&t->other);
}

static json_t *message(int number, size_t padding)
{
    char *text = calloc(1, padding + 1);
    json_t *made;

    memset(text, 'x', padding);
    made = json_pack("{s:s,s:i,s:s}", "t", "n", "n", number, "text", text);
    free(text);
    return made;
}

static int64_t soon(void)
{
    return clock_mono_ms() + LONG_MS;
}

static void *speak(void *arg)
{
    struct talk *t = arg;
    struct err e;

    for (int i = 0; i < EACH; i++)
        if (session_send(&t->session, message(i, 2000), soon(), &e) != 0)
            return arg;
    return NULL;
}

static void lines_of_several_speakers_stay_whole(void **state)
{
    struct talk t;
    pthread_t speakers[SPEAKERS];
    struct err e;

    (void)state;
    begin(&t);
    for (int i = 0; i < SPEAKERS; i++)
        assert_int_equal(pthread_create(&speakers[i], NULL, speak, &t), 0);
    for (int i = 0; i < SPEAKERS * EACH; i++) {
        json_t *heard;

        assert_int_equal(wire_receive_until(&t.other, soon(), &heard, NULL, &e), 1);
        assert_int_equal(json_string_length(json_object_get(heard, "text")), 2000);
        json_decref(heard);
    }
    for (int i = 0; i < SPEAKERS; i++) {
        void *said;

        pthread_join(speakers[i], &said);
        assert_null(said);
    }
    end(&t);
}

static void who_does_not_read_is_waited_for_until_the_deadline(void **state)
{
    struct talk t;
    struct err e;
    int64_t began = clock_mono_ms();

    (void)state;
    begin(&t);
    assert_int_equal(session_send(&t.session, message(1, BIG * 10), began + 300, &e), AGW_EGONE);
    assert_true(clock_mono_ms() - began >= 300);
    end(&t);
}

static void *hush_later(void *arg)
{
    struct talk *t = arg;

    usleep(100000);
    session_hush(&t->session, NULL, 0);
    return NULL;
}

static void who_waits_gives_up_when_the_run_ends(void **state)
{
    struct talk t;
    struct err e;
    pthread_t thread;

    (void)state;
    begin(&t);
    pthread_create(&thread, NULL, hush_later, &t);
    assert_int_equal(session_send(&t.session, message(1, BIG * 10), soon(), &e), AGW_EGONE);
    assert_string_equal(e.message, "the run has ended");
    assert_int_equal(session_send(&t.session, message(2, 1), soon(), &e), AGW_EGONE);
    pthread_join(thread, NULL);
    end(&t);
}

static void the_last_words_are_heard_before_the_end(void **state)
{
    struct talk t;
    struct err e;
    json_t *heard;

    (void)state;
    begin(&t);
    assert_int_equal(session_send(&t.session, message(1, 1), soon(), &e), 0);
    session_hush(&t.session, message(2, 1), soon());
    session_hush(&t.session, message(3, 1), soon()); /* not twice */
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(wire_receive_until(&t.other, soon(), &heard, NULL, &e), 1);
        assert_int_equal(json_integer_value(json_object_get(heard, "n")), i);
        json_decref(heard);
    }
    assert_int_equal(wire_receive_until(&t.other, soon(), &heard, NULL, &e), AGW_EGONE);
    end(&t);
}

static void the_last_words_are_not_waited_with_for_ever(void **state)
{
    struct talk t;
    int64_t began = clock_mono_ms();

    (void)state;
    begin(&t);
    session_hush(&t.session, message(2, BIG * 10), began + 100);
    assert_true(clock_mono_ms() - began < LONG_MS);
    end(&t);
}

static void what_cannot_be_said_ends_it(void **state)
{
    struct talk t;
    struct err e;

    (void)state;
    begin(&t);
    assert_int_equal(session_send(&t.session, NULL, soon(), &e), AGW_ENOMEM);
    assert_int_equal(session_send(&t.session, message(1, 1), soon(), &e), 0);
    assert_int_equal(session_send(&t.session, message(1, WIRE_LINE_MAX + 8192), soon(), &e),
                     AGW_ETOOLARGE);
    assert_int_equal(session_send(&t.session, message(1, 1), soon(), &e), AGW_EGONE);
    end(&t);
}

/* ---- receiving ---- */

static void messages_are_heard_one_by_one(void **state)
{
    static const char two[] = "{\"t\":\"a\"}\n{\"t\":\"b\"}\n{\"t\":";
    struct talk t;
    struct err e;
    json_t *heard;

    (void)state;
    begin(&t);
    assert_int_equal(send(t.peer, two, sizeof two - 1, 0), sizeof two - 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(session_receive(&t.session, -1, soon(), &heard, &e), SESSION_MESSAGE);
        assert_string_equal(wire_type(heard), i == 0 ? "a" : "b");
        json_decref(heard);
    }
    assert_int_equal(session_received(&t.session), 20);
    assert_int_equal(session_receive(&t.session, -1, clock_mono_ms() + 50, &heard, &e),
                     SESSION_NOTHING);
    shutdown(t.peer, SHUT_WR);
    assert_int_equal(session_receive(&t.session, -1, soon(), &heard, &e), AGW_EGONE);
    end(&t);
}

static void nonsense_is_refused(void **state)
{
    static const char *const lines[] = {"nonsense\n", "[]\n", "\n", "{\"t\":\"\xff\"}\n"};
    struct talk t;
    struct err e;
    json_t *heard;

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        begin(&t);
        assert_int_equal(send(t.peer, lines[i], strlen(lines[i]), 0), strlen(lines[i]));
        assert_int_equal(session_receive(&t.session, -1, soon(), &heard, &e), AGW_EINVALID);
        end(&t);
    }
}

static void a_client_that_leaves_is_seen(void **state)
{
    struct talk t;
    struct err e;
    json_t *heard;
    int client[2];

    (void)state;
    begin(&t);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client), 0);
    assert_int_equal(send(client[1], "more", 4, 0), 4); /* is no leaving */
    assert_int_equal(session_receive(&t.session, client[0], clock_mono_ms() + 50, &heard, &e),
                     SESSION_NOTHING);
    close(client[1]);
    assert_int_equal(session_receive(&t.session, client[0], soon(), &heard, &e), SESSION_LEFT);
    close(client[0]);
    end(&t);
}

static void *read_late(void *arg)
{
    struct talk *t = arg;
    json_t *heard = NULL;
    struct err e;

    usleep(100000);
    if (wire_receive_until(&t->other, soon(), &heard, NULL, &e) != 1)
        return NULL;
    (void)!send(t->peer, "{\"t\":\"a\"}\n", 10, 0);
    return heard;
}

static void what_is_posted_goes_out_while_it_listens(void **state)
{
    struct talk t;
    struct err e;
    json_t *heard;
    pthread_t reader;
    void *read;

    (void)state;
    begin(&t);
    assert_int_equal(session_post(&t.session, NULL, &e), AGW_ENOMEM);
    assert_int_equal(session_post(&t.session, message(7, BIG * 10), &e), 0);
    assert_true(wire_wants_to_send(&t.session.wire));
    assert_int_equal(session_receive(&t.session, -1, clock_mono_ms() + 50, &heard, &e),
                     SESSION_NOTHING);
    pthread_create(&reader, NULL, read_late, &t);
    assert_int_equal(session_receive(&t.session, -1, soon(), &heard, &e), SESSION_MESSAGE);
    json_decref(heard);
    pthread_join(reader, &read);
    assert_int_equal(json_string_length(json_object_get(read, "text")), BIG * 10);
    json_decref(read);
    assert_false(wire_wants_to_send(&t.session.wire));
    end(&t);
}

static int64_t own_cpu_ms(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* What it says is heard nevertheless, and nobody turns round and round until it does. */
static void who_reads_no_more_may_still_speak(void **state)
{
    struct talk t;
    struct err e;
    json_t *heard;
    int64_t before;

    (void)state;
    begin(&t);
    shutdown(t.peer, SHUT_RD);
    assert_int_equal(session_post(&t.session, message(1, 1), &e), AGW_EGONE);
    before = own_cpu_ms();
    assert_int_equal(session_receive(&t.session, -1, clock_mono_ms() + 1000, &heard, &e),
                     SESSION_NOTHING);
    assert_true(own_cpu_ms() - before < 300);
    assert_int_equal(send(t.peer, "{\"t\":\"a\"}\n", 10, 0), 10);
    assert_int_equal(session_receive(&t.session, -1, soon(), &heard, &e), SESSION_MESSAGE);
    json_decref(heard);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_several_speakers_stay_whole),
        cmocka_unit_test(who_does_not_read_is_waited_for_until_the_deadline),
        cmocka_unit_test(who_waits_gives_up_when_the_run_ends),
        cmocka_unit_test(the_last_words_are_heard_before_the_end),
        cmocka_unit_test(the_last_words_are_not_waited_with_for_ever),
        cmocka_unit_test(what_cannot_be_said_ends_it),
        cmocka_unit_test(messages_are_heard_one_by_one),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(a_client_that_leaves_is_seen),
        cmocka_unit_test(what_is_posted_goes_out_while_it_listens),
        cmocka_unit_test(who_reads_no_more_may_still_speak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* json_pool: values come and go between threads, and what threads kept goes with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/json_memory.h"

enum { THREADS = 8, ROUNDS = 300 };

static json_t *make(int seed)
{
    json_t *array = json_array();

    for (int i = 0; i < 50; i++) {
        char text[300];
        size_t length = (size_t)(seed * 31 + i * 17) % (sizeof text - 1);

        memset(text, 'a' + (seed + i) % 26, length);
        text[length] = '\0';
        json_array_append_new(array, json_pack("{s:s, s:i, s:f}", "text", text, "i", i, "f", 0.5));
    }
    return array;
}

/* Each sees the tree that it expects, whoever's freed blocks it is made of. */
static void *work(void *arg)
{
    int seed = (int)(intptr_t)arg;

    for (int round = 0; round < ROUNDS; round++) {
        json_t *one = make(seed + round), *two = make(seed + round);

        if (!json_equal(one, two))
            abort();
        json_decref(one);
        json_decref(two);
    }
    return make(seed);
}

static void trees_are_whole_in_every_thread(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i), 0);
    for (int i = 0; i < THREADS; i++) {
        json_t *expected = make(i);
        void *made;

        pthread_join(threads[i], &made);
        assert_true(json_equal(made, expected));
        json_decref(made); /* freed by another thread than made it */
        json_decref(expected);
    }
}

static void *come_and_go(void *arg)
{
    json_decref(make(3));
    return arg;
}

static void ended_threads_leave_nothing(void **state)
{
    size_t before = 0;

    (void)state;
    for (int i = 0; i < 400; i++) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, come_and_go, NULL), 0);
        pthread_join(thread, NULL);
        if (i == 99)
            before = mallinfo2().uordblks;
    }
    assert_true(mallinfo2().uordblks < before + 65536);
}

static int install(void **state)
{
    (void)state;
    json_memory_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_whole_in_every_thread),
        cmocka_unit_test(ended_threads_leave_nothing),
    };

    return cmocka_run_group_tests_name("util/json_pool", tests, install, NULL);
}

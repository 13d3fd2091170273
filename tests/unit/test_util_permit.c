/* SPDX-License-Identifier: MIT */
/* permit: never more running than permitted, waits give back, strangers pass through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "util/permit.h"

enum { RUNNING = 3, THREADS = 12, ROUNDS = 300 };

static atomic_int inside, most, waiting;

static void enter(void)
{
    int now = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);

    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
}

static void leave(void)
{
    atomic_fetch_sub(&inside, 1);
}

static void *work(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        permit_take();
        enter();
        for (volatile int spin = 0; spin < 500; spin++)
            ;
        leave();
        permit_wait_begin();
        permit_wait_begin(); /* a wait within a wait gives back once only */
        permit_wait_end();
        permit_wait_end();
        enter();
        leave();
        permit_take(); /* held already */
        permit_drop();
        permit_drop(); /* not held any more */
    }
    return NULL;
}

/* Runs before permit_init(): everybody may run. */
static void without_init_nothing_waits(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        permit_take();
        permit_wait_begin();
        permit_wait_end();
    }
    permit_drop();
}

static void never_more_than_permitted(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    permit_init(RUNNING);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&most), 1, RUNNING);
    assert_int_equal(atomic_load(&inside), 0);
}

static void *wait_long(void *arg)
{
    atomic_bool *go = arg;

    permit_take();
    permit_wait_begin();
    atomic_fetch_add(&waiting, 1);
    while (!atomic_load(go))
        usleep(1000);
    permit_wait_end();
    permit_drop();
    return NULL;
}

static void waiting_threads_do_not_hold_others_up(void **state)
{
    pthread_t threads[THREADS];
    atomic_bool go = false;

    (void)state;
    permit_init(1);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_long, &go), 0);
    while (atomic_load(&waiting) < THREADS)
        usleep(1000);
    permit_take(); /* would hang if a waiting thread kept its permit */
    permit_drop();
    atomic_store(&go, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void a_thread_that_took_none_passes_through(void **state)
{
    (void)state;
    permit_init(1);
    permit_take();
    permit_drop();
    for (int i = 0; i < 10; i++) {
        permit_drop();
        permit_wait_begin();
        permit_wait_end();
    }
    permit_take(); /* the count has not grown: the next would wait, this must not */
    permit_drop();
}

static void less_than_one_is_one(void **state)
{
    (void)state;
    permit_init(0);
    permit_take();
    permit_drop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_init_nothing_waits),
        cmocka_unit_test(never_more_than_permitted),
        cmocka_unit_test(waiting_threads_do_not_hold_others_up),
        cmocka_unit_test(a_thread_that_took_none_passes_through),
        cmocka_unit_test(less_than_one_is_one),
    };

    return cmocka_run_group_tests_name("util/permit", tests, NULL, NULL);
}

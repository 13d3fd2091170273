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
        permit_wake(permit_sleeper());
        assert_true(permit_sleep(0));
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

static void *lock_once(void *mutex)
{
    permit_take();
    atomic_fetch_add(&waiting, 1);
    permit_lock(mutex);
    pthread_mutex_unlock(mutex);
    permit_drop();
    return NULL;
}

static void who_waits_for_a_mutex_keeps_no_permit(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;

    (void)state;
    permit_init(1);
    atomic_store(&waiting, 0);
    permit_take();
    permit_lock(&mutex);
    permit_wait_begin(); /* as its holder may */
    assert_int_equal(pthread_create(&thread, NULL, lock_once, &mutex), 0);
    while (atomic_load(&waiting) == 0)
        usleep(1000);
    permit_wait_end(); /* would hang if the other had kept it */
    pthread_mutex_unlock(&mutex);
    permit_drop();
    pthread_join(thread, NULL);
    permit_take();
    permit_drop();
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

static struct permit_sleeper *_Atomic sleeper;
static atomic_int events;
static int slept_until, granted_at;

static void *sleep_once(void *arg)
{
    permit_take();
    atomic_store(&sleeper, permit_sleeper());
    assert_true(permit_sleep(INT64_MAX));
    slept_until = atomic_fetch_add(&events, 1);
    *(bool *)arg = true;
    permit_drop();
    return NULL;
}

/* A thread that sleeps until it is woken, with one permit for all, which is free. */
static void begin_with_sleeper(pthread_t *thread, bool *woken)
{
    permit_init(1);
    atomic_store(&sleeper, NULL);
    assert_int_equal(pthread_create(thread, NULL, sleep_once, woken), 0);
    while (atomic_load(&sleeper) == NULL)
        usleep(1000);
}

static void a_woken_thread_gets_its_permit_first(void **state)
{
    pthread_t thread;
    bool woken = false;

    (void)state;
    begin_with_sleeper(&thread, &woken);
    permit_take(); /* the sleeper gave its own back */
    atomic_store(&events, 0);
    permit_wake(atomic_load(&sleeper));
    usleep(20000);
    assert_int_equal(atomic_load(&events), 0); /* it has none yet */
    permit_drop();
    pthread_join(thread, NULL);
    assert_true(woken);
    permit_take(); /* and it has given it back */
    permit_drop();
}

static void waking_comes_before_sleeping(void **state)
{
    struct permit_sleeper *mine;

    (void)state;
    permit_init(1);
    mine = permit_sleeper(); /* without a permit */
    permit_wake(mine);
    assert_true(permit_sleep(0));
    permit_take();
    mine = permit_sleeper();
    permit_wake(mine);
    assert_true(permit_sleep(INT64_MAX));
    permit_drop();
    permit_take();
    permit_drop();
}

static void sleep_ends_in_time(void **state)
{
    (void)state;
    permit_init(1);
    permit_take();
    permit_sleeper();
    assert_false(permit_sleep(0));
    permit_wait_end();
    permit_drop();
    permit_take();
    permit_drop();
}

static void note_grant(void *arg)
{
    granted_at = atomic_fetch_add(&events, 1);
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void work_waits_behind_sleepers(void **state)
{
    atomic_int grants = 0, others = 0;
    struct permit_work work = {.granted = note_grant, .arg = &grants};
    struct permit_work other = {.granted = note_grant, .arg = &others};
    pthread_t thread;
    bool woken = false;

    (void)state;
    begin_with_sleeper(&thread, &woken);
    permit_take();
    atomic_store(&events, 0);
    permit_ask(&other);
    permit_ask(&work);
    permit_ask(&work);
    permit_wake(atomic_load(&sleeper));
    assert_int_equal(atomic_load(&grants), 0);
    assert_false(permit_next(&work)); /* the sleeper is next, then `other` */
    pthread_join(thread, NULL);
    assert_int_equal(slept_until, 0);
    assert_int_equal(granted_at, 1);
    assert_int_equal(atomic_load(&others), 1);
    permit_adopt(); /* the permit of `other` */
    assert_true(permit_next(&work));
    assert_true(permit_next(&work));
    assert_false(permit_next(&work)); /* none is left: given back */
    assert_int_equal(atomic_load(&grants), 0);
    permit_ask(&work); /* and there at once for the next */
    assert_int_equal(atomic_load(&grants), 1);
    permit_adopt();
    permit_ask(&other); /* the line is in order after it was empty */
    permit_ask(&work);
    permit_drop();
    assert_int_equal(atomic_load(&others), 2);
    permit_adopt();
    permit_drop();
    assert_int_equal(atomic_load(&grants), 2);
    permit_adopt();
    permit_drop();
}

static void who_has_waited_may_go_on_before_sleepers(void **state)
{
    atomic_int grants = 0;
    struct permit_work work = {.granted = note_grant, .arg = &grants};
    pthread_t thread;
    bool woken = false;

    (void)state;
    begin_with_sleeper(&thread, &woken);
    permit_take();
    permit_wait_begin();
    permit_wait_end();
    permit_ask(&work);
    permit_ask(&work);
    permit_wake(atomic_load(&sleeper));
    assert_true(permit_next(&work));
    assert_false(permit_next(&work)); /* once only: then the sleeper, then the work */
    pthread_join(thread, NULL);
    assert_true(woken);
    assert_int_equal(atomic_load(&grants), 1);
    permit_adopt();
    permit_drop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_init_nothing_waits),
        cmocka_unit_test(never_more_than_permitted),
        cmocka_unit_test(waiting_threads_do_not_hold_others_up),
        cmocka_unit_test(who_waits_for_a_mutex_keeps_no_permit),
        cmocka_unit_test(a_thread_that_took_none_passes_through),
        cmocka_unit_test(less_than_one_is_one),
        cmocka_unit_test(a_woken_thread_gets_its_permit_first),
        cmocka_unit_test(waking_comes_before_sleeping),
        cmocka_unit_test(sleep_ends_in_time),
        cmocka_unit_test(work_waits_behind_sleepers),
        cmocka_unit_test(who_has_waited_may_go_on_before_sleepers),
    };

    return cmocka_run_group_tests_name("util/permit", tests, NULL, NULL);
}

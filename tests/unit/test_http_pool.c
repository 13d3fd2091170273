/* SPDX-License-Identifier: MIT */
/* pool: tasks wait for permits, threads go on with the next task, none is lost or refused
 * while there is a thread, and threads leave when they are not needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "http/pool.h"
#include "util/permit.h"

enum { MANY = 2000, PRODUCERS = 4 };

static atomic_int begun, ended, after, inside, most;
static atomic_bool go;
static int order[MANY];
static pthread_t runner[MANY];

static void reset(void)
{
    atomic_store(&begun, 0);
    atomic_store(&ended, 0);
    atomic_store(&after, 0);
    atomic_store(&most, 0);
    atomic_store(&go, false);
}

static int run(void *arg, void *task)
{
    int now = atomic_fetch_add(&inside, 1) + 1, n = atomic_fetch_add(&begun, 1);

    if (now > atomic_load(&most))
        atomic_store(&most, now);
    order[n % MANY] = (int)(intptr_t)task;
    runner[n % MANY] = pthread_self();
    while (arg != NULL && !atomic_load((atomic_bool *)arg))
        usleep(200);
    atomic_fetch_sub(&inside, 1);
    atomic_fetch_add(&ended, 1);
    return (int)(intptr_t)task;
}

static void done(void *arg, void *task, int result)
{
    (void)arg;
    assert_int_equal(result, (int)(intptr_t)task);
    atomic_fetch_add(&after, 1);
}

static struct pool *start(int min, int max, int64_t idle_ms, void *arg)
{
    struct pool_options options = {.min_threads = min, .max_threads = max, .idle_ms = idle_ms,
                                   .run = run, .after = done, .arg = arg};

    reset();
    return pool_new(&options);
}

static void await(atomic_int *count, int value)
{
    for (int i = 0; i < 50000 && atomic_load(count) < value; i++)
        usleep(200);
    assert_int_equal(atomic_load(count), value);
}

/* Before permit_init(): no limit. */
static void without_permits_all_run_at_once(void **state)
{
    struct pool *pool = start(1, 8, 1000, &go);

    (void)state;
    for (intptr_t i = 0; i < 8; i++)
        assert_int_equal(pool_give(pool, (void *)i), 0);
    assert_int_equal(pool_give(pool, NULL), AGW_EOVERLOAD);
    await(&begun, 8);
    atomic_store(&go, true);
    assert_int_equal(pool_stop(&pool, 10000), 0);
    assert_null(pool);
    assert_int_equal(atomic_load(&after), 8);
}

static void one_permit_means_one_at_a_time_in_order(void **state)
{
    struct pool *pool = start(1, 6, 1000, &go);

    (void)state;
    permit_init(1);
    for (intptr_t i = 0; i < 6; i++)
        assert_int_equal(pool_give(pool, (void *)i), 0);
    /* all six are taken, and there are no more threads than that */
    assert_int_equal(pool_give(pool, NULL), AGW_EOVERLOAD);
    await(&begun, 1);
    usleep(20000);
    assert_int_equal(atomic_load(&begun), 1);
    atomic_store(&go, true);
    await(&after, 6);
    assert_int_equal(atomic_load(&most), 1);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(order[i], i);
        assert_true(pthread_equal(runner[i], runner[0])); /* it went on by itself */
    }
    assert_int_equal(pool_stop(&pool, 10000), 0);
}

static void stopping_still_runs_what_was_given(void **state)
{
    struct pool *pool = start(1, 6, 1000, &go);

    (void)state;
    permit_init(2);
    for (intptr_t i = 0; i < 6; i++)
        assert_int_equal(pool_give(pool, (void *)i), 0);
    await(&begun, 2);
    assert_int_equal(pool_stop(&pool, 20), 6);
    assert_non_null(pool);
    assert_int_equal(pool_give(pool, NULL), AGW_EOVERLOAD);
    atomic_store(&go, true);
    assert_int_equal(pool_stop(&pool, 10000), 0);
    assert_int_equal(atomic_load(&after), 6);
}

static void idle_threads_leave(void **state)
{
    struct pool *pool = start(0, 4, 20, NULL);

    (void)state;
    permit_init(4);
    for (int round = 0; round < 3; round++) {
        for (intptr_t i = 0; i < 4; i++)
            assert_int_equal(pool_give(pool, (void *)i), 0);
        await(&after, 4 * (round + 1));
        usleep(60000);
    }
    assert_int_equal(pool_stop(&pool, 10000), 0);
}

/* Threads leave (idle_ms 0) while tasks arrive, and waits give permits back. */
static int wait_a_little(void *arg, void *task)
{
    permit_wait_begin();
    if ((intptr_t)task % 16 == 0)
        usleep(100);
    permit_wait_end();
    return run(arg, task);
}

static void *produce(void *arg)
{
    struct pool *pool = arg;

    for (intptr_t i = 0; i < MANY / PRODUCERS; i++)
        while (pool_give(pool, (void *)i) != 0)
            usleep(100);
    return NULL;
}

static void none_is_lost(void **state)
{
    struct pool_options options = {.min_threads = 0, .max_threads = 16, .idle_ms = 0,
                                   .run = wait_a_little, .after = done};
    pthread_t threads[PRODUCERS];
    struct pool *pool;

    (void)state;
    permit_init(3);
    reset();
    pool = pool_new(&options);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, produce, pool), 0);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    await(&after, MANY);
    assert_in_range(atomic_load(&most), 1, 3);
    assert_int_equal(pool_stop(&pool, 10000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_permits_all_run_at_once),
        cmocka_unit_test(one_permit_means_one_at_a_time_in_order),
        cmocka_unit_test(stopping_still_runs_what_was_given),
        cmocka_unit_test(idle_threads_leave),
        cmocka_unit_test(none_is_lost),
    };

    return cmocka_run_group_tests_name("http/pool", tests, NULL, NULL);
}

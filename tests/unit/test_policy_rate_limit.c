/* SPDX-License-Identifier: MIT */
/* rate_limit_take(): exact in one process and in many, and across a killed one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject.h"
#include "policy/rate_limit.h"

enum { SLOTS = 65536 };

struct fixture {
    char dir[64], path[80];
    struct shm *shm;
    struct rate_limiter *limiter;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err e;

    snprintf(f->dir, sizeof f->dir, "/tmp/agw-rate-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/shared", f->dir);
    assert_int_equal(shm_open_file(f->path, &f->shm, &e), 0);
    assert_int_equal(rate_limit_open(f->shm, &f->limiter, &e), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    rate_limit_close(&f->limiter);
    shm_close(&f->shm);
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void counts_down_and_starts_anew(void **state)
{
    struct fixture *f = *state;
    struct rate_verdict v;

    rate_limit_take(f->limiter, "a", 2, 1000, &v);
    assert_true(v.allowed);
    assert_int_equal(v.remaining, 1);
    assert_int_equal(v.reset_ms, 60000);
    rate_limit_take(f->limiter, "a", 2, 31000, &v);
    assert_true(v.allowed);
    assert_int_equal(v.remaining, 0);
    assert_int_equal(v.reset_ms, 30000);
    rate_limit_take(f->limiter, "a", 2, 60999, &v);
    assert_false(v.allowed);
    assert_int_equal(v.reset_ms, 1);
    rate_limit_take(f->limiter, "a", 2, 61000, &v);
    assert_true(v.allowed);
    assert_int_equal(v.remaining, 1);
}

static void keys_do_not_share_and_zero_is_unlimited(void **state)
{
    struct fixture *f = *state;
    struct rate_verdict v;

    rate_limit_take(f->limiter, "a", 1, 0, &v);
    rate_limit_take(f->limiter, "a", 1, 0, &v);
    assert_false(v.allowed);
    rate_limit_take(f->limiter, "b", 1, 0, &v);
    assert_true(v.allowed);
    for (int i = 0; i < 100; i++) {
        rate_limit_take(f->limiter, "c", 0, 0, &v);
        assert_true(v.allowed);
        assert_int_equal(v.limit, 0);
    }
}

/* A raised limit takes effect in the running window; a lowered one refuses at once. */
static void limit_may_change_in_a_window(void **state)
{
    struct fixture *f = *state;
    struct rate_verdict v;

    for (int i = 0; i < 3; i++)
        rate_limit_take(f->limiter, "a", 3, 10, &v);
    rate_limit_take(f->limiter, "a", 5, 20, &v);
    assert_true(v.allowed);
    assert_int_equal(v.remaining, 1);
    rate_limit_take(f->limiter, "a", 2, 30, &v);
    assert_false(v.allowed);
    assert_int_equal(v.remaining, 0);
}

/* Threads read the clock in one order and count in another: none of that loses a count. */
static void a_late_reader_does_not_reset_the_window(void **state)
{
    struct fixture *f = *state;
    struct rate_verdict v;

    rate_limit_take(f->limiter, "a", 2, 1001, &v);
    rate_limit_take(f->limiter, "a", 2, 1000, &v);
    rate_limit_take(f->limiter, "a", 2, 999, &v);
    assert_false(v.allowed);
}

/* After a reboot the monotonic clock starts again; an old window must not last for days. */
static void a_window_from_before_a_reboot_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct rate_verdict v;

    rate_limit_take(f->limiter, "a", 1, 900000000, &v);
    rate_limit_take(f->limiter, "a", 1, 5000, &v);
    assert_true(v.allowed);
}

static void T32_open_may_fail(void **state)
{
    struct fixture *f = *state;
    struct rate_limiter *limiter;
    struct err e;

    inject_start(INJECT_SYSTEM, 0, true);
    assert_int_equal(rate_limit_open(f->shm, &limiter, &e), AGW_ESTORE);
    assert_null(limiter);
    inject_start(INJECT_MEMORY, 0, true);
    assert_int_equal(rate_limit_open(f->shm, &limiter, &e), AGW_ENOMEM);
    inject_stop();
    assert_null(limiter);
}

/* What lies in the shared file: owner and window of each slot. */
static uint64_t *slots(struct fixture *f)
{
    void *region;
    struct err e;

    assert_int_equal(shm_region(f->shm, "rate_limit", SLOTS * 16, &region, &e), 0);
    return region;
}

/* More keys than slots: they share, so that none is free of its limit. */
static void a_full_table_limits_still(void **state)
{
    struct fixture *f = *state;
    struct rate_verdict v;
    uint64_t *words = slots(f);

    for (int i = 0; i < SLOTS; i++)
        words[2 * i] = UINT64_MAX;
    rate_limit_take(f->limiter, "a", 1, 1000, &v);
    assert_true(v.allowed);
    rate_limit_take(f->limiter, "a", 1, 1000, &v);
    assert_false(v.allowed);
}

/* The counter does not run over into the window's start. */
static void the_highest_count_is_the_end(void **state)
{
    struct fixture *f = *state;
    const uint64_t most = (1 << 22) - 1;
    struct rate_verdict v;
    uint64_t *words = slots(f);

    rate_limit_take(f->limiter, "a", 5000000, 1000, &v);
    for (int i = 0; i < SLOTS; i++)
        if (words[2 * i] != 0)
            words[2 * i + 1] += most - 2;
    rate_limit_take(f->limiter, "a", 5000000, 1000, &v);
    assert_true(v.allowed);
    rate_limit_take(f->limiter, "a", 5000000, 1000, &v);
    assert_false(v.allowed);
    assert_int_equal(v.reset_ms, 60000);
}

enum { RACERS = 4, RACED_KEYS = 3000, RACED_LIMIT = 2 };

static void *race(void *arg)
{
    const struct fixture *f = arg;
    intptr_t passed = 0;

    for (int i = 0; i < RACED_KEYS; i++) {
        struct rate_verdict v;
        char key[16];

        snprintf(key, sizeof key, "k%d", i);
        rate_limit_take(f->limiter, key, RACED_LIMIT, 1000, &v);
        passed += v.allowed;
        for (int j = 0; j < 20; j++) {
            rate_limit_take(f->limiter, "all", 20 * RACED_KEYS, 1000, &v);
            passed += v.allowed;
        }
    }
    return (void *)passed;
}

/* Threads claim the same slots at the same time. */
static void racing_threads_pass_exactly_the_limit(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[RACERS];
    intptr_t passed = 0;

    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, f), 0);
    for (int i = 0; i < RACERS; i++) {
        void *one;

        pthread_join(threads[i], &one);
        passed += (intptr_t)one;
    }
    assert_int_equal(passed, RACED_KEYS * RACED_LIMIT + 20 * RACED_KEYS);
}

enum { PROCESSES = 8, THREADS = 4, TRIES = 500, LIMIT = 100 };

struct taker {
    struct rate_limiter *limiter;
    int passed;
};

static void *take_many(void *arg)
{
    struct taker *t = arg;
    struct rate_verdict v;

    for (int i = 0; i < TRIES; i++) {
        rate_limit_take(t->limiter, "shared", LIMIT, 1000 + i % 3, &v);
        t->passed += v.allowed;
    }
    return NULL;
}

/* A process of its own mapping, with threads; exits with how many passed. */
static void child(const char *path)
{
    struct taker takers[THREADS] = {0};
    pthread_t threads[THREADS];
    struct shm *shm;
    struct rate_limiter *limiter;
    struct err e;
    int passed = 0;

    if (shm_open_file(path, &shm, &e) != 0 || rate_limit_open(shm, &limiter, &e) != 0)
        _exit(255);
    for (int i = 0; i < THREADS; i++) {
        takers[i].limiter = limiter;
        pthread_create(&threads[i], NULL, take_many, &takers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        passed += takers[i].passed;
    }
    _exit(passed);
}

static void many_processes_pass_exactly_the_limit(void **state)
{
    struct fixture *f = *state;
    pid_t pids[PROCESSES];
    int passed = 0;

    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            child(f->path);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;

        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        passed += WEXITSTATUS(status);
    }
    assert_int_equal(passed, LIMIT);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(counts_down_and_starts_anew),
        CASE(keys_do_not_share_and_zero_is_unlimited),
        CASE(limit_may_change_in_a_window),
        CASE(a_late_reader_does_not_reset_the_window),
        CASE(a_window_from_before_a_reboot_is_dropped),
        CASE(T32_open_may_fail),
        CASE(a_full_table_limits_still),
        CASE(the_highest_count_is_the_end),
        CASE(racing_threads_pass_exactly_the_limit),
        CASE(many_processes_pass_exactly_the_limit),
    };

    return cmocka_run_group_tests_name("policy/rate_limit", tests, NULL, NULL);
}

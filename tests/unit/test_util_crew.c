/* SPDX-License-Identifier: MIT */
/* crew: jobs run side by side, threads are used again and end when nobody needs them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/crew.h"

enum { MANY = CREW_IDLE_MAX + 8, LONG_MS = 60000, TASK_SIZE = 64 };

static sem_t begun, go_on, done;
static _Atomic pid_t worker;
static bool no_threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg)
{
    return no_threads ? EAGAIN : __real_pthread_create(thread, attributes, start, arg);
}

static int count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = -2; /* . and .. */

    assert_non_null(tasks);
    while (readdir(tasks) != NULL)
        count++;
    closedir(tasks);
    return count;
}

/* A sanitizer may have threads of its own, from the first that a program starts. */
static int others;

static void *say_who(void *path)
{
    snprintf(path, TASK_SIZE, "/proc/self/task/%d", (int)gettid());
    return NULL;
}

static void count_others(void)
{
    pthread_t first;
    char path[TASK_SIZE] = "";

    pthread_create(&first, NULL, say_who, path);
    pthread_join(first, NULL);
    while (access(path, F_OK) == 0) /* it is listed for a moment longer */
        usleep(1000);
    others = count_threads() - 1;
}

static void await_at_most(int threads)
{
    int64_t until = clock_mono_ms() + LONG_MS;

    while (count_threads() - others > threads && clock_mono_ms() < until)
        usleep(1000);
    assert_true(count_threads() - others <= threads);
}

static int setup(void **state)
{
    (void)state;
    sem_init(&begun, 0, 0);
    sem_init(&go_on, 0, 0);
    sem_init(&done, 0, 0);
    return 0;
}

static void note(void *arg)
{
    atomic_store(&worker, gettid());
    atomic_fetch_add((atomic_int *)arg, 1);
    sem_post(&done);
}

static void wait_for(sem_t *what, int times)
{
    for (int i = 0; i < times; i++)
        while (sem_wait(what) != 0)
            ;
}

static void hold(void *arg)
{
    (void)arg;
    sem_post(&begun);
    wait_for(&go_on, 1);
    sem_post(&done);
}

static void a_thread_is_used_again(void **state)
{
    int64_t until = clock_mono_ms() + LONG_MS;
    atomic_int jobs = 0;
    pid_t before = 0;

    (void)state;
    for (int i = 1; clock_mono_ms() < until; i++) {
        assert_int_equal(crew_do(note, &jobs), 0);
        wait_for(&done, 1);
        assert_int_equal(atomic_load(&jobs), i);
        assert_true(atomic_load(&worker) != getpid());
        if (atomic_load(&worker) == before)
            return;
        before = atomic_load(&worker);
        usleep(5000); /* it comes back as soon as the machine lets it */
    }
    fail_msg("each job had a thread of its own");
}

static void jobs_run_side_by_side(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(crew_do(hold, NULL), 0);
    wait_for(&begun, MANY); /* none of them has ended */
    for (int i = 0; i < MANY; i++)
        sem_post(&go_on);
    wait_for(&done, MANY);
    await_at_most(1 + CREW_IDLE_MAX);
}

static void idle_threads_end(void **state)
{
    atomic_int jobs = 0;
    int64_t before = clock_mono_ms();

    (void)state;
    assert_int_equal(crew_do(note, &jobs), 0);
    wait_for(&done, 1);
    await_at_most(1);
    assert_true(clock_mono_ms() - before >= CREW_IDLE_MS - 100);
}

static void without_a_new_thread(void **state)
{
    atomic_int jobs = 0;

    (void)state;
    await_at_most(1);
    no_threads = true;
    assert_int_equal(crew_do(note, &jobs), -1);
    no_threads = false;
    assert_int_equal(crew_do(note, &jobs), 0);
    wait_for(&done, 1);
    assert_int_equal(atomic_load(&jobs), 1);
}

static void *ask_often(void *arg)
{
    for (int i = 0; i < 500; i++)
        while (crew_do(note, arg) != 0)
            usleep(1000);
    return NULL;
}

static void many_may_ask(void **state)
{
    atomic_int jobs = 0;
    pthread_t askers[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&askers[i], NULL, ask_often, &jobs), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(askers[i], NULL);
    wait_for(&done, 2000);
    assert_int_equal(atomic_load(&jobs), 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_thread_is_used_again, setup),
        cmocka_unit_test_setup(jobs_run_side_by_side, setup),
        cmocka_unit_test_setup(idle_threads_end, setup),
        cmocka_unit_test_setup(without_a_new_thread, setup),
        cmocka_unit_test_setup(many_may_ask, setup),
    };

    count_others();
    return cmocka_run_group_tests_name("util/crew", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* futex: sleeps while the word stands, wakes when it is set, gives up in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/futex.h"

static void another_value_does_not_sleep(void **state)
{
    _Atomic uint32_t word = 1;

    (void)state;
    assert_true(futex_wait(&word, 0, FUTEX_FOREVER));
    assert_true(futex_wait(&word, 0, 0)); /* even when the time is over already */
}

static void gives_up_in_time(void **state)
{
    _Atomic uint32_t word = 0;
    int64_t before = clock_mono_us();

    (void)state;
    assert_false(futex_wait(&word, 0, before + 30000));
    assert_in_range(clock_mono_us() - before, 30000, 5000000);
    assert_false(futex_wait(&word, 0, before));
}

static void *set_later(void *arg)
{
    usleep(20000);
    futex_set(arg, 7);
    return NULL;
}

static void setting_wakes(void **state)
{
    _Atomic uint32_t word = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, set_later, &word), 0);
    assert_true(futex_wait(&word, 0, FUTEX_FOREVER));
    assert_int_equal(atomic_load(&word), 7);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_value_does_not_sleep),
        cmocka_unit_test(gives_up_in_time),
        cmocka_unit_test(setting_wakes),
    };

    return cmocka_run_group_tests_name("util/futex", tests, NULL, NULL);
}

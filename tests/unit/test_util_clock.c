/* SPDX-License-Identifier: MIT */
/* clock: a table of texts and instants, both ways; time does not step back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"

static const struct {
    const char *text;
    int64_t ms;
} good[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01", 0},
    {"1969-12-31T23:59:59Z", -1000},
    {"1969-12-31T23:59:59.999Z", -1},
    {"2026-11-25T19:01:17.123Z", 1795633277123},
    {"2026-11-25t19:01:17.123z", 1795633277123},
    {"2026-11-25 19:01:17.123Z", 1795633277123},
    {"2026-11-25T20:01:17.123+01:00", 1795633277123},
    {"2026-11-25T13:31:17.123-05:30", 1795633277123},
    {"2026-11-26T18:00:17.123+22:59", 1795633277123},
    {"2026-11-25T19:01:17.1Z", 1795633277100},
    {"2026-11-25T19:01:17.12Z", 1795633277120},
    {"2026-11-25T19:01:17.123999999999Z", 1795633277123},
    {"2027-01-31T00:00:00Z", 1801353600000},
    {"2024-02-29", 1709164800000},
    {"2000-02-29", 951782400000},
    {"2038-01-19T03:14:08Z", 2147483648000},
    {"2016-12-31T23:59:60Z", 1483228800000}, /* a leap second */
    {"0000-01-01T00:00:00Z", -62167219200000},
    {"0999-06-01T00:00:00Z", -30628713600000},
    {"9999-12-31T23:59:59.999Z", 253402300799999},
};

static const char *const bad[] = {
    "", "now", "2026", "2026-11", "2026-1-25", "26-11-25", "2026-00-10", "2026-13-10",
    "2026-11-00", "2026-11-31", "2026-04-31", "2026-02-29", "1900-02-29", "2026-11-32",
    "2026-11-25T", "2026-11-25T19", "2026-11-25T19:01", "2026-11-25T19:01:17",
    "2026-11-25T24:00:00Z", "2026-11-25T19:60:00Z", "2026-11-25T19:01:61Z",
    "2026-11-25T19:01:17.Z", "2026-11-25T19:01:17,5Z", "2026-11-25T19:01:17+0100",
    "2026-11-25T19:01:17+01", "2026-11-25T19:01:17+24:00", "2026-11-25T19:01:17+01:60",
    "2026-11-25T19:01:17Zx", "2026-11-25T19:01:17Z ", " 2026-11-25", "2026-11-25Z",
    "+2026-11-25", "-026-11-25", "2026/11/25", "2026-11-25X19:01:17Z", "12026-11-25",
    "2026-11-25T-1:00:00Z", "2026-11-25T19:01:17.123", "2026-11-25\n",
};

static void good_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ms = 42;

        if (clock_parse(good[i].text, &ms) != 0 || ms != good[i].ms)
            fail_msg("'%s': got %lld", good[i].text, (long long)ms);
    }
}

static void bad_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms = 42;

        if (clock_parse(bad[i], &ms) == 0)
            fail_msg("'%s' was taken as %lld", bad[i], (long long)ms);
    }
}

static void what_is_written_reads_back(void **state)
{
    static const int64_t steps[] = {1, 999, 86399999, 86400000, 31535999999, 1234567890123};

    (void)state;
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++)
        for (int64_t n = -40; n <= 40; n++) {
            int64_t ms = n * steps[s], back;
            char text[CLOCK_TEXT_SIZE];

            if (clock_parse(clock_format(ms, text), &back) != 0 || back != ms)
                fail_msg("%lld became '%s'", (long long)ms, text);
            assert_int_equal(strlen(text), 24);
        }
}

static void years_are_clamped_and_four_digits(void **state)
{
    char text[CLOCK_TEXT_SIZE];

    (void)state;
    assert_string_equal(clock_format(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
    assert_string_equal(clock_format(INT64_MIN, text), "0000-01-01T00:00:00.000Z");
    assert_string_equal(clock_format(-30628713600000, text), "0999-06-01T00:00:00.000Z");
    assert_string_equal(clock_format(-1, text), "1969-12-31T23:59:59.999Z");
}

static void clocks_agree_with_the_system(void **state)
{
    int64_t us = clock_mono_us(), ms = clock_mono_ms(), wall = clock_wall_ms();

    (void)state;
    assert_in_range(ms, us / 1000, us / 1000 + 5000);
    assert_in_range(wall, (int64_t)time(NULL) * 1000 - 5000, (int64_t)time(NULL) * 1000 + 5000);
    for (int i = 0; i < 10000; i++) {
        int64_t next = clock_mono_us();

        assert_true(next >= us);
        us = next;
    }
}

static void waits_end_when_they_should(void **state)
{
    static const int64_t waits[] = {0, 1, 250, 999, 1000, 1001, 61999};

    (void)state;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        struct timespec before, end, after;
        int64_t left, right;

        clock_gettime(CLOCK_MONOTONIC, &before);
        end = clock_wait_end(waits[i]);
        clock_gettime(CLOCK_MONOTONIC, &after);
        assert_in_range(end.tv_nsec, 0, 999999999);
        left = (end.tv_sec - before.tv_sec) * 1000000000 + end.tv_nsec - before.tv_nsec;
        right = (end.tv_sec - after.tv_sec) * 1000000000 + end.tv_nsec - after.tv_nsec;
        assert_true(left >= waits[i] * 1000000 && right <= waits[i] * 1000000);
    }
}

static void a_condition_waits_by_the_same_clock(void **state)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never;
    struct timespec end;
    int64_t before = clock_mono_ms();

    (void)state;
    clock_condition_init(&never);
    pthread_mutex_lock(&lock);
    end = clock_wait_end(50);
    while (pthread_cond_timedwait(&never, &lock, &end) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&never);
    assert_in_range(clock_mono_ms() - before, 49, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts),
        cmocka_unit_test(bad_texts),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(years_are_clamped_and_four_digits),
        cmocka_unit_test(clocks_agree_with_the_system),
        cmocka_unit_test(waits_end_when_they_should),
        cmocka_unit_test(a_condition_waits_by_the_same_clock),
    };

    return cmocka_run_group_tests_name("util/clock", tests, NULL, NULL);
}

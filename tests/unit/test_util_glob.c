/* SPDX-License-Identifier: MIT */
/* glob_match() against a table and against a second, naive matcher. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/glob.h"

static const struct {
    const char *pattern, *text;
    bool matches;
} cases[] = {
    {"*", "default/assistant", true},        {"labs/*", "labs/planner", true},
    {"labs/*", "labs/a/b", true},            {"labs/*", "lab/planner", false},
    {"labs/*", "labs/", true},               {"*/planner", "a/b/planner", true},
    {"a?c", "abc", true},                    {"a?c", "a/c", true},
    {"a?c", "ac", false},                    {"[a-c]x", "bx", true},
    {"[!a-c]x", "bx", false},                {"a\\*", "a\\zzz", true},
    {"a\\*", "a*", false},                   {"+(a|b)", "ab", false},
    {"default/assistant", "default/assistant", true},
    {"default/assistant", "default/Assistant", false},
    {"", "", true},                          {"", "x", false},
};

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (glob_match(cases[i].pattern, cases[i].text) != cases[i].matches)
            fail_msg("'%s' on '%s' should be %d", cases[i].pattern, cases[i].text,
                     cases[i].matches);
}

/* '*' and '?' only: enough to cross-check the engine. */
static bool naive(const char *p, const char *t)
{
    if (*p == '\0')
        return *t == '\0';
    if (*p == '*')
        return naive(p + 1, t) || (*t != '\0' && naive(p, t + 1));
    return *t != '\0' && (*p == '?' || *p == *t) && naive(p + 1, t + 1);
}

static void T9_random_patterns_match_the_reference_quickly(void **state)
{
    static const char pattern_letters[] = "ab/*?", text_letters[] = "ab/";
    unsigned seed = 20261125;
    int64_t slowest = 0;

    (void)state;
    for (int round = 0; round < 100000; round++) {
        char pattern[13], text[17];
        size_t p = (size_t)rand_r(&seed) % 12, t = (size_t)rand_r(&seed) % 16;
        int64_t before;
        bool got;

        for (size_t i = 0; i < p; i++)
            pattern[i] = pattern_letters[rand_r(&seed) % 5];
        for (size_t i = 0; i < t; i++)
            text[i] = text_letters[rand_r(&seed) % 3];
        pattern[p] = text[t] = '\0';
        before = clock_mono_us();
        got = glob_match(pattern, text);
        if (clock_mono_us() - before > slowest)
            slowest = clock_mono_us() - before;
        if (got != naive(pattern, text))
            fail_msg("'%s' on '%s': got %d", pattern, text, got);
    }
    print_message("# slowest match: %lld us\n", (long long)slowest);
}

static void many_stars_stay_cheap(void **state)
{
    char pattern[GLOB_MAX + 1], text[GLOB_MAX + 1];
    int64_t before;

    (void)state;
    for (int i = 0; i < GLOB_MAX; i++) {
        pattern[i] = i % 2 == 0 ? '*' : 'a';
        text[i] = 'a';
    }
    pattern[GLOB_MAX - 1] = 'b';
    pattern[GLOB_MAX] = text[GLOB_MAX] = '\0';
    before = clock_mono_us();
    assert_false(glob_match(pattern, text));
    assert_true(clock_mono_us() - before < 100000);
}

static void limits(void **state)
{
    char long_text[GLOB_MAX + 2];

    (void)state;
    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_false(glob_match("*", long_text));
    assert_false(glob_match(long_text, "a"));
    assert_non_null(glob_problem(""));
    assert_non_null(glob_problem(long_text));
    assert_non_null(glob_problem("a\nb"));
    assert_null(glob_problem("labs/*"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(T9_random_patterns_match_the_reference_quickly),
        cmocka_unit_test(many_stars_stay_cheap),
        cmocka_unit_test(limits),
    };

    return cmocka_run_group_tests_name("util/glob", tests, NULL, NULL);
}

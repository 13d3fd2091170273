/* SPDX-License-Identifier: MIT */
/* dropin_problems: each problem is new once, to one process, until it has gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "store/dropin_problems.h"
#include "store_fixture.h"

enum { MOST = 4 };

/* The letters of those that are new of `letters`; a capital one has a row. */
static const char *look(struct store *store, const char *runner, int64_t started_at,
                        int64_t generation, bool is_complete, const char *letters)
{
    static char fresh[MOST + 1];
    struct dropin_list list = {runner, started_at, generation, is_complete};
    struct dropin_problem problems[MOST] = {0};
    struct audit_row row = fixture_row("dropin.blocked", NULL, "a/b");
    size_t count = strlen(letters), used = 0;

    assert_true(count <= MOST);
    for (size_t i = 0; i < count; i++) {
        snprintf(problems[i].hash, sizeof problems[i].hash, "hash-%c", letters[i]);
        problems[i].row = letters[i] < 'a' ? &row : NULL;
    }
    assert_int_equal(dropin_problems_update(store, &list, problems, count, NULL), 0);
    for (size_t i = 0; i < count; i++)
        if (problems[i].is_new)
            fresh[used++] = letters[i];
    fresh[used] = '\0';
    return fresh;
}

static long long rows(const struct fixture *f)
{
    return fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind = 'dropin.blocked'");
}

static void test_a_problem_is_new_until_it_was_seen_and_when_it_comes_again(void **state)
{
    const struct fixture *f = *state;

    assert_string_equal(look(f->store, "s", 1, 1, true, "abB"), "abB");
    assert_string_equal(look(f->store, "s", 1, 2, true, "aBc"), "c"); /* b has gone */
    assert_string_equal(look(f->store, "s", 1, 3, true, "aabB"), "b");
    assert_int_equal(rows(f), 1);
    assert_string_equal(look(f->store, "s", 1, 4, true, ""), "");
    assert_string_equal(look(f->store, "s", 1, 5, true, "B"), "B");
    assert_int_equal(rows(f), 2);
}

static void test_what_a_runner_has_not_tried_yet_has_not_gone(void **state)
{
    const struct fixture *f = *state;

    assert_string_equal(look(f->store, "s", 1, 9, true, "aB"), "aB");
    /* It starts anew: its numbers do, too. */
    assert_string_equal(look(f->store, "s", 2, 1, false, ""), "");
    assert_string_equal(look(f->store, "s", 2, 2, false, "c"), "c");
    assert_string_equal(look(f->store, "s", 2, 3, true, "aBc"), "");
    assert_int_equal(rows(f), 1);
    assert_string_equal(look(f->store, "s", 2, 4, true, "c"), "");
    assert_string_equal(look(f->store, "s", 2, 5, true, "aB"), "aB");
}

static void test_of_several_gateways_one_tells(void **state)
{
    const struct fixture *f = *state;
    struct store *other = fixture_open(f);

    assert_string_equal(look(f->store, "s", 1, 1, true, "aB"), "aB");
    assert_string_equal(look(other, "s", 1, 1, true, "aB"), "");
    assert_string_equal(look(other, "s", 1, 2, true, ""), "");
    assert_string_equal(look(other, "s", 1, 3, true, "aB"), "aB");
    /* One that is late has nothing to say. */
    assert_string_equal(look(f->store, "s", 1, 2, true, ""), "");
    assert_string_equal(look(f->store, "s", 1, 3, true, "aB"), "");
    assert_int_equal(rows(f), 2);
    store_close(&other);
}

static void test_each_runner_has_problems_of_its_own(void **state)
{
    const struct fixture *f = *state;

    assert_string_equal(look(f->store, "s", 1, 1, true, "a"), "a");
    assert_string_equal(look(f->store, "t", 1, 1, true, "a"), "a");
    assert_string_equal(look(f->store, "t", 1, 2, true, ""), "");
    assert_string_equal(look(f->store, "s", 1, 2, true, "a"), "");
}

static void test_nothing_is_half_known_when_it_cannot_be_written(void **state)
{
    const struct fixture *f = *state;
    struct dropin_list list = {"s", 1, 1, true};
    struct audit_row row = fixture_row("dropin.blocked", NULL, "a/b");
    struct dropin_problem problem = {.hash = "hash-B", .row = &row};
    struct err e = {0};

    fixture_sql(f, "ALTER TABLE dropin_problem RENAME TO elsewhere");
    assert_int_equal(dropin_problems_update(f->store, &list, &problem, 1, &e), AGW_ESTORE);
    assert_false(problem.is_new);
    assert_int_equal(rows(f), 0);
    fixture_sql(f, "ALTER TABLE elsewhere RENAME TO dropin_problem");
    assert_string_equal(look(f->store, "s", 1, 1, true, "B"), "B");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_problem_is_new_until_it_was_seen_and_when_it_comes_again, fixture_setup,
            fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_a_runner_has_not_tried_yet_has_not_gone,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_of_several_gateways_one_tells, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_each_runner_has_problems_of_its_own, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_half_known_when_it_cannot_be_written,
                                        fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Budgets of keys and uses of grants: what is inherited, what is refused, what a change of the
 * configuration in the middle of a day does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "policy/budget.h"
#include "policy/decide.h"
#include "store_fixture.h"

enum { DAY = 86400000 };

static void a_key_inherits_each_number_by_itself(void **state)
{
    static const struct {
        struct config_budget of_default, of_key, wanted;
    } cases[] = {
        {{0, 0}, {-1, -1}, {0, 0}},   {{5, 7}, {-1, -1}, {5, 7}},  {{5, 7}, {0, -1}, {0, 7}},
        {{5, 7}, {-1, 0}, {5, 0}},    {{5, 7}, {9, -1}, {9, 7}},   {{0, 0}, {9, 8}, {9, 8}},
        {{5, 7}, {100, 1}, {100, 1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config_security security = {.budget = cases[i].of_default};
        struct config_key key = {.budget = cases[i].of_key};
        struct config_budget budget = budget_of_key(&security, &key);

        assert_int_equal(budget.requests_per_day, cases[i].wanted.requests_per_day);
        assert_int_equal(budget.tokens_per_day, cases[i].wanted.tokens_per_day);
    }
}

static struct tally *open_tally(const struct fixture *f)
{
    struct tally *tally;
    struct err e;

    if (tally_open(f->store, &tally, &e) != 0)
        fail_msg("%s", e.message);
    return tally;
}

static enum budget_verdict take(struct tally *tally, struct config_budget budget, int64_t now)
{
    enum budget_verdict verdict;
    struct err e;

    if (budget_take(tally, "k", &budget, now, &verdict, &e) != 0)
        fail_msg("%s", e.message);
    return verdict;
}

static void add_tokens(struct tally *tally, struct config_budget budget, int64_t now,
                       int64_t tokens)
{
    struct err e;

    if (budget_add_tokens(tally, "k", &budget, now, tokens, &e) != 0)
        fail_msg("%s", e.message);
}

static void requests_and_tokens_are_two_budgets(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f);
    int64_t now = store_now(f->store);
    struct config_budget both = {3, 100};

    assert_int_equal(take(tally, both, now), BUDGET_ALLOWS);
    add_tokens(tally, both, now, 99);
    assert_int_equal(take(tally, both, now), BUDGET_ALLOWS); /* fewer than the budget are used */
    add_tokens(tally, both, now, 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(tally, both, now), BUDGET_TOKENS);
    assert_int_equal(take(tally, (struct config_budget){3, 101}, now), BUDGET_ALLOWS);
    assert_int_equal(take(tally, (struct config_budget){3, 101}, now), BUDGET_REQUESTS);
    assert_int_equal(take(tally, both, now + DAY), BUDGET_ALLOWS);
    tally_close(&tally);
}

/* The day is that of a clock that never steps back; who is late is told. */
static void yesterday_is_over(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f);
    int64_t now = store_now(f->store);
    struct config_budget one = {1, 0}, some = {0, 10};
    enum budget_verdict verdict;
    struct err e;

    assert_int_equal(take(tally, one, now), BUDGET_ALLOWS);
    assert_int_equal(take(tally, one, now + DAY), BUDGET_ALLOWS);
    assert_int_equal(budget_take(tally, "k", &one, now, &verdict, &e), TALLY_LATER);
    assert_int_equal(take(tally, some, now + DAY), BUDGET_ALLOWS);
    assert_int_equal(budget_take(tally, "k", &some, now, &verdict, &e), TALLY_LATER);
    tally_close(&tally);
}

/* Taking a budget away and giving it back in one day gives nothing away. */
static void a_budget_that_comes_back_knows_what_was_used_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f);
    int64_t now = store_now(f->store);
    struct config_budget three = {3, 50}, none = {0, 0};

    assert_int_equal(take(tally, three, now), BUDGET_ALLOWS);
    add_tokens(tally, three, now, 10);
    assert_int_equal(take(tally, none, now), BUDGET_ALLOWS);
    add_tokens(tally, none, now, 10);
    assert_int_equal(take(tally, three, now), BUDGET_ALLOWS);
    assert_int_equal(take(tally, three, now), BUDGET_REQUESTS);
    budget_give_back(tally, "k", now);
    assert_int_equal(take(tally, three, now), BUDGET_ALLOWS);
    add_tokens(tally, three, now, 30);
    assert_int_equal(take(tally, (struct config_budget){0, 50}, now), BUDGET_TOKENS);
    tally_close(&tally);
}

static struct override grant(const struct fixture *f, const char *id, int64_t max_uses)
{
    struct override o = {.pattern = (char *)"labs/*", .max_uses = max_uses, .uses = -1};

    snprintf(o.id, sizeof o.id, "%s", id);
    o.created_at = store_now(f->store);
    o.expires_at = o.created_at + 60000;
    return o;
}

static void a_grant_is_passed_over_once_it_is_spent(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f);
    struct override items[2] = {grant(f, "ovr_limited", 2), grant(f, "ovr_free", 0)};
    struct override_list list = {.count = 1, .items = items};
    struct config_security security = {0};
    struct config_key key = {.id = "k"};
    struct decision d;
    bool taken;
    struct err e;

    assert_int_equal(budget_watch(tally, &list, &e), 0);
    assert_int_equal(budget_uses(tally, &items[0]), 0);
    assert_int_equal(budget_uses(tally, &items[1]), -1);
    for (int i = 0; i < 3; i++) {
        decide_agent(&security, &key, &list, "labs/a", "labs", items[0].created_at, &d);
        assert_int_equal(d.allowed, i < 2);
        assert_ptr_equal(d.steps[3].used_up, i < 2 ? NULL : &items[0]);
        assert_int_equal(budget_take_use(tally, &items[0], &taken, &e), 0);
        assert_int_equal(taken, i < 2);
    }
    budget_give_back_use(tally, &items[0]);
    decide_agent(&security, &key, &list, "labs/a", "labs", items[0].created_at, &d);
    assert_true(d.allowed);
    assert_int_equal(budget_take_use(tally, &items[0], &taken, &e), 0);
    assert_true(taken);
    list.count = 2; /* another one steps in */
    decide_agent(&security, &key, &list, "labs/a", "labs", items[0].created_at, &d);
    assert_ptr_equal(d.override, &items[1]);
    tally_close(&tally);
}

/* An override that cannot be counted must not be taken for one that has uses left. */
static void watching_may_fail(void **state)
{
    struct fixture *f = *state;
    struct tally *tally;
    struct override items[4] = {grant(f, "ovr_free", 0), grant(f, "ovr_past", 3),
                                grant(f, "ovr_limited", 3), grant(f, "ovr_more", 3)};
    struct override_list list = {.count = 4, .items = items};
    struct store *other;
    struct db *db;
    struct err e;

    items[1].used_up_at = 1;
    store_close(&f->store);
    f->options.gate_wait_ms = 50;
    f->store = fixture_open(f);
    tally = open_tally(f);
    other = fixture_open(f);
    db = store_acquire(other, &e);
    assert_int_equal(store_write_begin(other, db, &e), 0);
    assert_int_equal(budget_watch(tally, &list, &e), AGW_ESTORE);
    store_write_rollback(other, db);
    store_release(other, db);
    store_close(&other);
    assert_int_equal(budget_watch(tally, &list, &e), 0);
    assert_int_equal(budget_uses(tally, &items[1]), -1); /* nobody asks any more */
    assert_int_equal(budget_uses(tally, &items[2]), 0);
    assert_int_equal(budget_uses(tally, &items[3]), 0);
    tally_close(&tally);
}

/* Ids are never used again; if one were, nothing would be granted. */
static void an_earlier_end_of_the_same_grant_has_no_use(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f);
    struct override o = grant(f, "ovr_twice", 3);
    bool taken;
    struct err e;

    o.expires_at += 2 * (int64_t)DAY;
    assert_int_equal(budget_take_use(tally, &o, &taken, &e), 0);
    assert_true(taken);
    o.expires_at -= 2 * (int64_t)DAY;
    assert_int_equal(budget_take_use(tally, &o, &taken, &e), 0);
    assert_false(taken);
    tally_close(&tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        cmocka_unit_test(a_key_inherits_each_number_by_itself),
        TEST(requests_and_tokens_are_two_budgets),
        TEST(yesterday_is_over),
        TEST(a_budget_that_comes_back_knows_what_was_used_meanwhile),
        TEST(a_grant_is_passed_over_once_it_is_spent),
        TEST(watching_may_fail),
        TEST(an_earlier_end_of_the_same_grant_has_no_use),
    };

    return cmocka_run_group_tests_name("policy/budget", tests, NULL, NULL);
}

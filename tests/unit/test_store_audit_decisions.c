/* SPDX-License-Identifier: MIT */
/* The walk over decisions meets each that was asked for once, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"
#include "store/audit_decisions.h"
#include "store_fixture.h"

struct walk {
    struct fixture *f;
    struct db *db;
    struct audit_period period;
    int rows, stop_after;
    int64_t seqs, last_ts;
    int status;
    struct err e;
};

static void add(struct store *store, const char *kind, const char *key, const char *agent,
                int64_t ts)
{
    struct audit_row row = fixture_row(kind, key, agent);

    row.ts = ts;
    row.decision = strcmp(kind, "end") == 0 ? NULL : "allow";
    row.source = "api_key";
    row.pattern = "*";
    row.place = "security.yaml:7";
    row.detail = ts == 100 ? "{}" : NULL;
    fixture_append(store, &row, 1);
}

static int setup(void **state)
{
    struct walk *w = calloc(1, sizeof *w);

    assert_int_equal(fixture_setup((void **)&w->f), 0);
    add(w->f->store, "decision", "a", "x/1", 100); /* seq 1 */
    add(w->f->store, "refusal", "b", "x/1", 300);  /* 2: time and seq need not agree */
    add(w->f->store, "decision", "a", "x/2", 200); /* 3 */
    add(w->f->store, "preview", "a", "x/2", 200);
    add(w->f->store, "end", "a", "x/2", 200);
    add(w->f->store, "decision", NULL, "x/2", 200);
    add(w->f->store, "refusal", "a", NULL, 200);
    add(w->f->store, "decision", "a", "x/1", 400); /* 8 */
    w->db = store_acquire(w->f->store, &w->e);
    w->stop_after = 100;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct walk *w = *state;

    store_release(w->f->store, w->db);
    fixture_teardown((void **)&w->f);
    free(w);
    return 0;
}

static int on_row(void *arg, const struct audit_decision *row)
{
    struct walk *w = arg;

    assert_string_equal(row->decision, "allow");
    assert_string_equal(row->place, "security.yaml:7");
    if (row->seq == 1)
        assert_string_equal(row->detail, "{}");
    else
        assert_null(row->detail);
    w->rows++;
    w->seqs += row->seq;
    w->last_ts = row->ts;
    return w->rows == w->stop_after ? AGW_ENOMEM : 0;
}

static void run(void *arg)
{
    struct walk *w = arg;

    w->rows = 0;
    w->seqs = 0;
    w->status = audit_decisions_each(w->db, &w->period, on_row, w, &w->e);
}

static void each_that_was_asked_for(void **state)
{
    static const struct {
        struct audit_period period;
        int rows;
        int64_t seqs;
    } cases[] = {
        {{0, 0, NULL, NULL}, 4, 14},   {{200, 0, NULL, NULL}, 3, 13},
        {{0, 300, NULL, NULL}, 2, 4},  {{200, 400, NULL, NULL}, 2, 5},
        {{500, 0, NULL, NULL}, 0, 0},  {{0, 0, "a", NULL}, 3, 12},
        {{0, 0, "a", "x/1"}, 2, 9},    {{0, 0, NULL, "x/1"}, 3, 11},
        {{150, 0, "a", NULL}, 2, 11},  {{0, 400, NULL, "x/1"}, 2, 3},
        {{0, 0, "nobody", NULL}, 0, 0}};
    struct walk *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        w->period = cases[i].period;
        run(w);
        if (w->status != 0 || w->rows != cases[i].rows || w->seqs != cases[i].seqs)
            fail_msg("case %zu: %d, %d rows, %lld", i, w->status, w->rows, (long long)w->seqs);
    }
}

static void the_callback_may_end_it(void **state)
{
    struct walk *w = *state;

    w->stop_after = 2;
    run(w);
    assert_int_equal(w->status, AGW_ENOMEM);
    assert_int_equal(w->rows, 2);
    w->stop_after = 100;
    run(w);
    assert_int_equal(w->rows, 4);
}

static void the_span_of_an_empty_trail(void **state)
{
    struct walk *w = *state;
    struct audit_period never = {.since = 1000};
    int64_t first, last;

    assert_int_equal(audit_decisions_span(w->db, &never, &first, &last, &w->e), 0);
    assert_true(last < first);
    assert_int_equal(audit_decisions_span(w->db, &w->period, &first, &last, &w->e), 0);
    assert_int_equal(first, 1);
    assert_int_equal(last, 8);
}

/* Whatever fails, the walk says so: half a walk must not look like a whole one. */
static void check(void *arg)
{
    struct walk *w = arg;

    assert_true(w->status <= 0);
    if (w->status == 0)
        assert_int_equal(w->rows, w->period.key_id == NULL ? 4 : 3);
    store_release(w->f->store, w->db); /* the next run prepares its statements anew */
    store_close(&w->f->store);
    w->f->store = fixture_open(w->f);
    w->db = store_acquire(w->f->store, &w->e);
}

static void any_failure_is_reported(void **state)
{
    struct walk *w = *state;

    assert_true(inject_each(INJECT_SQLITE, run, check, w) > 5);
    w->period.key_id = "a";
    assert_true(inject_each(INJECT_SQLITE, run, check, w) > 3);
}

static void a_text_that_cannot_be_had_is_no_null(void **state)
{
    struct walk *w = *state;

    const int columns[] = {0, 1, 3}; /* key, agent, decision */

    for (int i = 0; i < 3; i++) {
        inject_start(INJECT_COLUMN, columns[i], false);
        run(w);
        inject_stop();
        assert_int_equal(w->status, AGW_ENOMEM);
        assert_int_equal(w->rows, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(each_that_was_asked_for),
        TEST(the_callback_may_end_it),
        TEST(the_span_of_an_empty_trail),
        TEST(any_failure_is_reported),
        TEST(a_text_that_cannot_be_had_is_no_null),
    };

    return cmocka_run_group_tests_name("store/audit_decisions", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* T38: whoever edits, deletes, swaps, inserts or cuts off rows is found, and the first row that
 * does not hold is named, in AGW_TAMPER_CASES (1,000) random cases of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/audit_chain.h"
#include "store/audit_verify.h"
#include "store/db.h"
#include "store_fixture.h"

enum { ROWS = 60, CASES = 1000, SQL_SIZE = 2048 };

struct scene {
    struct fixture *f;
    struct db *db;
    struct audit_head heads[ROWS + 1]; /* by seq, as somebody may have exported them */
    unsigned seed;
};

static int64_t dice(struct scene *s, int64_t from, int64_t to)
{
    return from + rand_r(&s->seed) % (to - from + 1);
}

/* Rows of every shape, some of them alike but for what the chain adds. */
static void fill(struct scene *s)
{
    static const char *const kinds[] = {"decision", "end", "access", "override.created"};

    for (int i = 0; i < ROWS; i++) {
        struct audit_row row = fixture_row(kinds[i % 4], i % 3 ? "dev" : NULL, "default/a");

        row.reason = i % 5 ? NULL : "r\xff";
        row.status = i % 7 ? 200 : -1;
        row.outcome = i % 4 == 1 ? "completed" : NULL;
        row.detail = i % 6 ? NULL : "{}";
        row.pattern = i % 2 ? "" : "*";
        row.duration_ms = i % 4 == 1 ? i : -1;
        fixture_append(s->f->store, &row, 1);
    }
}

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    struct err e;

    if (s == NULL || fixture_setup((void **)&s->f) != 0)
        return -1;
    s->seed = 38;
    fill(s);
    s->db = store_acquire(s->f->store, &e);
    if (s->db == NULL ||
        db_exec(s->db, "DROP TRIGGER audit_event_no_update; DROP TRIGGER audit_event_no_delete",
                &e) != 0)
        return -1;
    for (int64_t seq = 1; seq <= ROWS; seq++) {
        const struct audit_check check = {.to_seq = seq};
        struct audit_verdict verdict;

        if (audit_verify(s->db, &check, &verdict, &e) != 0 || verdict.broken)
            return -1;
        s->heads[seq] = verdict.head;
    }
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    store_release(s->f->store, s->db);
    fixture_teardown((void **)&s->f);
    free(s);
    return 0;
}

/* What somebody did, and what must be said about it. */
struct deed {
    char sql[SQL_SIZE];
    int64_t bad_seq;
    struct audit_head known; /* seq 0 = none */
    bool from_known;
};

static void run_case(struct scene *s, const struct deed *d, int number)
{
    const struct audit_check check = {.known = d->known.seq == 0 ? NULL : &d->known,
                                      .from_known = d->from_known};
    struct audit_verdict v;
    struct err e;

    if (db_exec(s->db, "BEGIN", &e) != 0 || db_exec(s->db, d->sql, &e) != 0 ||
        audit_verify(s->db, &check, &v, &e) != 0)
        fail_msg("case %d: %s: %s", number, d->sql, e.message);
    if (!v.broken || v.bad_seq != d->bad_seq || v.problem[0] == '\0')
        fail_msg("case %d: %s: found %lld (%s), not %lld", number, d->sql,
                 (long long)v.bad_seq, v.problem, (long long)d->bad_seq);
    assert_true(db_roll_back(s->db));
}

static void run_cases(struct scene *s, void (*make)(struct scene *s, struct deed *d))
{
    const char *wanted = getenv("AGW_TAMPER_CASES");
    long cases = wanted == NULL ? CASES : strtol(wanted, NULL, 10);

    assert_true(cases > 0);
    for (int i = 0; i < (int)cases; i++) {
        struct deed d = {.known = {0}};

        make(s, &d);
        run_case(s, &d, i);
    }
}

#define NAME(column, member) #column,
static const char *const columns[] = {AUDIT_COLUMNS(NAME, NAME) "prev_hash", "hash"};
#undef NAME

/* What stands around a column's name to make another value of it: another text, an empty one or
 * none, a NULL no more. The first two are for columns that must not be NULL. */
static const struct change {
    const char *before, *after;
} texts[] = {{"coalesce(", ", '') || 'x'"}, {"'x' || coalesce(", ", 'y')"},
             {"iif(", " IS NULL, '', NULL)"}},
  numbers[] = {{"coalesce(", ", 0) + 1"}, {"-coalesce(", ", 5) - 1"},
               {"iif(", " IS NULL, 0, NULL)"}};

static bool is_one_of(const char *name, const char *list)
{
    size_t length = strlen(name);

    for (const char *at = list; (at = strstr(at, name)) != NULL; at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static void make_edit(struct scene *s, struct deed *d)
{
    const char *name = columns[dice(s, 0, (int64_t)(sizeof columns / sizeof columns[0]) - 1)];
    bool number = is_one_of(name, "ts generation status streaming prompt_tokens"
                                  " completion_tokens duration_ms");
    bool required = is_one_of(name, "ts kind prev_hash hash");
    const struct change *change = (number ? numbers : texts) + dice(s, 0, required ? 1 : 2);

    d->bad_seq = dice(s, 1, ROWS);
    snprintf(d->sql, sizeof d->sql, "UPDATE audit_event SET %s = %s%s%s WHERE seq = %lld", name,
             change->before, name, change->after, (long long)d->bad_seq);
}

/* From one row to all but the last. */
static void make_delete(struct scene *s, struct deed *d)
{
    int64_t first = dice(s, 1, ROWS - 1);
    int64_t last = dice(s, 0, 1) ? first : dice(s, first, ROWS - 1);

    snprintf(d->sql, sizeof d->sql, "DELETE FROM audit_event WHERE seq BETWEEN %lld AND %lld",
             (long long)first, (long long)last);
    d->bad_seq = last + 1;
}

/* Two rows change their places, with their hashes or all but those. */
static void make_swap(struct scene *s, struct deed *d)
{
    int64_t first = dice(s, 1, ROWS - 1), second = dice(s, first + 1, ROWS);

    if (dice(s, 0, 1) == 0)
        snprintf(d->sql, sizeof d->sql,
                 "UPDATE audit_event SET seq = 1000 WHERE seq = %1$lld;"
                 "UPDATE audit_event SET seq = %1$lld WHERE seq = %2$lld;"
                 "UPDATE audit_event SET seq = %2$lld WHERE seq = 1000",
                 (long long)first, (long long)second);
    else
        snprintf(d->sql, sizeof d->sql,
                 "UPDATE audit_event SET (prev_hash, hash) ="
                 " (SELECT prev_hash, hash FROM audit_event WHERE seq = %lld)"
                 " WHERE seq = %lld", (long long)second, (long long)first);
    d->bad_seq = first;
}

/* A copy of another row goes in somewhere, linked to the row before or not; the rest makes
 * room. */
static void make_insert(struct scene *s, struct deed *d)
{
    int64_t at = dice(s, 1, ROWS + 1), source;
    int used;

    do
        source = dice(s, 1, ROWS);
    while (source == at);
    used = snprintf(
        d->sql, sizeof d->sql,
        "UPDATE audit_event SET seq = seq + 1000 WHERE seq >= %1$lld;"
        "UPDATE audit_event SET seq = seq - 999 WHERE seq >= 1000 + %1$lld;"
        "INSERT INTO audit_event SELECT %1$lld" AUDIT_COLUMN_LIST ", iif(%2$lld,"
        " coalesce((SELECT hash FROM audit_event WHERE seq = %1$lld - 1), prev_hash), prev_hash),"
        " hash FROM audit_event WHERE seq = %3$lld", (long long)at, (long long)dice(s, 0, 1),
        (long long)(source > at ? source + 1 : source));
    assert_true(used > 0 && used < SQL_SIZE);
    d->bad_seq = at;
}

/* The newest rows go; the verification starts at the oldest row or at the exported head, which
 * is of any row that went. */
static void make_truncate(struct scene *s, struct deed *d)
{
    int64_t last = dice(s, 0, ROWS - 1);

    snprintf(d->sql, sizeof d->sql, "DELETE FROM audit_event WHERE seq > %lld",
             (long long)last);
    d->known = s->heads[dice(s, last + 1, ROWS)];
    d->from_known = dice(s, 0, 1) != 0;
    d->bad_seq = last + 1;
}

static void T38_edited_rows_are_named(void **state)
{
    run_cases(*state, make_edit);
}

static void T38_deleted_rows_are_named(void **state)
{
    run_cases(*state, make_delete);
}

static void T38_swapped_rows_are_named(void **state)
{
    run_cases(*state, make_swap);
}

static void T38_inserted_rows_are_named(void **state)
{
    run_cases(*state, make_insert);
}

static void T38_a_trail_cut_short_is_named(void **state)
{
    run_cases(*state, make_truncate);
}

/* Rewrites the chain from `seq` on, as whoever knows its rule can. */
static void forge(struct scene *s, int64_t seq)
{
    struct audit_row row = fixture_row("end", "mallory", "default/a");
    struct err e;
    char sql[128];

    snprintf(sql, sizeof sql, "DELETE FROM audit_event WHERE seq >= %lld", (long long)seq);
    assert_int_equal(db_exec(s->db, sql, &e), 0);
    for (; seq <= ROWS; seq++)
        assert_int_equal(audit_rows_append(s->f->store, s->db, &row, 1, NULL, &e), 0);
}

static void a_rewritten_chain_is_found_by_an_exported_head(void **state)
{
    struct scene *s = *state;

    for (int i = 0; i < 200; i++) {
        int64_t from = dice(s, 1, ROWS);
        const struct audit_head known = s->heads[dice(s, from, ROWS)];
        struct audit_check check = {.known = NULL};
        struct audit_verdict v;
        struct err e;

        assert_int_equal(db_exec(s->db, "BEGIN", &e), 0);
        forge(s, from);
        assert_int_equal(audit_verify(s->db, &check, &v, &e), 0);
        assert_false(v.broken); /* from inside it looks whole */
        check.known = &known;
        for (int turn = 0; turn < 2; turn++) {
            check.from_known = turn != 0;
            assert_int_equal(audit_verify(s->db, &check, &v, &e), 0);
            assert_int_equal(v.known, AUDIT_KNOWN_CHANGED);
            assert_int_equal(v.bad_seq, known.seq);
        }
        assert_true(db_roll_back(s->db));
    }
}

/* One row that fits its own hash, in place of another: the next one's link tells. */
static void T38_a_row_made_anew_is_named_by_the_next(void **state)
{
    struct scene *s = *state;

    for (int i = 0; i < 50; i++) {
        int64_t seq = dice(s, 1, ROWS - 1);
        struct audit_verdict v;
        struct err e;
        char sql[256];

        assert_int_equal(db_exec(s->db, "BEGIN", &e), 0);
        snprintf(sql, sizeof sql, "CREATE TEMP TABLE kept AS SELECT * FROM audit_event"
                                  " WHERE seq > %lld", (long long)seq);
        assert_int_equal(db_exec(s->db, sql, &e), 0);
        forge(s, seq);
        snprintf(sql, sizeof sql, "DELETE FROM audit_event WHERE seq > %lld;"
                                  "INSERT INTO audit_event SELECT * FROM kept", (long long)seq);
        assert_int_equal(db_exec(s->db, sql, &e), 0);
        assert_int_equal(audit_verify(s->db, NULL, &v, &e), 0);
        assert_true(v.broken);
        assert_int_equal(v.bad_seq, seq + 1);
        assert_true(db_roll_back(s->db));
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(T38_edited_rows_are_named),
        CASE(T38_a_row_made_anew_is_named_by_the_next),
        CASE(T38_deleted_rows_are_named),
        CASE(T38_swapped_rows_are_named),
        CASE(T38_inserted_rows_are_named),
        CASE(T38_a_trail_cut_short_is_named),
        CASE(a_rewritten_chain_is_found_by_an_exported_head),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

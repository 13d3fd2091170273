/* SPDX-License-Identifier: MIT */
/* The audit chain: it holds when nobody meddles, and names the row where somebody did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/audit_chain.h"
#include "store/audit_verify.h"
#include "store_fixture.h"
#include "util/clock.h"
#include "util/sha.h"

static struct audit_verdict verify_from(struct store *store, int64_t from)
{
    const struct audit_check check = {.from_seq = from};
    struct audit_verdict verdict;
    struct err e;
    struct db *db = store_acquire(store, &e);

    assert_non_null(db);
    if (audit_verify(db, &check, &verdict, &e) != 0)
        fail_msg("%s", e.message);
    store_release(store, db);
    return verdict;
}

/* Rows of every shape: NULLs, numbers, bytes that are not UTF-8, an empty text. */
static void fill(struct store *store, int rows)
{
    for (int i = 0; i < rows; i++) {
        struct audit_row row = fixture_row("decision", i % 2 ? "dev" : NULL, "default/a");
        char reason[32];

        snprintf(reason, sizeof reason, "row %d\xff", i);
        row.reason = i % 3 ? reason : "";
        row.status = i % 4 ? 200 : -1;
        row.detail = i % 5 ? NULL : "{\"a\":1}";
        fixture_append(store, &row, 1);
    }
}

static void an_untouched_chain_holds(void **state)
{
    struct fixture *f = *state;
    struct audit_verdict v = verify_from(f->store, 0);

    assert_int_equal(v.checked, 0);
    assert_int_equal(v.bad_seq, 0);
    assert_int_equal(v.head.seq, 0);
    fill(f->store, 50);
    v = verify_from(f->store, 0);
    assert_int_equal(v.checked, 50);
    assert_int_equal(v.bad_seq, 0);
    assert_int_equal(v.head.seq, 50);
    v = verify_from(f->store, 31);
    assert_int_equal(v.checked, 20);
    assert_int_equal(v.bad_seq, 0);
}

/* The first row's hash, spelled out by hand from the header's rule. */
static void the_hash_is_the_documented_one(void **state)
{
    struct fixture *f = *state;
    struct audit_row row = fixture_row("decision", "dev", NULL);
    char text[1024], hash[SHA_HEX_SIZE];
    struct err e;
    struct db *db;
    struct audit_head head;

    row.ts = 1764097277123;
    row.reason = "";
    fixture_append(f->store, &row, 1);
    snprintf(text, sizeof text,
             "%s1:1,13:1764097277123,8:decision,-,-,8:test:1:1,-,3:dev,-,-,-,-,-,-,-,1:1,-,-,-,"
             "-,-,-,-,-,0:,-,64:%s,",
             AUDIT_CHAIN_START, AUDIT_CHAIN_START);
    sha_256_hex(text, strlen(text), hash);
    db = store_acquire(f->store, &e);
    assert_int_equal(audit_rows_head(db, &head, &e), 0);
    store_release(f->store, db);
    assert_string_equal(head.hash, hash);
}

#define MEDDLE "DROP TRIGGER audit_event_no_update; DROP TRIGGER audit_event_no_delete;"

static void T38_meddling_is_found(void **state)
{
    static const struct {
        const char *sql;
        int bad_seq;
    } cases[] = {
        {"UPDATE audit_event SET outcome = 'completed' WHERE seq = 7", 7},
        {"UPDATE audit_event SET ts = ts + 1 WHERE seq = 1", 1},
        {"UPDATE audit_event SET detail = '' WHERE seq = 7", 7},
        {"UPDATE audit_event SET detail = NULL WHERE seq = 6", 6},
        {"UPDATE audit_event SET hash = prev_hash WHERE seq = 20", 20},
        {"DELETE FROM audit_event WHERE seq = 9", 10},
        {"DELETE FROM audit_event WHERE seq = 1", 2},
        {"UPDATE audit_event SET seq = -5 WHERE seq = 5;"
         "UPDATE audit_event SET seq = 5 WHERE seq = 6;"
         "UPDATE audit_event SET seq = 6 WHERE seq = -5", 5},
        {"UPDATE audit_event SET seq = seq + 1000 WHERE seq > 10;"
         "UPDATE audit_event SET seq = seq - 999 WHERE seq > 10;"
         "INSERT INTO audit_event SELECT 11, ts, kind, request_id, request_uid, process, route,"
         " key_id, agent, namespace, decision, source, pattern, place, override_id, generation,"
         " outcome, status, streaming, prompt_tokens, completion_tokens, duration_ms, upstream,"
         " model, reason, detail, prev_hash, hash FROM audit_event WHERE seq = 10", 11},
        {"UPDATE audit_event SET key_id = 'd', agent = 'evdefault/a' WHERE seq = 8", 8},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture *f;
        struct audit_verdict v;
        char sql[2048];

        (void)state;
        assert_int_equal(fixture_setup((void **)&f), 0);
        fill(f->store, 20);
        snprintf(sql, sizeof sql, MEDDLE "%s", cases[i].sql);
        fixture_sql(f, sql);
        v = verify_from(f->store, 0);
        if (v.bad_seq != cases[i].bad_seq)
            fail_msg("%s: found %lld (%s)", cases[i].sql, (long long)v.bad_seq, v.problem);
        fixture_teardown((void **)&f);
    }
}

static void accidents_are_refused(void **state)
{
    struct fixture *f = *state;
    sqlite3 *handle;

    fill(f->store, 3);
    assert_int_equal(sqlite3_open(f->database, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, "DELETE FROM audit_event", NULL, NULL, NULL),
                     SQLITE_CONSTRAINT);
    assert_int_equal(sqlite3_exec(handle, "UPDATE audit_event SET agent = ''", NULL, NULL,
                                  NULL), SQLITE_CONSTRAINT);
    sqlite3_close(handle);
    assert_int_equal(verify_from(f->store, 0).checked, 3);
}

enum { PROCESSES = 4, THREADS = 3, ROUNDS = 25, ROWS = 4 };

static void *append_many(void *arg)
{
    struct audit_row rows[ROWS];

    for (int i = 0; i < ROWS; i++)
        rows[i] = fixture_row("end", "dev", "default/a");
    for (int i = 0; i < ROUNDS; i++)
        fixture_append(arg, rows, ROWS);
    return NULL;
}

static void append_in_threads(void *arg)
{
    struct store *store = fixture_open(arg);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, store), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    store_close(&store);
}

static void processes_and_threads_make_one_chain(void **state)
{
    struct fixture *f = *state;
    struct audit_verdict v;
    int pids[PROCESSES];

    for (int i = 0; i < PROCESSES; i++)
        pids[i] = fixture_fork(append_in_threads, f);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    v = verify_from(f->store, 0);
    assert_int_equal(v.bad_seq, 0);
    assert_int_equal(v.checked, PROCESSES * THREADS * ROUNDS * ROWS);
}

static void append_forever(void *arg)
{
    struct store *store = fixture_open(arg);

    for (;;)
        append_many(store);
}

static void a_killed_writer_leaves_a_whole_chain(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 7;

    for (int i = 0; i < 20; i++) {
        int64_t before = verify_from(f->store, 0).checked;
        int pid = fixture_fork(append_forever, f);

        /* A slow machine may need long until it writes at all. */
        for (int waits = 0; waits < 3000 && verify_from(f->store, 0).checked == before; waits++)
            usleep(10000);
        usleep((useconds_t)(rand_r(&seed) % 20000));
        kill(pid, SIGKILL);
        assert_int_equal(fixture_wait(pid), 128 + SIGKILL);
        assert_int_equal(verify_from(f->store, 0).bad_seq, 0);
    }
    assert_true(verify_from(f->store, 0).checked > 0);
    fill(f->store, 1);
    assert_int_equal(verify_from(f->store, 0).bad_seq, 0);
}

static json_t *query(struct store *store, struct audit_query q)
{
    struct err e;
    struct db *db = store_acquire(store, &e);
    json_t *rows;

    if (audit_rows_query(db, &q, &rows, &e) != 0)
        fail_msg("%s", e.message);
    store_release(store, db);
    return rows;
}

static json_int_t seq_at(const json_t *rows, size_t i)
{
    return json_integer_value(json_object_get(json_array_get(rows, i), "seq"));
}

static void queries_filter_and_page(void **state)
{
    struct fixture *f = *state;
    struct audit_row rows[30];
    char ids[30][8];

    for (int i = 0; i < 30; i++) {
        rows[i] = fixture_row(i % 3 == 0 ? "override.created" : "decision",
                              i % 2 ? "odd" : "even", "default/a");
        snprintf(ids[i], sizeof ids[i], "r%d", i);
        rows[i].request_id = ids[i];
        rows[i].ts = 1000 + i / 2;
        rows[i].decision = i % 5 ? "allow" : "deny";
        rows[i].outcome = i == 7 ? "timeout" : i == 8 ? "completed" : NULL;
    }
    fixture_append(f->store, rows, 30);
    const struct {
        struct audit_query q;
        size_t count;
        json_int_t first;
    } cases[] = {
        {{.limit = 1000}, 30, 30},
        {{.limit = 4}, 4, 30},
        {{.limit = 4, .before_seq = 27}, 4, 26},
        {{.limit = 1000, .key_id = "odd"}, 15, 30},
        {{.limit = 1000, .kind = "override.created"}, 10, 28},
        {{.limit = 1000, .kind = "decision", .key_id = "odd"}, 10, 30},
        {{.limit = 1000, .decision = "deny"}, 6, 26},
        {{.limit = 1000, .outcome = "timeout"}, 1, 8},
        {{.limit = 1000, .outcome = "completed"}, 1, 9},
        {{.limit = 1000, .request_id = "r3"}, 1, 4},
        {{.limit = 1000, .agent = "x' OR '1'='1"}, 0, 0},
        {{.limit = 1000, .since = 1003, .until = 1005}, 4, 10},
        {{.limit = 1000, .agent = "default/a", .since = 1014}, 2, 30},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *got = query(f->store, cases[i].q);

        if (json_array_size(got) != cases[i].count || seq_at(got, 0) != cases[i].first)
            fail_msg("query %zu: %zu rows, first %lld", i, json_array_size(got),
                     (long long)seq_at(got, 0));
        json_decref(got);
    }
    json_t *one = query(f->store, (struct audit_query){.limit = 1});
    assert_string_equal(json_string_value(json_object_get(json_array_get(one, 0), "ts")),
                        "1970-01-01T00:00:01.014Z");
    json_decref(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(an_untouched_chain_holds),
        TEST(the_hash_is_the_documented_one),
        cmocka_unit_test(T38_meddling_is_found),
        TEST(accidents_are_refused),
        TEST(processes_and_threads_make_one_chain),
        TEST(a_killed_writer_leaves_a_whole_chain),
        TEST(queries_filter_and_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

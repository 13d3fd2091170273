/* SPDX-License-Identifier: MIT */
/* Audit before answer: nothing is answered before its row is on disk, nothing recorded is
 * lost, and a broken disk is survived. */
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
#include <sys/resource.h>
#include <unistd.h>

#include "policy/audit.h"
#include "store/audit_verify.h"
#include "store_fixture.h"
#include "util/clock.h"

static struct audit *start(struct store *store, int queue_max, int64_t wait_ms)
{
    const struct audit_options options = {
        .queue_max = queue_max, .linger_ms = 2, .wait_ms = wait_ms};
    struct audit *audit;
    struct err e;

    if (audit_start(store, &options, &audit, &e) != 0)
        fail_msg("%s", e.message);
    return audit;
}

static struct audit_row decision(void)
{
    struct audit_row row = fixture_row("decision", "dev", "default/a");

    row.ts = 0;
    row.process = NULL;
    row.request_id = "client-chose-this";
    row.route = "POST /v1/chat/completions";
    row.ns = "default";
    row.decision = "allow";
    row.source = "api_key";
    return row;
}

static struct audit_row end(const char *outcome)
{
    struct audit_row row = fixture_row(NULL, NULL, NULL);

    row.ts = 0;
    row.process = NULL;
    row.outcome = outcome;
    row.status = 200;
    row.duration_ms = 12;
    return row;
}

static struct audit_ticket *record(struct audit *audit)
{
    struct audit_row row = decision();
    struct audit_ticket *ticket;
    struct err e;

    if (audit_record(audit, &row, &ticket, &e) != 0)
        fail_msg("%s", e.message);
    return ticket;
}

static void finish(struct audit *audit, struct audit_ticket **ticket, const char *outcome)
{
    struct audit_row row = end(outcome);

    audit_finish(audit, ticket, &row);
    assert_null(*ticket);
}

/* Polls: the number is to come by itself. */
static void await_number(const struct fixture *f, const char *sql, long long wanted)
{
    int64_t until = clock_mono_ms() + 10000;

    while (fixture_number(f, sql) != wanted) {
        if (clock_mono_ms() > until)
            fail_msg("%s: is %lld", sql, fixture_number(f, sql));
        usleep(5000);
    }
}

static void verify(const struct fixture *f)
{
    struct audit_verdict verdict;
    struct err e;
    struct db *db = store_acquire(f->store, &e);

    assert_int_equal(audit_verify(db, NULL, &verdict, &e), 0);
    store_release(f->store, db);
    if (verdict.bad_seq != 0)
        fail_msg("%lld: %s", (long long)verdict.bad_seq, verdict.problem);
}

static void a_request_leaves_two_rows(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 100, 5000);
    struct audit_ticket *ticket = record(audit);
    struct err e;

    assert_int_equal(audit_wait(ticket, &e), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 1);
    assert_int_equal(audit_wait(ticket, &e), 0);
    finish(audit, &ticket, "completed");
    await_number(f, "SELECT count(*) FROM audit_event", 2);
    assert_int_equal(
        fixture_number(f, "SELECT count(*) FROM audit_event AS d JOIN audit_event AS e"
                          " USING (request_id, request_uid, process, route, key_id, agent,"
                          " namespace, generation) WHERE d.kind = 'decision' AND d.outcome IS"
                          " NULL AND e.kind = 'end' AND e.outcome = 'completed' AND e.decision"
                          " IS NULL AND abs(e.ts - unixepoch() * 1000) < 60000"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM requests WHERE outcome ="
                                       " 'completed' AND duration_ms = 12"), 1);
    assert_true(audit_healthy(audit));
    audit_stop(&audit);
    assert_null(audit);
    verify(f);
}

static void T40_an_end_can_be_waited_for(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 100, 200);
    struct audit_ticket *ticket = record(audit), *late = record(audit);
    struct audit_row row = end("completed");
    struct err e;
    int gate;

    assert_int_equal(audit_wait(late, &e), 0);
    assert_int_equal(audit_finish_wait(audit, &ticket, &row, &e), 0);
    assert_null(ticket);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind = 'end'"),
                     1);
    gate = fixture_hold_gate(f);
    assert_int_equal(audit_finish_wait(audit, &late, &row, &e), AGW_EAUDIT);
    assert_null(late);
    close(gate);
    await_number(f, "SELECT count(*) FROM audit_event WHERE kind = 'end'", 2);
    audit_stop(&audit);
    verify(f);
}

static void a_refusal_is_one_row(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 100, 5000);
    struct audit_row row = decision();
    struct audit_ticket *ticket;
    struct err e;

    row.kind = "refusal";
    row.decision = "deny";
    row.outcome = "denied";
    assert_int_equal(audit_close(audit, &row, &ticket, &e), 0);
    assert_int_equal(audit_wait(ticket, &e), 0);
    audit_release(&ticket);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM denials"), 1);
    assert_int_equal(audit_close(audit, &row, NULL, &e), 0);
    audit_stop(&audit);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM denials"), 2);
}

/* Where a later start looks for open requests is said before the first of them can be lost. */
static void the_first_open_request_is_noted(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 100, 5000);
    struct audit_row row = decision();
    struct audit_ticket *ticket;
    struct err e;

    row.outcome = "denied";
    assert_int_equal(audit_close(audit, &row, &ticket, &e), 0);
    assert_int_equal(audit_wait(ticket, &e), 0);
    audit_release(&ticket);
    assert_int_equal(fixture_number(f, "SELECT oldest_open_seq FROM process"), 0);
    ticket = record(audit);
    assert_int_equal(audit_wait(ticket, &e), 0);
    assert_int_equal(fixture_number(f, "SELECT oldest_open_seq FROM process"), 2);
    finish(audit, &ticket, "completed");
    audit_stop(&audit);
}

/* A row that nobody waits for is committed with the end that comes after it, not before. */
static void company_saves_commits(void **state)
{
    struct audit_options options = {.queue_max = 100, .linger_ms = 60000, .wait_ms = 5000};
    struct fixture *f = *state;
    struct audit_row row = decision(), completed = end("completed");
    struct audit_ticket *ticket;
    struct audit *audit;
    struct err e;

    assert_int_equal(audit_start(f->store, &options, &audit, &e), 0);
    ticket = record(audit);
    assert_int_equal(audit_wait(ticket, &e), 0);
    row.kind = "model";
    assert_int_equal(audit_close(audit, &row, NULL, &e), 0);
    usleep(50000); /* enough for a commit, if there were one */
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 1);
    assert_int_equal(audit_finish_wait(audit, &ticket, &completed, &e), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 3);
    assert_int_equal(fixture_number(f, "SELECT seq FROM audit_event WHERE kind = 'model'"), 2);
    audit_stop(&audit);
}

static void stopping_commits_what_is_queued(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 1000, 5000);
    struct audit_ticket *tickets[100];

    for (int i = 0; i < 100; i++)
        tickets[i] = record(audit);
    for (int i = 0; i < 100; i++)
        finish(audit, &tickets[i], "completed");
    audit_stop(&audit);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 200);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM requests WHERE outcome ="
                                       " 'unfinished'"), 0);
    verify(f);
}

static void hostile_texts_are_kept_within_bounds(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 100, 5000);
    struct audit_row row = decision();
    struct audit_ticket *ticket;
    char *huge = malloc(100001);
    struct err e;

    memset(huge, '\xc3', 100000);
    for (int i = 1; i < 100000; i += 2)
        huge[i] = '\xa9';
    huge[100000] = '\0';
    row.agent = huge + 1; /* begins within a sequence */
    row.reason = huge;
    row.request_id = "'; DROP TABLE audit_event; --";
    assert_int_equal(audit_close(audit, &row, &ticket, &e), 0);
    assert_int_equal(audit_wait(ticket, &e), 0);
    audit_release(&ticket);
    audit_stop(&audit);
    free(huge);
    assert_int_equal(fixture_number(f, "SELECT length(CAST(reason AS BLOB)) FROM audit_event"),
                     4096);
    assert_int_equal(fixture_number(f, "SELECT length(CAST(agent AS BLOB)) FROM audit_event"),
                     4095);
    verify(f);
}

enum { THREADS = 8, ROUNDS = 200 };

static void *serve(void *arg)
{
    struct audit *audit = arg;

    for (int i = 0; i < ROUNDS; i++) {
        struct audit_ticket *ticket = record(audit);
        struct err e;

        if (audit_wait(ticket, &e) != 0)
            abort();
        finish(audit, &ticket, i % 7 ? "completed" : "timeout");
    }
    return NULL;
}

static void serve_in_threads(void *arg)
{
    struct store *store = fixture_open(arg);
    struct audit *audit = start(store, 1000, 20000);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, serve, audit), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    audit_stop(&audit);
    store_close(&store);
}

static void many_processes_and_threads_make_one_trail(void **state)
{
    struct fixture *f = *state;
    int pids[3];

    for (int i = 0; i < 3; i++)
        pids[i] = fixture_fork(serve_in_threads, f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"),
                     3 * THREADS * ROUNDS * 2);
    assert_int_equal(fixture_number(f, "SELECT count(DISTINCT request_uid) FROM audit_event"),
                     3 * THREADS * ROUNDS);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM requests WHERE end_seq > seq"),
                     3 * THREADS * ROUNDS);
    assert_int_equal(fixture_number(f, "SELECT sum(requests) FROM usage_day"),
                     3 * THREADS * ROUNDS);
    verify(f);
}

static void T36_a_waiter_gives_up_and_its_row_is_written_later(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 100, 100);
    struct audit_ticket *ticket;
    int64_t before;
    struct err e;
    int gate = fixture_hold_gate(f);

    ticket = record(audit);
    before = clock_mono_ms();
    assert_int_equal(audit_wait(ticket, &e), AGW_EAUDIT);
    assert_in_range(clock_mono_ms() - before, 90, 1500);
    finish(audit, &ticket, "internal");
    close(gate);
    await_number(f, "SELECT count(*) FROM audit_event", 2);
    audit_stop(&audit);
    verify(f);
}

/* After trouble it is audit_record() that waits. A row that is late may come all the same, and
 * must not stay open for ever. */
static void T36_a_late_record_is_finished_too(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 100, 100);
    struct audit_row row = decision();
    struct audit_ticket *ticket;
    int64_t before;
    struct err e;
    int gate = fixture_hold_gate(f);

    store_trouble_note(f->store);
    assert_int_equal(audit_record(audit, &row, &ticket, &e), AGW_EAUDIT);
    assert_non_null(ticket);
    before = clock_mono_ms();
    assert_int_equal(audit_wait(ticket, &e), AGW_EAUDIT);
    assert_in_range(clock_mono_ms() - before, 0, 80); /* it has waited already */
    finish(audit, &ticket, "internal");
    close(gate);
    await_number(f, "SELECT count(*) FROM requests WHERE outcome = 'internal'", 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM requests"), 1);
    audit_stop(&audit);
    verify(f);
}

static void a_full_queue_refuses_records_but_no_end(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 8, 50);
    struct audit_ticket *open = record(audit), *tickets[20] = {NULL};
    struct audit_row row = decision();
    int gate, accepted = 0, refused = 0;
    struct err e;

    assert_int_equal(audit_wait(open, &e), 0);
    gate = fixture_hold_gate(f);
    for (int i = 0; i < 20; i++) {
        int status = audit_record(audit, &row, &tickets[i], &e);

        assert_true(status == 0 || status == AGW_EAUDIT);
        assert_true((status == 0) == (tickets[i] != NULL));
        accepted += status == 0;
        refused += status != 0;
    }
    assert_in_range(accepted, 8, 18); /* some were taken off the queue before it filled */
    assert_true(refused > 0);
    finish(audit, &open, "completed");
    close(gate);
    for (int i = 0; i < 20; i++)
        if (tickets[i] != NULL)
            finish(audit, &tickets[i], "completed");
    audit_stop(&audit);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind = 'end'"),
                     1 + accepted);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM requests"), 1 + accepted);
    verify(f);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* No file of this process may grow, as on a full disk; then it may again. */
static void fill_the_disk(void *arg)
{
    const struct fixture *f = arg;
    struct store *store = fixture_open(f);
    struct audit *audit = start(store, 100, 5000);
    struct audit_ticket *open = record(audit), *ticket = NULL;
    struct audit_row row = decision();
    struct err e;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(audit_wait(open, &e), 0);
    limit_files(1);
    assert_int_equal(audit_record(audit, &row, &ticket, &e), 0);
    assert_int_equal(audit_wait(ticket, &e), AGW_EAUDIT);
    assert_false(audit_healthy(audit));
    audit_release(&ticket);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(audit_record(audit, &row, &ticket, &e), AGW_EAUDIT);
        assert_null(ticket);
    }
    finish(audit, &open, "completed"); /* cannot be written now, must not be lost */
    usleep(150000);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 1);
    limit_files(RLIM_INFINITY);
    await_number(f, "SELECT count(*) FROM audit_event", 2);
    for (int i = 0; i < 400 && !audit_healthy(audit); i++)
        usleep(5000);
    assert_true(audit_healthy(audit));
    ticket = record(audit);
    assert_int_equal(audit_wait(ticket, &e), 0);
    finish(audit, &ticket, "completed");
    audit_stop(&audit);
    store_close(&store);
}

static void T31_a_full_disk_refuses_and_recovers(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_wait(fixture_fork(fill_the_disk, f)), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 4);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM requests"
                                       " WHERE outcome = 'completed'"), 2);
    verify(f);
}

static void stopping_on_a_dead_disk_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct audit *audit;
    struct audit_ticket *ticket;
    struct store *store;
    int64_t before;
    int gate;

    f->options.gate_wait_ms = 100;
    store = fixture_open(f);
    audit = start(store, 100, 300);
    ticket = record(audit);
    await_number(f, "SELECT count(*) FROM audit_event", 1);
    gate = fixture_hold_gate(f);
    finish(audit, &ticket, "completed");
    before = clock_mono_ms();
    audit_stop(&audit);
    assert_in_range(clock_mono_ms() - before, 200, 3000);
    close(gate);
    store_close(&store);
}

/* Requests: 0 to 2 end, 3 to 5 stay open; then the process is killed. */
static void die_with_open_requests(void *arg)
{
    struct store *store = fixture_open(arg);
    struct audit *audit = start(store, 100, 5000);
    struct audit_ticket *tickets[6];
    struct err e;

    for (int i = 0; i < 6; i++)
        tickets[i] = record(audit);
    for (int i = 0; i < 6; i++)
        assert_int_equal(audit_wait(tickets[i], &e), 0);
    for (int i = 0; i < 3; i++)
        finish(audit, &tickets[i], "completed");
    await_number(arg, "SELECT count(*) FROM audit_event WHERE kind = 'end'", 3);
    kill(getpid(), SIGKILL);
}

static void count_ended(void *arg, const struct audit_row *row)
{
    assert_string_equal(row->outcome, "internal");
    assert_string_equal(row->agent, "default/a");
    ++*(int *)arg;
}

static int close_unfinished(const struct fixture *f, int *ended)
{
    struct err e;
    int count;

    *ended = 0;
    if (audit_rows_close_unfinished(f->store, count_ended, ended, &count, &e) != 0)
        fail_msg("%s", e.message);
    return count;
}

static void T27_open_requests_of_the_dead_are_closed_once(void **state)
{
    struct fixture *f = *state;
    struct audit *audit;
    struct audit_ticket *mine;
    struct err e;
    int ended;

    assert_int_equal(fixture_wait(fixture_fork(die_with_open_requests, f)), 128 + SIGKILL);
    audit = start(f->store, 100, 5000);
    mine = record(audit);
    assert_int_equal(audit_wait(mine, &e), 0); /* open, and its process lives */
    assert_int_equal(close_unfinished(f, &ended), 3);
    assert_int_equal(ended, 3);
    assert_int_equal(close_unfinished(f, &ended), 0);
    assert_int_equal(ended, 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM requests WHERE outcome ="
                                       " 'unfinished'"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM requests WHERE outcome ="
                                       " 'internal'"), 3);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE detail ="
                                       " '{\"unfinished\":true}'"), 3);
    finish(audit, &mine, "completed");
    audit_stop(&audit);
    verify(f);
}

static void the_machine_was_restarted(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = start(f->store, 100, 5000);
    struct audit_ticket *ticket = record(audit);
    struct err e;
    int ended;

    assert_int_equal(audit_wait(ticket, &e), 0);
    assert_int_equal(close_unfinished(f, &ended), 0);
    fixture_sql(f, "UPDATE process SET boot = 'another'");
    assert_int_equal(close_unfinished(f, &ended), 1);
    finish(audit, &ticket, "completed");
    audit_stop(&audit);
}

static void the_head_is_exported(void **state)
{
    struct fixture *f = *state;
    char path[128], sql[256], hash[80], detail[30000];
    struct audit_options options = {.queue_max = 1000, .linger_ms = 1, .wait_ms = 5000,
                                    .head_file = path};
    struct audit_row row = decision();
    struct audit *audit;
    long long seq;
    FILE *file;
    struct err e;

    snprintf(path, sizeof path, "%s/head", f->directory);
    assert_int_equal(audit_start(f->store, &options, &audit, &e), 0);
    memset(detail, 'x', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    row.detail = detail;
    for (int i = 0; i < 400; i++)
        assert_int_equal(audit_close(audit, &row, NULL, &e), 0);
    audit_stop(&audit);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lld %79s", &seq, hash), 2);
    fclose(file);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM audit_event WHERE seq = %lld AND hash = '%s'",
             seq, hash);
    assert_int_equal(fixture_number(f, sql), 1);
}

static void a_process_has_a_name(void **state)
{
    char host[256] = "", expected[320];

    (void)state;
    gethostname(host, sizeof host - 1);
    snprintf(expected, sizeof expected, "%s:%d:", host, (int)getpid());
    assert_memory_equal(audit_process(), expected, strlen(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_request_leaves_two_rows),
        TEST(T40_an_end_can_be_waited_for),
        TEST(a_refusal_is_one_row),
        TEST(the_first_open_request_is_noted),
        TEST(company_saves_commits),
        TEST(stopping_commits_what_is_queued),
        TEST(hostile_texts_are_kept_within_bounds),
        TEST(many_processes_and_threads_make_one_trail),
        TEST(T36_a_waiter_gives_up_and_its_row_is_written_later),
        TEST(T36_a_late_record_is_finished_too),
        TEST(a_full_queue_refuses_records_but_no_end),
        TEST(T31_a_full_disk_refuses_and_recovers),
        TEST(stopping_on_a_dead_disk_is_bounded),
        TEST(T27_open_requests_of_the_dead_are_closed_once),
        TEST(the_machine_was_restarted),
        TEST(the_head_is_exported),
        cmocka_unit_test(a_process_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

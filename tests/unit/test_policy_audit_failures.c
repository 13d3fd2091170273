/* SPDX-License-Identifier: MIT */
/* T32: whatever fails in or beneath the audit trail, nobody is told "committed" about a row
 * that is not, and nothing that was recorded is lost while the process lives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "policy/audit.h"
#include "store/audit_verify.h"
#include "store/db.h"
#include "store_fixture.h"
#include "util/clock.h"
#include "util/log.h"

enum { HELD = 4 };

struct scene {
    struct fixture *f;
    char head_file[128];
    const char *outcome;
    int64_t ts, streaming;
    int status;      /* of the start */
    int recorded, committed, ended, closed;
    long long rows;  /* before the run */
    bool holds;      /* all idle connections: the writer needs a new one */
    struct db *held[HELD];
};

static struct audit_row row_of(const char *outcome)
{
    struct audit_row row = fixture_row(NULL, NULL, NULL);

    row.ts = 0;
    row.process = NULL;
    row.outcome = outcome;
    return row;
}

static int start(struct scene *s, struct audit **audit, int queue_max, int64_t wait_ms)
{
    const struct audit_options options = {
        .queue_max = queue_max, .linger_ms = 1, .wait_ms = wait_ms,
        .head_file = s->head_file[0] != '\0' ? s->head_file : NULL};
    struct err e;

    return audit_start(s->f->store, &options, audit, &e);
}

static void requests(void *arg)
{
    struct scene *s = arg;
    struct audit_row row = row_of(NULL), end = row_of(s->outcome), close = row_of("denied");
    struct audit_ticket *ticket, *closing;
    struct audit *audit;
    struct err e;

    s->recorded = s->committed = s->ended = s->closed = 0;
    end.ts = s->ts;
    end.streaming = s->streaming;
    row.key_id = "k";
    s->status = start(s, &audit, 100, 60);
    if (s->status == 0) {
        s->recorded = audit_record(audit, &row, &ticket, &e) == 0;
        if (ticket != NULL) {
            s->committed = s->recorded && audit_wait(ticket, &e) == 0;
            s->ended = audit_finish_wait(audit, &ticket, &end, &e) == 0;
        }
        s->closed = audit_close(audit, &close, &closing, &e) == 0 && audit_wait(closing, &e) == 0;
        audit_release(&closing);
        audit_release(&closing);
    }
    audit_stop(&audit);
    audit_stop(&audit);
}

static void check_requests(void *arg)
{
    struct scene *s = arg;
    long long rows = fixture_number(s->f, "SELECT count(*) FROM audit_event");
    struct err e;

    assert_true(rows - s->rows >= s->committed + s->ended + s->closed);
    assert_true(rows - s->rows <= 3);
    s->rows = rows;
    for (int i = 0; i < HELD; i++)
        store_release(s->f->store, s->held[i]);
    store_close(&s->f->store);
    s->f->store = fixture_open(s->f);
    for (int i = 0; i < HELD; i++)
        s->held[i] = s->holds ? store_acquire(s->f->store, &e) : NULL;
}

static void T32_requests(void **state)
{
    struct scene s = {.f = *state, .outcome = "completed"};
    struct audit_verdict verdict;
    struct db *db;
    struct err e;

    log_set_level(LOG_ERROR + 1);
    snprintf(s.head_file, sizeof s.head_file, "%s/head", s.f->directory);
    assert_true(inject_each(INJECT_SQLITE | INJECT_CRYPTO | INJECT_SYSTEM, requests,
                            check_requests, &s) > 20);
    assert_true(inject_each(INJECT_MEMORY, requests, check_requests, &s) > 10);
    s.holds = true;
    inject_each(INJECT_MEMORY, requests, check_requests, &s);
    s.holds = false;
    s.outcome = NULL;
    s.ts = 1;
    s.streaming = 1;
    inject_each(INJECT_MEMORY, requests, check_requests, &s);
    assert_true(s.committed && s.ended && s.closed); /* the last one met no failure */
    assert_int_equal(fixture_number(s.f, "SELECT ts FROM audit_event WHERE kind = 'end'"
                                         " ORDER BY seq DESC LIMIT 1"), 1);
    db = store_acquire(s.f->store, &e);
    assert_int_equal(audit_verify(db, NULL, &verdict, &e), 0);
    assert_int_equal(verdict.bad_seq, 0);
    store_release(s.f->store, db);
    log_set_level(LOG_ERROR);
}

/* Makes the log long enough for a checkpoint. */
static void fill_log(const struct fixture *f)
{
    enum { BYTES = 12000000 };
    char sql[256];
    struct err e;
    struct db *db = store_acquire(f->store, &e);

    assert_int_equal(store_write_begin(f->store, db, &e), 0);
    snprintf(sql, sizeof sql, "DELETE FROM recent_error; INSERT INTO recent_error (ts, component,"
             " kind, severity, message) VALUES (1, 'c', 'k', 's', printf('%%.*c', %d, 'x'))",
             BYTES);
    assert_int_equal(db_exec(db, sql, &e), 0);
    assert_int_equal(store_write_commit(f->store, db, &e), 0);
    store_release(f->store, db);
}

static void write_head(void *arg)
{
    fill_log(((struct scene *)arg)->f);
}

/* The head is whole or the one of before, and never half a file. */
static void check_head(void *arg)
{
    const struct scene *s = arg;
    FILE *file = fopen(s->head_file, "r");
    char hash[80];
    long long seq;

    if (file == NULL)
        return;
    assert_int_equal(fscanf(file, "%lld %79s", &seq, hash), 2);
    assert_int_equal(seq, 1);
    assert_int_equal(strlen(hash), 64);
    fclose(file);
}

static void the_head_file_may_fail(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = fixture_row("access", "k", NULL);
    struct audit *audit;

    log_set_level(LOG_ERROR + 1);
    fixture_append(s.f->store, &row, 1);
    snprintf(s.head_file, sizeof s.head_file, "%s/head", s.f->directory);
    assert_int_equal(start(&s, &audit, 100, 1000), 0);
    assert_true(inject_each(INJECT_FILE, write_head, check_head, &s) > 7);
    assert_int_equal(access(s.head_file, R_OK), 0);
    for (int at = 0; at < 5; at++) { /* open, flush, sync, close, rename: the old one stays */
        FILE *old = fopen(s.head_file, "w");

        fputs("old", old);
        fclose(old);
        inject_start(INJECT_FILE, at, false);
        fill_log(s.f);
        assert_true(inject_stop() > at);
        old = fopen(s.head_file, "r");
        assert_int_equal(fgetc(old), 'o');
        fclose(old);
    }
    fixture_sql(s.f, "DROP TRIGGER audit_event_no_update;"
                     "UPDATE audit_event SET hash = 'short'");
    unlink(s.head_file);
    fill_log(s.f);
    assert_int_equal(access(s.head_file, R_OK), -1); /* a broken head is not exported */
    audit_stop(&audit);
    s.head_file[0] = '\0';
    assert_int_equal(start(&s, &audit, 100, 1000), 0);
    fill_log(s.f);
    fill_log(s.f);
    audit_stop(&audit);
    log_set_level(LOG_ERROR);
}

static void every_column_present_and_absent(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row full = fixture_row("refusal", "k", "n/a"), empty = row_of(NULL);
    char tail[5000], cut[5000];
    struct audit *audit;
    struct audit_ticket *none = NULL;
    struct err e;

    memset(tail, '\x80', sizeof tail - 1); /* not UTF-8: nowhere is a good place to cut */
    tail[sizeof tail - 1] = '\0';
    memset(cut, 'a', sizeof cut - 1);
    cut[sizeof cut - 1] = '\0';
    full.request_id = full.request_uid = full.process = full.route = full.ns = "x";
    full.decision = full.source = full.pattern = full.place = full.override_id = "x";
    full.outcome = full.upstream = full.model = "x";
    full.reason = full.detail = tail;
    empty.reason = cut;
    assert_int_equal(start(&s, &audit, 100, 5000), 0);
    assert_int_equal(audit_close(audit, &full, NULL, &e), 0);
    assert_int_equal(audit_close(audit, &empty, NULL, &e), 0);
    assert_int_equal(audit_record(audit, &full, &none, &e), 0);
    assert_int_equal(audit_wait(none, &e), 0);
    audit_finish(audit, &none, &empty);
    audit_finish(audit, &none, &empty); /* the ticket is gone */
    assert_int_equal(audit_finish_wait(audit, &none, &empty, &e), 0);
    audit_stop(&audit);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event WHERE kind = 'refusal'"
                                         " AND request_uid = 'x' AND outcome = 'x' AND"
                                         " length(CAST(reason AS BLOB)) BETWEEN 4092 AND 4096"
                                         " AND length(CAST(detail AS BLOB)) = 4999"), 1);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event WHERE kind ="
                                         " 'refusal' AND length(request_uid) > 20"), 1);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event WHERE kind = 'end'"
                                         " AND outcome = 'internal'"), 1);
}

struct waiting {
    struct audit *audit;
    struct audit_ticket *ticket;
    int status;
};

static void *finish_in_thread(void *arg)
{
    struct waiting *w = arg;
    struct audit_row end = row_of("completed");

    audit_finish(w->audit, &w->ticket, &end);
    return NULL;
}

/* An end finds the queue full: it waits for room, but not for ever, and is never dropped. */
static void a_full_queue_delays_ends(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = row_of(NULL), refusal = row_of("denied");
    struct err e;

    log_set_level(LOG_ERROR + 1);
    for (int in_time = 0; in_time < 2; in_time++) {
        struct waiting w;
        pthread_t thread;
        int64_t before;
        int gate;

        assert_int_equal(start(&s, &w.audit, 2, 100), 0);
        assert_int_equal(audit_record(w.audit, &row, &w.ticket, &e), 0);
        while (audit_wait(w.ticket, &e) != 0)
            ;
        gate = fixture_hold_gate(s.f);
        assert_int_equal(audit_close(w.audit, &refusal, NULL, &e), 0);
        usleep(100000); /* the writer takes it off the queue */
        for (int i = 0; i < 2; i++)
            assert_int_equal(audit_close(w.audit, &refusal, NULL, &e), 0);
        assert_int_equal(audit_close(w.audit, &refusal, NULL, &e), AGW_EAUDIT);
        before = clock_mono_ms();
        assert_int_equal(pthread_create(&thread, NULL, finish_in_thread, &w), 0);
        usleep(200000);
        if (in_time)
            close(gate);
        pthread_join(thread, NULL);
        assert_null(w.ticket);
        if (!in_time) {
            assert_true(clock_mono_ms() - before >= 1000);
            close(gate);
        }
        audit_stop(&w.audit);
    }
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event WHERE kind = 'end'"),
                     2);
    log_set_level(LOG_ERROR);
}

static void *wait_in_thread(void *arg)
{
    struct waiting *w = arg;
    struct err e;

    w->status = audit_wait(w->ticket, &e);
    return NULL;
}

/* More rows than a group holds, a waiter, and rows for which nobody waits. */
static void more_than_one_group(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = row_of(NULL), refusal = row_of("denied");
    struct audit_ticket *others[5];
    struct waiting w;
    pthread_t thread;
    struct audit *audit;
    struct err e;
    int gate;

    assert_int_equal(start(&s, &audit, 10000, 5000), 0);
    gate = fixture_hold_gate(s.f);
    assert_int_equal(audit_record(audit, &row, &w.ticket, &e), 0);
    usleep(20000);
    assert_int_equal(pthread_create(&thread, NULL, wait_in_thread, &w), 0);
    for (int i = 0; i < 5100; i++)
        assert_int_equal(audit_close(audit, &refusal, NULL, &e), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(audit_record(audit, &row, &others[i], &e), 0);
    usleep(50000);
    close(gate);
    pthread_join(thread, NULL);
    assert_int_equal(w.status, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(audit_wait(others[i], &e), 0);
    assert_int_equal(audit_close(audit, &refusal, &others[4], &e), 0);
    assert_int_equal(audit_wait(others[4], &e), 0);
    audit_release(&others[4]);
    /* wherever the note lags, it is never above what is open */
    assert_int_equal(fixture_number(s.f, "SELECT oldest_open_seq FROM process"), 1);
    /* ended out of order: the newest, a middle one, the oldest, the rest */
    for (int i = 0; i < 4; i++) {
        static const int order[] = {3, 1, 0, 2};
        struct audit_row end = row_of("completed");

        assert_int_equal(audit_wait(others[order[i]], &e), 0);
        assert_int_equal(audit_finish_wait(audit, &others[order[i]], &end, &e), 0);
        if (i == 2) /* one is open still: the note must catch up */
            assert_int_equal(audit_finish_wait(audit, &w.ticket, &end, &e), 0);
    }
    audit_stop(&audit);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event"), 5111);
}

static void *stop_in_thread(void *arg)
{
    struct waiting *w = arg;

    audit_stop(&w->audit);
    return NULL;
}

static void nothing_is_taken_while_stopping(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = row_of("denied");
    struct waiting w = {0};
    struct audit *audit;
    pthread_t thread;
    struct err e;
    int gate;

    assert_int_equal(start(&s, &w.audit, 100, 3000), 0);
    audit = w.audit;
    gate = fixture_hold_gate(s.f);
    assert_int_equal(audit_close(audit, &row, NULL, &e), 0);
    assert_int_equal(pthread_create(&thread, NULL, stop_in_thread, &w), 0);
    usleep(200000);
    assert_int_equal(audit_close(audit, &row, NULL, &e), AGW_EAUDIT);
    close(gate);
    pthread_join(thread, NULL);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event"), 1);
}

/* Trouble that any process met makes all wait for their row, for two seconds. */
static void trouble_is_remembered_for_a_while(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = row_of(NULL), end = row_of("completed");
    struct audit_ticket *ticket;
    struct audit *audit;
    int64_t before;
    struct err e;
    int gate;

    assert_int_equal(start(&s, &audit, 100, 300), 0);
    store_trouble_note(s.f->store);
    gate = fixture_hold_gate(s.f);
    assert_int_equal(audit_record(audit, &row, &ticket, &e), AGW_EAUDIT);
    assert_non_null(ticket); /* late, so its end must come */
    close(gate);
    audit_finish(audit, &ticket, &end);
    usleep(2200000);
    gate = fixture_hold_gate(s.f);
    before = clock_mono_ms();
    assert_int_equal(audit_record(audit, &row, &ticket, &e), 0); /* did not wait */
    assert_true(clock_mono_ms() - before < 200);
    close(gate);
    audit_finish(audit, &ticket, &end);
    audit_stop(&audit);
}

/* Ends that cannot be written, and other rows that nobody waits for, are kept, in order, and
 * written when that is possible. */
static void what_nobody_waits_for_outlasts_failures(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = row_of(NULL), end = row_of("completed"), refusal = row_of("denied"),
                     kept = row_of("overloaded");
    struct audit_ticket *tickets[3], *refused;
    struct audit *audit;
    struct err e;

    log_set_level(LOG_ERROR + 1);
    assert_int_equal(start(&s, &audit, 100, 3000), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(audit_record(audit, &row, &tickets[i], &e), 0);
        assert_int_equal(audit_wait(tickets[i], &e), 0);
    }
    assert_int_equal(store_trouble_age(s.f->store), -1);
    inject_start(INJECT_SQLITE, 0, true);
    audit_finish(audit, &tickets[0], &end);
    usleep(120000);
    assert_true(store_trouble_age(s.f->store) >= 0); /* every process is to know */
    audit_finish(audit, &tickets[1], &end);
    assert_int_equal(audit_close(audit, &refusal, &refused, &e), 0);
    assert_int_equal(audit_wait(refused, &e), AGW_EAUDIT); /* given up, and that is known */
    audit_release(&refused);
    assert_int_equal(audit_close(audit, &kept, NULL, &e), 0);
    audit_finish(audit, &tickets[2], &end);
    usleep(1200000); /* the longest pause between two attempts: all have failed */
    inject_stop();
    audit_stop(&audit);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event WHERE kind = 'end'"),
                     3);
    assert_int_equal(
        fixture_number(s.f, "SELECT count(*) FROM requests AS a JOIN requests AS b"
                            " ON a.seq < b.seq AND a.end_seq > b.end_seq"), 0);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM requests WHERE outcome ="
                                         " 'completed'"), 3);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event WHERE outcome ="
                                         " 'overloaded'"), 1);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event WHERE outcome ="
                                         " 'denied'"), 0);
    log_set_level(LOG_ERROR);
}

/* While the trail is broken only the ends of requests on record are kept without bound. */
static void ends_of_refused_requests_are_not_hoarded(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = row_of(NULL), end = row_of("completed");
    struct audit_ticket *good[3], *refused;
    struct audit *audit;
    struct err e;

    log_set_level(LOG_ERROR + 1);
    assert_int_equal(start(&s, &audit, 2, 100), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(audit_record(audit, &row, &good[i], &e), 0);
        assert_int_equal(audit_wait(good[i], &e), 0);
    }
    inject_start(INJECT_SQLITE, 0, true);
    assert_int_equal(audit_record(audit, &row, &refused, &e), 0);
    assert_int_equal(audit_wait(refused, &e), AGW_EAUDIT);
    audit_finish(audit, &refused, &end);
    for (int i = 0; i < 3; i++)
        audit_finish(audit, &good[i], &end);
    usleep(1200000); /* the longest pause between two attempts */
    inject_stop();
    audit_stop(&audit);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM audit_event WHERE kind = 'end'"),
                     3);
    log_set_level(LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(T32_requests),
        TEST(the_head_file_may_fail),
        TEST(every_column_present_and_absent),
        TEST(a_full_queue_delays_ends),
        TEST(more_than_one_group),
        TEST(nothing_is_taken_while_stopping),
        TEST(trouble_is_remembered_for_a_while),
        TEST(what_nobody_waits_for_outlasts_failures),
        TEST(ends_of_refused_requests_are_not_hoarded),
    };

    return cmocka_run_group_tests_name("policy/audit failures", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Old rows go in the open: the chain holds from the anchor, whatever happens on the way, and
 * nobody can pass off a deletion as one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/audit_prune.h"
#include "store/keys.h"
#include "store/overrides.h"
#include "store_fixture.h"
#include "util/clock.h"

#define DAY 86400000LL
#define HOUR 3600000LL

static struct audit_verdict verify(struct store *store, const struct audit_check *check)
{
    struct audit_verdict verdict;
    struct err e;
    struct db *db = store_acquire(store, &e);

    assert_non_null(db);
    if (audit_verify(db, check, &verdict, &e) != 0)
        fail_msg("%s", e.message);
    store_release(store, db);
    return verdict;
}

static struct audit_head head_at(struct store *store, int64_t seq)
{
    const struct audit_check check = {.to_seq = seq};
    struct audit_verdict verdict = verify(store, &check);

    assert_int_equal(verdict.head.seq, seq);
    return verdict.head;
}

/* Rows whose ages go down from `days` to `until` days. */
static void fill(struct store *store, int rows, int64_t days, int64_t until)
{
    int64_t now = clock_wall_ms();

    for (int i = 0; i < rows; i++) {
        struct audit_row row = fixture_row("end", "dev", "default/a");

        row.ts = now - days * DAY + (days - until) * DAY / rows * i;
        row.outcome = "completed";
        fixture_append(store, &row, 1);
    }
}

static int prune(struct store *store, int64_t days, struct audit_pruned *result, struct err *e)
{
    const struct audit_prune order = {.before = clock_wall_ms() - days * DAY - HOUR,
                                      .by = "test"};

    return audit_prune(store, &order, result, e);
}

static struct audit_pruned must_prune(struct store *store, int64_t days)
{
    struct audit_pruned result;
    struct err e;

    if (prune(store, days, &result, &e) != 0)
        fail_msg("%s", e.message);
    return result;
}

static void the_chain_holds_from_the_anchor(void **state)
{
    struct fixture *f = *state;
    struct audit_head removed, anchor, kept, forged;
    struct audit_check check = {0};
    struct audit_pruned result;
    struct audit_verdict v;

    fill(f->store, 100, 100, 0);
    removed = head_at(f->store, 30);
    anchor = head_at(f->store, 50);
    kept = head_at(f->store, 70);
    result = must_prune(f->store, 50);
    assert_int_equal(result.first_seq, 1);
    assert_int_equal(result.through.seq, 50);
    assert_string_equal(result.through.hash, anchor.hash);
    assert_int_equal(result.removed, 50);
    assert_null(result.kept_for);
    assert_int_equal(fixture_number(f, "SELECT min(seq) FROM audit_event"), 51);
    assert_int_equal(fixture_number(f, "SELECT sum(requests) FROM usage_day"), 100);
    v = verify(f->store, NULL);
    assert_true(audit_verdict_ok(&v));
    assert_int_equal(v.first_seq, 51);
    assert_int_equal(v.checked, 51);
    assert_int_equal(v.anchor.seq, 50);

    check.known = &kept;
    v = verify(f->store, &check);
    assert_true(audit_verdict_ok(&v));
    assert_int_equal(v.known, AUDIT_KNOWN_PRESENT);
    check.known = &anchor;
    v = verify(f->store, &check);
    assert_true(audit_verdict_ok(&v));
    assert_int_equal(v.known, AUDIT_KNOWN_PRESENT);
    check.known = &removed;
    v = verify(f->store, &check);
    assert_false(audit_verdict_ok(&v));
    assert_false(v.broken);
    assert_int_equal(v.known, AUDIT_KNOWN_PRUNED);
    assert_non_null(strstr(v.problem, "row 30, was removed"));
    forged = anchor;
    forged.hash[5] = forged.hash[5] == '0' ? '1' : '0';
    check.known = &forged;
    v = verify(f->store, &check);
    assert_int_equal(v.known, AUDIT_KNOWN_CHANGED);

    check.known = &kept;
    check.from_known = true;
    v = verify(f->store, &check);
    assert_true(audit_verdict_ok(&v));
    assert_int_equal(v.first_seq, 70);
}

static void it_can_be_done_again(void **state)
{
    struct fixture *f = *state;

    fill(f->store, 100, 100, 0);
    assert_int_equal(must_prune(f->store, 80).removed, 20);
    assert_int_equal(must_prune(f->store, 80).removed, 0);
    assert_int_equal(must_prune(f->store, 60).removed, 20);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_anchor"), 2);
    assert_true(verify(f->store, NULL).first_seq == 41);
    assert_false(verify(f->store, NULL).broken);
    /* The first announcement goes too, in time. */
    assert_int_equal(must_prune(f->store, 2).through.seq, 98);
    assert_false(verify(f->store, NULL).broken);
}

static void young_rows_stay(void **state)
{
    struct fixture *f = *state;
    struct audit_pruned result;
    struct err e;

    fill(f->store, 10, 10, 0);
    assert_int_equal(prune(f->store, 1, &result, &e), AGW_EINVALID);
    assert_non_null(strstr(e.message, "2 days"));
    assert_int_equal(must_prune(f->store, 20).rows, 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 10);
}

static void a_dry_run_only_says_so(void **state)
{
    struct fixture *f = *state;
    const struct audit_prune order = {.before = clock_wall_ms() - 5 * DAY - HOUR,
                                      .dry_run = true};
    struct audit_pruned result;
    struct err e;

    fill(f->store, 10, 10, 0);
    assert_int_equal(audit_prune(f->store, &order, &result, &e), 0);
    assert_int_equal(result.rows, 5);
    assert_int_equal(result.removed, 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 10);
}

/* A row that is out of order in time keeps what is behind it. */
static void the_first_young_row_ends_it(void **state)
{
    struct fixture *f = *state;
    struct audit_row ahead = fixture_row("end", "dev", "default/a");

    fill(f->store, 10, 30, 20);
    fixture_append(f->store, &ahead, 1);
    fill(f->store, 10, 20, 10);
    assert_int_equal(must_prune(f->store, 5).through.seq, 10);
}

static void open_requests_stay(void **state)
{
    struct fixture *f = *state;
    struct audit_row open = fixture_row("decision", "dev", "default/a");
    struct audit_row end;
    struct audit_pruned result;
    struct err e;
    struct db *db;

    fill(f->store, 10, 30, 20);
    open.ts = clock_wall_ms() - 20 * DAY;
    open.request_uid = "u1";
    fixture_append(f->store, &open, 1);
    fill(f->store, 10, 20, 10);
    db = store_acquire(f->store, &e);
    assert_int_equal(store_write_begin(f->store, db, &e), 0);
    assert_int_equal(audit_rows_note_open(f->store, db, open.process, 2, &e), 0);
    assert_int_equal(store_write_commit(f->store, db, &e), 0);
    store_release(f->store, db);
    result = must_prune(f->store, 5);
    assert_int_equal(result.through.seq, 10);
    assert_string_equal(result.kept_for, "a request that has not ended");
    end = open;
    end.kind = "end";
    end.outcome = "completed";
    end.ts = clock_wall_ms();
    fixture_append(f->store, &end, 1);
    assert_int_equal(must_prune(f->store, 5).through.seq, 21);
}

static void proofs_of_grants_stay(void **state)
{
    struct fixture *f = *state;
    struct audit_row row = fixture_row("override.created", "admin", "vault/*");
    char pattern[] = "vault/*";
    struct override grant = {.id = "ovr_1", .pattern = pattern,
                             .expires_at = clock_wall_ms() + 3600000};
    struct override_list live;
    struct audit_pruned result;
    struct err e;
    struct db *db;

    fill(f->store, 10, 30, 20);
    row.ts = grant.created_at = clock_wall_ms() - 20 * DAY;
    assert_int_equal(overrides_create(f->store, &grant, &row, &e), 0);
    fill(f->store, 10, 20, 10);
    result = must_prune(f->store, 5);
    assert_int_equal(result.through.seq, 10);
    assert_string_equal(result.kept_for, "an override that is in force");
    db = store_acquire(f->store, &e);
    assert_int_equal(overrides_list(db, store_now(f->store), 0, &live, &e), 0);
    assert_int_equal(live.count, 1);
    override_list_clear(&live);
    store_release(f->store, db);
}

static bool refused(const struct fixture *f, const char *sql)
{
    sqlite3 *handle;
    int result;

    assert_int_equal(sqlite3_open(f->database, &handle), SQLITE_OK);
    sqlite3_busy_timeout(handle, 2000);
    result = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    assert_true(result == SQLITE_OK || result == SQLITE_CONSTRAINT);
    sqlite3_close(handle);
    return result == SQLITE_CONSTRAINT;
}

static void others_may_not_delete(void **state)
{
    struct fixture *f = *state;

    fill(f->store, 20, 20, 0);
    assert_true(refused(f, "DELETE FROM audit_event WHERE seq = 1"));
    must_prune(f->store, 10);
    assert_true(refused(f, "DELETE FROM audit_event WHERE seq = 11"));
    assert_true(refused(f, "DELETE FROM audit_event"));
    assert_true(refused(f, "UPDATE audit_event SET agent = ''"));
    assert_int_equal(verify(f->store, NULL).checked, 11);
}

static void a_broken_chain_is_not_pruned(void **state)
{
    struct fixture *f = *state;
    struct audit_pruned result;
    struct err e;

    fill(f->store, 20, 20, 0);
    fixture_sql(f, "DROP TRIGGER audit_event_no_update;"
                   "UPDATE audit_event SET key_id = 'other' WHERE seq = 4");
    assert_int_equal(prune(f->store, 10, &result, &e), AGW_EINVALID);
    assert_int_equal(result.verdict.bad_seq, 4);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 20);
}

/* With the triggers gone, what is deleted beyond the announcement, or whose announcement is
 * touched, is found. */
static void a_deletion_cannot_pass_for_pruning(void **state)
{
    static const struct {
        const char *sql;
        int bad_seq;
    } cases[] = {
        {"DELETE FROM audit_event WHERE seq = 11", 12},
        {"DELETE FROM audit_event WHERE kind = 'audit.pruned'", 11},
        {"DELETE FROM audit_event WHERE seq <= 15;"
         "INSERT INTO audit_anchor SELECT 15, prev_hash, 1, 'me' FROM audit_event"
         " WHERE seq = 16", 16},
        {"DELETE FROM audit_event WHERE seq <= 15; UPDATE audit_event SET detail ="
         " json_set(detail, '$.through_seq', 15, '$.through_hash', (SELECT prev_hash FROM"
         " audit_event WHERE seq = 16)) WHERE kind = 'audit.pruned'", 21},
        {"UPDATE audit_event SET detail = 'not json' WHERE kind = 'audit.pruned'", 11},
        {"UPDATE audit_event SET detail = json_set(detail, '$.through_seq', 'x')"
         " WHERE kind = 'audit.pruned'", 11},
        {"INSERT INTO audit_event (seq, ts, kind, prev_hash, hash) VALUES (0, 1, 'end', '', '')",
         0},
        {"INSERT INTO audit_event (seq, ts, kind, prev_hash, hash) VALUES (-7, 1, 'end', '',"
         " '')", -7},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture *f;
        struct audit_verdict v;

        assert_int_equal(fixture_setup((void **)&f), 0);
        fill(f->store, 20, 20, 0);
        must_prune(f->store, 10);
        fixture_sql(f, "DROP TRIGGER audit_event_no_update; DROP TRIGGER audit_event_no_delete");
        fixture_sql(f, cases[i].sql);
        v = verify(f->store, NULL);
        if (!v.broken || v.bad_seq != cases[i].bad_seq)
            fail_msg("%s: found %lld (%s)", cases[i].sql, (long long)v.bad_seq, v.problem);
        fixture_teardown((void **)&f);
    }
}

static void prune_in_child(void *arg)
{
    const struct fixture *f = arg;

    must_prune(fixture_open(f), 3);
}

static void a_death_on_the_way_leaves_a_whole_chain(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 3;
    int killed = 0;

    fill(f->store, 3000, 1000, 0);
    for (int i = 0; i < 40; i++) {
        int pid = fixture_fork(prune_in_child, f);

        usleep((useconds_t)(rand_r(&seed) % 30000));
        kill(pid, SIGKILL);
        killed += fixture_wait(pid) != 0;
        assert_false(verify(f->store, NULL).broken);
        if (fixture_number(f, "SELECT min(seq) FROM audit_event") > 2900)
            break;
    }
    assert_true(killed > 0);
    must_prune(f->store, 3);
    assert_int_equal(fixture_number(f, "SELECT min(seq) FROM audit_event"), 2992);
    assert_false(verify(f->store, NULL).broken);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_anchor"), 1);
}

struct onlooker {
    struct store *store;
    int looks;
};

static void look(void *arg, int64_t removed, int64_t of)
{
    struct onlooker *o = arg;
    struct audit_verdict v = verify(o->store, NULL);

    assert_false(v.broken);
    assert_int_equal(v.first_seq, removed + 1);
    assert_int_equal(v.anchor.seq, of);
    o->looks++;
}

/* The rows that are still there go beyond the anchor, and the chain holds from row to row. */
static void it_holds_while_it_goes_on(void **state)
{
    struct fixture *f = *state;
    struct onlooker onlooker = {.store = f->store};
    struct audit_prune order = {.before = clock_wall_ms() - 3 * DAY - HOUR, .by = "test",
                                .removed = look, .removed_arg = &onlooker};
    struct audit_pruned result;
    struct err e;

    fill(f->store, 1000, 1000, 0);
    assert_int_equal(audit_prune(f->store, &order, &result, &e), 0);
    assert_true(result.removed > 900);
    assert_true(onlooker.looks >= 2);
}

struct neighbour {
    struct store *store;
    atomic_bool stop;
    int appended;
};

static void *append_meanwhile(void *arg)
{
    struct neighbour *n = arg;
    struct audit_row row = fixture_row("end", "dev", "default/a");

    while (!atomic_load(&n->stop)) {
        fixture_append(n->store, &row, 1);
        n->appended++;
    }
    return NULL;
}

static void *verify_meanwhile(void *arg)
{
    struct neighbour *n = arg;

    while (!atomic_load(&n->stop))
        if (verify(n->store, NULL).broken)
            n->appended = -1;
    return NULL;
}

static void others_go_on_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct neighbour writer = {.store = f->store}, reader = {.store = f->store};
    pthread_t writing, reading;

    fill(f->store, 3000, 1000, 0);
    assert_int_equal(pthread_create(&writing, NULL, append_meanwhile, &writer), 0);
    assert_int_equal(pthread_create(&reading, NULL, verify_meanwhile, &reader), 0);
    usleep(20000);
    must_prune(f->store, 3);
    atomic_store(&writer.stop, true);
    atomic_store(&reader.stop, true);
    pthread_join(writing, NULL);
    pthread_join(reading, NULL);
    assert_true(writer.appended > 0);
    assert_int_equal(reader.appended, 0);
    assert_false(verify(f->store, NULL).broken);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

static size_t live_keys(struct store *store)
{
    struct key_list list;
    struct err e;
    struct db *db = store_acquire(store, &e);
    size_t count;

    assert_int_equal(keys_live(db, store_now(store), &list, &e), 0);
    count = list.count;
    key_list_clear(&list);
    store_release(store, db);
    return count;
}

/* Keys live for years: their proofs must not keep the trail from being cut. */
static void proofs_of_keys_go_on_in_new_rows(void **state)
{
    struct fixture *f = *state;
    struct key_row key = {.id = "ci", .roles = "client", .rate_per_minute = -1,
                          .requests_per_day = -1, .tokens_per_day = -1};
    struct audit_row row = fixture_row("", "boss", NULL);
    struct audit_pruned result;
    struct audit_verdict v;
    struct err e;

    row.ts = clock_wall_ms() - 100 * DAY;
    assert_int_equal(keys_create(f->store, &key, "boss", &row, NULL, &e), 0);
    fill(f->store, 20, 90, 0);
    result = must_prune(f->store, 10);
    assert_true(result.removed > 10);
    assert_null(result.kept_for);
    assert_int_equal(live_keys(f->store), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind ="
                                       " 'key.carried' AND place = 'key:ci'"), 1);
    v = verify(f->store, NULL);
    assert_true(audit_verdict_ok(&v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_chain_holds_from_the_anchor),
        CASE(it_can_be_done_again),
        CASE(young_rows_stay),
        CASE(a_dry_run_only_says_so),
        CASE(the_first_young_row_ends_it),
        CASE(open_requests_stay),
        CASE(proofs_of_grants_stay),
        CASE(others_may_not_delete),
        CASE(a_broken_chain_is_not_pruned),
        cmocka_unit_test(a_deletion_cannot_pass_for_pruning),
        CASE(a_death_on_the_way_leaves_a_whole_chain),
        CASE(it_holds_while_it_goes_on),
        CASE(others_go_on_meanwhile),
        CASE(proofs_of_keys_go_on_in_new_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* T32: whatever fails while the trail is written, read or verified, a row is there whole or
 * not at all, the chain holds, and the error is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "store/audit_chain.h"
#include "store/audit_verify.h"
#include "store_fixture.h"
#include "util/proc.h"

enum { EVERYTHING = INJECT_MEMORY | INJECT_SQLITE | INJECT_CRYPTO | INJECT_SYSTEM };

struct scene {
    struct fixture *f;
    int status;
    struct err e;
    struct audit_verdict verdict;
    int64_t from_seq;
    int count;
};

static void assert_told(const struct scene *s)
{
    if (s->status != 0) {
        assert_true(s->status == AGW_ESTORE || s->status == AGW_ENOMEM ||
                    s->status == AGW_EINTERNAL);
        assert_true(s->e.message[0] != '\0');
    }
}

/* The next run begins without prepared statements. */
static void reopen(struct fixture *f)
{
    store_close(&f->store);
    f->store = fixture_open(f);
}

static struct audit_row full_row(void)
{
    struct audit_row row = fixture_row("end", "key", "default/a");

    row.request_id = "r";
    row.request_uid = "u";
    row.route = "POST /x";
    row.ns = "default";
    row.decision = "allow";
    row.source = "api_key";
    row.pattern = "*";
    row.place = "security.yaml:1";
    row.override_id = "ovr_1";
    row.outcome = "completed";
    row.status = 200;
    row.streaming = 0;
    row.prompt_tokens = 1;
    row.completion_tokens = 2;
    row.duration_ms = 3;
    row.upstream = "echo";
    row.model = "m";
    row.reason = "because";
    row.detail = "{}";
    return row;
}

static void append(void *arg)
{
    struct scene *s = arg;
    struct store *store = s->f->store;
    struct db *db = store_acquire(store, &s->e);
    struct audit_row rows[3] = {full_row(), fixture_row("access", NULL, NULL), full_row()};

    s->status = AGW_ESTORE;
    if (db == NULL)
        return;
    rows[2].ts += 86400000;
    s->status = store_write_begin(store, db, &s->e);
    if (s->status == 0) {
        s->status = audit_rows_append(store, db, rows, 3, NULL, &s->e);
        if (s->status == 0)
            s->status = store_write_commit(store, db, &s->e);
        else
            store_write_rollback(store, db);
    }
    store_release(store, db);
}

static void check_append(void *arg)
{
    struct scene *s = arg;

    s->count += s->status == 0 ? 3 : 0;
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM audit_event"), s->count);
    assert_int_equal(fixture_number(s->f, "SELECT coalesce(sum(requests), 0) FROM usage_day"),
                     s->count / 3 * 2);
    assert_told(s);
    reopen(s->f);
}

static void verify(void *arg)
{
    struct scene *s = arg;
    const struct audit_check check = {.from_seq = s->from_seq};
    struct db *db = store_acquire(s->f->store, &s->e);

    s->status = AGW_ESTORE;
    if (db == NULL)
        return;
    s->status = audit_verify(db, &check, &s->verdict, &s->e);
    store_release(s->f->store, db);
}

/* A trail that cannot be read is no broken trail. */
static void check_verify(void *arg)
{
    struct scene *s = arg;

    if (s->status == 0) {
        assert_int_equal(s->verdict.bad_seq, 0);
        assert_int_equal(s->verdict.checked, s->count - (s->from_seq > 1 ? s->from_seq - 1 : 0));
    }
    assert_told(s);
    reopen(s->f);
}

static void T32_append_and_verify(void **state)
{
    struct scene s = {.f = *state};

    assert_true(inject_each(EVERYTHING, append, check_append, &s) > 50);
    assert_true(s.count > 0);
    for (s.from_seq = 0; s.from_seq < 4; s.from_seq += 3)
        assert_true(inject_each(EVERYTHING, verify, check_verify, &s) > 10);
}

static void blame(struct scene *s, const char *sql, int64_t from_seq, int64_t bad_seq)
{
    fixture_sql(s->f, sql);
    s->from_seq = from_seq;
    verify(s);
    assert_int_equal(s->status, 0);
    assert_int_equal(s->verdict.bad_seq, bad_seq);
}

/* What SQLite's own checks of the table let through. */
static void T38_rows_without_proper_hashes(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = full_row();
    struct db *db;
    struct audit_head head;

    for (int i = 0; i < 4; i++)
        fixture_append(s.f->store, &row, 1);
    s.from_seq = 3;
    inject_start(INJECT_COLUMN, 0, true);
    verify(&s);
    inject_stop();
    assert_int_equal(s.verdict.bad_seq, 3);
    s.from_seq = 0;
    inject_start(INJECT_COLUMN, 1, false);
    verify(&s);
    inject_stop();
    assert_string_equal(s.verdict.problem, "the row does not match its hash");
    blame(&s, "SELECT 1", 9, 0);
    blame(&s, "DROP TRIGGER IF EXISTS audit_event_no_update", 0, 0);
    blame(&s, "UPDATE audit_event SET hash = 'short' WHERE seq = 4", 0, 4);
    db = store_acquire(s.f->store, &s.e);
    assert_int_equal(audit_rows_head(db, &head, &s.e), AGW_ESTORE);
    inject_start(INJECT_COLUMN, 0, true);
    assert_int_equal(audit_rows_head(db, &head, &s.e), AGW_ESTORE);
    inject_stop();
    assert_int_equal(audit_rows_append(s.f->store, db, &row, 0, NULL, &s.e), 0);
    store_release(s.f->store, db);
}

/* Rows that are good each by itself, but not one after the other. */
static void T38_good_rows_in_a_bad_chain(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row rows[3] = {full_row(), full_row(), full_row()};

    fixture_append(s.f->store, rows, 3);
    fixture_sql(s.f, "CREATE TABLE kept AS SELECT * FROM audit_event WHERE seq = 2;"
                     "DROP TRIGGER audit_event_no_delete; DELETE FROM audit_event");
    rows[0].agent = "default/other";
    fixture_append(s.f->store, rows, 3);
    blame(&s, "DELETE FROM audit_event WHERE seq >= 2;"
              "INSERT INTO audit_event SELECT * FROM kept", 0, 2);
    assert_string_equal(s.verdict.problem, "prev_hash is not the hash of row 1");
    fixture_sql(s.f, "DELETE FROM audit_event");
    fixture_append(s.f->store, rows, 3);
    blame(&s, "DELETE FROM audit_event WHERE seq = 2", 0, 3);
    assert_string_equal(s.verdict.problem, "row 2 is missing");
}

static void query(void *arg)
{
    struct scene *s = arg;
    struct db *db = store_acquire(s->f->store, &s->e);
    const struct audit_query q = {.key_id = "key", .since = 1, .until = INT64_MAX, .limit = 2};
    json_t *rows;

    s->status = AGW_ESTORE;
    if (db == NULL)
        return;
    s->status = audit_rows_query(db, &q, &rows, &s->e);
    if (s->status == 0)
        s->count = (int)json_array_size(rows);
    json_decref(rows);
    store_release(s->f->store, db);
}

static void check_query(void *arg)
{
    struct scene *s = arg;

    if (s->status == 0)
        assert_int_equal(s->count, 2);
    assert_told(s);
    reopen(s->f);
}

static void T32_query(void **state)
{
    struct scene s = {.f = *state};
    struct audit_row row = full_row();

    for (int i = 0; i < 3; i++)
        fixture_append(s.f->store, &row, 1);
    assert_true(inject_each(EVERYTHING, query, check_query, &s) > 10);
}

/* The table itself refuses a row without what every row has. */
static void an_empty_row_is_refused(void **state)
{
    struct fixture *f = *state;
    struct audit_row row = fixture_row(NULL, NULL, NULL);
    struct db *db;
    struct err e;

    row.ts = row.generation = -1;
    row.process = NULL;
    db = store_acquire(f->store, &e);
    assert_int_equal(store_write_begin(f->store, db, &e), 0);
    assert_int_equal(audit_rows_append(f->store, db, &row, 1, NULL, &e), AGW_ESTORE);
    store_write_rollback(f->store, db);
    store_release(f->store, db);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 0);
}

/* Each filter alone finds its row and no other; limits are kept within bounds. */
static void every_filter(void **state)
{
    struct fixture *f = *state;
    struct audit_row rows[3] = {full_row(), fixture_row("refusal", "other", "default/b"),
                                fixture_row("access", "third", NULL)};
    const struct {
        struct audit_query q;
        size_t found;
    } cases[] = {
        {{.limit = 1000}, 3}, {{.limit = 0}, 1}, {{.limit = 5000}, 3}, {{.limit = -1}, 1},
        {{.limit = 9, .key_id = "key"}, 1}, {{.limit = 9, .agent = "default/b"}, 1},
        {{.limit = 9, .kind = "end"}, 1}, {{.limit = 9, .kind = "access"}, 1},
        {{.limit = 9, .kind = "decision"}, 0}, {{.limit = 9, .kind = "refusal"}, 1},
        {{.limit = 9, .decision = "allow"}, 1}, {{.limit = 9, .decision = "deny"}, 1},
        {{.limit = 9, .outcome = "completed"}, 1}, {{.limit = 9, .outcome = "denied"}, 1},
        {{.limit = 9, .request_id = "r"}, 1}, {{.limit = 9, .before_seq = 3}, 2},
        {{.limit = 9, .since = 2}, 2}, {{.limit = 9, .until = 2}, 1},
    };
    struct err e;
    struct db *db;

    for (int i = 0; i < 3; i++)
        rows[i].ts = i + 1;
    rows[1].decision = "deny";
    rows[1].outcome = "denied";
    fixture_append(f->store, rows, 3);
    db = store_acquire(f->store, &e);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *found;

        assert_int_equal(audit_rows_query(db, &cases[i].q, &found, &e), 0);
        if (json_array_size(found) != cases[i].found)
            fail_msg("case %zu: %zu rows", i, json_array_size(found));
        json_decref(found);
    }
    store_release(f->store, db);
}

static void leave_open(const struct fixture *f, const char *process, const char *boot,
                       int64_t oldest)
{
    char sql[512];

    snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO process VALUES ('%s', '%s', %lld, 1)",
             process, boot, (long long)oldest);
    fixture_sql(f, sql);
}

static void count_end(void *arg, const struct audit_row *end)
{
    (void)end;
    ++*(int *)arg;
}

static void close_dead(void *arg)
{
    struct scene *s = arg;
    int ended = 0;

    s->status = audit_rows_close_unfinished(s->f->store, count_end, &ended, &s->count, &s->e);
}

/* Each time two requests of a process of another boot are open: one that streams, one that
 * does not say. */
static void check_close_dead(void *arg)
{
    struct scene *s = arg;
    struct audit_row rows[2] = {fixture_row("decision", "key", "default/a"),
                                fixture_row("decision", "key", "default/a")};
    long long ended = fixture_number(s->f, "SELECT count(*) FROM audit_event WHERE kind = 'end'");
    long long next = fixture_number(s->f, "SELECT coalesce(max(seq), 0) FROM audit_event") + 1;
    char uid[2][32];

    assert_told(s);
    reopen(s->f);
    assert_int_equal(ended % 2, 0);
    if (s->status == 0) {
        assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM process"), 0);
        if (next > 1)
            assert_int_equal(s->count, 2);
    } else {
        assert_int_equal(s->count, 0);
        if (next > 1)
            return; /* they are open still */
    }
    for (int i = 0; i < 2; i++) {
        snprintf(uid[i], sizeof uid[i], "u%lld.%d", next, i);
        rows[i].request_uid = uid[i];
        rows[i].streaming = i == 0 ? 1 : -1;
        rows[i].process = "gone:1:1";
    }
    fixture_append(s->f->store, rows, 2);
    leave_open(s->f, "gone:1:1", "another boot", next);
}

static void T32_closing_the_requests_of_the_dead(void **state)
{
    struct scene s = {.f = *state};

    check_close_dead(&s);
    assert_true(inject_each(EVERYTHING & ~INJECT_SYSTEM, close_dead, check_close_dead, &s) > 50);
    /* nobody is told, and a note of nothing open is just forgotten */
    assert_int_equal(audit_rows_close_unfinished(s.f->store, NULL, NULL, &s.count, &s.e), 0);
    leave_open(s.f, "gone:1:1", "another boot", 0);
    assert_int_equal(audit_rows_close_unfinished(s.f->store, NULL, NULL, &s.count, &s.e), 0);
    assert_int_equal(s.count, 0);
    assert_int_equal(fixture_number(s.f, "SELECT count(*) FROM process"), 0);
}

struct open_requests {
    struct fixture *f;
    int64_t running, cut_off;
    int status;
    struct err e;
};

static void count_open(void *arg)
{
    struct open_requests *o = arg;
    struct db *db = store_acquire(o->f->store, &o->e);

    o->status = db == NULL ? AGW_ESTORE
                           : audit_rows_count_open(db, &o->running, &o->cut_off, &o->e);
    store_release(o->f->store, db);
}

/* One runs in this process, and two of a dead one have no end. */
static void check_open(void *arg)
{
    struct open_requests *o = arg;

    if (o->status == 0) {
        assert_int_equal(o->running, 1);
        assert_int_equal(o->cut_off, 2);
    } else {
        assert_true(o->status < 0);
    }
    reopen(o->f); /* no statement stays prepared */
}

static void T32_counting_open_requests(void **state)
{
    struct fixture *f = *state;
    struct open_requests o = {.f = f};
    struct audit_row rows[5] = {
        fixture_row("decision", "key", "default/a"), fixture_row("decision", "key", "default/a"),
        fixture_row("decision", "key", "default/a"), fixture_row("decision", "key", "default/a"),
        fixture_row("end", "key", "default/a")};
    static const char *const uids[] = {"u1", "u2", "u3", "u4", "u4"};

    for (int i = 0; i < 5; i++) {
        rows[i].request_uid = uids[i];
        rows[i].process = i == 0 ? "lives:1:1" : "gone:1:1";
    }
    rows[4].outcome = "completed";
    fixture_append(f->store, rows, 5);
    leave_open(f, "gone:1:1", "another boot", 2);
    leave_open(f, "lives:1:1", "", 1); /* of no known boot: it says nothing of a death */
    leave_open(f, "idle:1:1", "another boot", 0);
    count_open(&o);
    assert_int_equal(o.status, 0);
    check_open(&o);
    assert_true(inject_each((EVERYTHING | INJECT_COLUMN) & ~INJECT_SYSTEM, count_open, check_open,
                            &o) > 10);
}

/* Nor a connection more, nor a statement. */
static void T32_without_a_connection(void **state)
{
    struct scene s = {.f = *state};
    struct db *held[4]; /* more than are idle in a store that was opened just now */

    for (int i = 0; i < 4; i++)
        held[i] = store_acquire(s.f->store, &s.e);
    inject_start(INJECT_MEMORY | INJECT_SQLITE, 0, true);
    close_dead(&s);
    assert_int_equal(audit_rows_note_open(s.f->store, held[0], "p", 1, &s.e), AGW_ESTORE);
    inject_stop();
    assert_int_equal(s.status, AGW_ESTORE);
    for (int i = 0; i < 4; i++)
        store_release(s.f->store, held[i]);
}

/* Names that do not say which process of this host they mean are left alone. */
static void who_is_dead(void **state)
{
    struct fixture *f = *state;
    char boot[64] = "", host[200] = "", name[256];
    struct scene s = {.f = f};
    const struct {
        const char *name;
        bool with_host;
        bool dead;
    } cases[] = {
        {"", false, false}, {"nothing", false, false}, {"one:colon", false, false},
        {":1", false, false}, {"5:1", false, false},
        {"not-this-host-but-as-good:1:1", false, false}, {":2000000000:1", true, true},
    };
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");

    assert_non_null(file);
    assert_non_null(fgets(boot, sizeof boot, file));
    fclose(file);
    boot[strcspn(boot, "\n")] = '\0';
    gethostname(host, sizeof host - 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(name, sizeof name, "%s%s", cases[i].with_host ? host : "", cases[i].name);
        leave_open(f, name, boot, 0);
        close_dead(&s);
        assert_int_equal(s.status, 0);
        assert_int_equal(fixture_number(f, "SELECT count(*) FROM process"), !cases[i].dead);
        fixture_sql(f, "DELETE FROM process");
    }
    /* its boot id could not be read */
    leave_open(f, "no-colon", "", 0);
    close_dead(&s);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM process"), 1);
    fixture_sql(f, "DELETE FROM process");
    /* as long as ours, another name */
    memset(name, 'x', strlen(host));
    snprintf(name + strlen(host), sizeof name - strlen(host), ":2000000000:1");
    leave_open(f, name, boot, 0);
    close_dead(&s);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM process"), 1);
    inject_start(INJECT_COLUMN, 0, true);
    close_dead(&s);
    inject_start(INJECT_COLUMN, 1, false);
    close_dead(&s);
    inject_stop();
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM process"), 1);
}

static void check_alive(void *arg)
{
    struct scene *s = arg;

    assert_int_equal(s->status, 0);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM process"), 1);
}

/* Without descriptors neither boot id nor host name can be read: that kills nobody. */
static void T34_who_cannot_be_looked_at_is_alive(void **state)
{
    struct scene s = {.f = *state};
    struct db *db = store_acquire(s.f->store, &s.e);
    char host[200] = "", name[256];

    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "%s:%d:%llu", host, (int)getpid(),
             (unsigned long long)proc_start_time(getpid()));
    assert_int_equal(store_write_begin(s.f->store, db, &s.e), 0);
    assert_int_equal(audit_rows_note_open(s.f->store, db, name, 1, &s.e), 0);
    assert_int_equal(store_write_commit(s.f->store, db, &s.e), 0);
    store_release(s.f->store, db);
    assert_true(inject_each(INJECT_SYSTEM, close_dead, check_alive, &s) > 4);
}

/* Two days, two keys, two agents: sums are kept apart however rows are mixed. */
static void usage_is_summed_by_day_key_and_agent(void **state)
{
    struct fixture *f = *state;
    struct audit_row rows[16];

    for (int i = 0; i < 16; i++) {
        int n = i * 7 % 16;

        rows[i] = fixture_row("end", n & 1 ? "a" : NULL, n & 2 ? "default/x" : NULL);
        rows[i].ts = n & 4 ? 86400000 : 86399999;
        rows[i].outcome = n & 8 ? "denied" : "completed";
        rows[i].prompt_tokens = n & 8 ? -1 : 5;
    }
    fixture_append(f->store, rows, 16);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM usage_day WHERE requests = 2 AND"
                                       " completed = 1 AND denied = 1 AND prompt_tokens = 5"), 8);
}

/* Every integer has one spelling, and its own. */
static void numbers_are_spelt(void **state)
{
    const struct {
        int64_t number;
        const char *text;
    } cases[] = {
        {0, "1:0,"}, {9, "1:9,"}, {10, "2:10,"}, {-2, "2:-2,"},
        {INT64_MAX, "19:9223372036854775807,"}, {INT64_MIN, "20:-9223372036854775808,"},
    };
    struct audit_chain chain;
    struct err e;

    (void)state;
    assert_int_equal(audit_chain_init(&chain, &e), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_reset(&chain.canonical);
        audit_chain_number(&chain, cases[i].number);
        assert_string_equal(buf_text(&chain.canonical), cases[i].text);
    }
    buf_reset(&chain.canonical);
    audit_chain_null(&chain);
    audit_chain_text(&chain, "", 0); /* nothing and an empty text differ */
    assert_string_equal(buf_text(&chain.canonical), "-,0:,");
    audit_chain_free(&chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(T32_append_and_verify),
        TEST(T38_rows_without_proper_hashes),
        TEST(T38_good_rows_in_a_bad_chain),
        TEST(T32_query),
        TEST(an_empty_row_is_refused),
        TEST(every_filter),
        TEST(T32_closing_the_requests_of_the_dead),
        TEST(T32_counting_open_requests),
        TEST(T32_without_a_connection),
        TEST(who_is_dead),
        TEST(T34_who_cannot_be_looked_at_is_alive),
        TEST(usage_is_summed_by_day_key_and_agent),
        cmocka_unit_test(numbers_are_spelt),
    };

    return cmocka_run_group_tests_name("store/audit failures", tests, NULL, NULL);
}

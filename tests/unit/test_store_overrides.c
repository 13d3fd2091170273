/* SPDX-License-Identifier: MIT */
/* Temporary grants: made, taken back, lapsed; each once, each with its audit row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"
#include "store/overrides.h"
#include "store_fixture.h"

static void create_limited(struct store *store, const char *id, const char *key_id,
                           int64_t ttl_ms, const char *ticket, int64_t max_uses)
{
    struct audit_row row = fixture_row("override.created", "admin", "labs/*");
    char pattern[] = "labs/*", reason[] = "an 'incident'; --", by[] = "admin";
    char *key = key_id == NULL ? NULL : strdup(key_id);
    char *its_ticket = ticket == NULL ? NULL : strdup(ticket);
    struct override o = {.pattern = pattern, .key_id = key, .reason = reason,
                         .created_by = by, .created_at = store_now(store),
                         .ticket = its_ticket, .max_uses = max_uses};
    struct err e;

    o.expires_at = o.created_at + ttl_ms;
    snprintf(o.id, sizeof o.id, "%s", id);
    if (overrides_create(store, &o, &row, &e) != 0)
        fail_msg("%s", e.message);
    free(key);
    free(its_ticket);
}

static void create(struct store *store, const char *id, const char *key_id, int64_t ttl_ms)
{
    create_limited(store, id, key_id, ttl_ms, NULL, 0);
}

static struct override_list list(struct store *store, int history)
{
    struct override_list found;
    struct err e;
    struct db *db = store_acquire(store, &e);

    assert_int_equal(overrides_list(db, store_now(store), history, &found, &e), 0);
    store_release(store, db);
    return found;
}

/* Active until the millisecond it is due, and not in it. */
static void due_is_to_the_millisecond(void **state)
{
    struct fixture *f = *state;
    struct override_list found;
    struct err e;
    struct db *db;
    int64_t due;

    create(f->store, "ovr_0000000000000001", NULL, 60000);
    due = fixture_number(f, "SELECT expires_at FROM override");
    db = store_acquire(f->store, &e);
    for (int64_t now = due - 1; now <= due; now++) {
        assert_int_equal(overrides_list(db, now, 0, &found, &e), 0);
        assert_int_equal(found.count, now < due);
        override_list_clear(&found);
    }
    store_release(f->store, db);
}

static size_t count(struct store *store, int history)
{
    struct override_list found = list(store, history);
    size_t n = found.count;

    override_list_clear(&found);
    return n;
}

static void a_grant_is_stored_as_it_was_made(void **state)
{
    struct fixture *f = *state;
    uint64_t revision = store_revision(f->store);
    struct override_list found;

    create(f->store, "ovr_0000000000000001", "dev", 60000);
    create(f->store, "ovr_0000000000000002", NULL, 60000);
    assert_int_equal(store_revision(f->store), revision + 2);
    found = list(f->store, 0);
    assert_int_equal(found.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct override *o = &found.items[i];

        assert_string_equal(o->pattern, "labs/*");
        assert_string_equal(o->reason, "an 'incident'; --");
        assert_string_equal(o->created_by, "admin");
        assert_int_equal(o->expires_at - o->created_at, 60000);
        assert_int_equal(o->revoked_at, 0);
        assert_int_equal(o->expired_at, 0);
        if (strcmp(o->id, "ovr_0000000000000001") == 0)
            assert_string_equal(o->key_id, "dev");
        else
            assert_null(o->key_id);
    }
    override_list_clear(&found);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind ="
                                       " 'override.created' AND override_id IS NOT NULL"), 2);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM active_overrides"
                                       " WHERE seconds_left BETWEEN 50 AND 60"), 2);
}

/* A grant counts as the trail has it. */
static void T37_a_grant_that_the_trail_does_not_know_is_none(void **state)
{
    static const char *const changes[] = {
        "UPDATE override SET expires_at = expires_at + 1",
        "UPDATE override SET pattern = '*'",
        "UPDATE override SET key_id = NULL",
        "UPDATE override SET key_id = 'deu'",
        "UPDATE override SET id = 'ovr_0000000000000009'",
        "UPDATE override SET max_uses = max_uses + 1",
        "UPDATE override SET max_uses = NULL",
        "UPDATE override SET max_uses = 0",
        "UPDATE override SET ticket = 'OPS-2'",
        "UPDATE override SET ticket = NULL",
        "INSERT INTO override (id, pattern, created_at, expires_at)"
        " SELECT 'ovr_0000000000000008', '*', created_at, expires_at FROM override LIMIT 1;"
        " DELETE FROM override WHERE id <> 'ovr_0000000000000008'",
    };
    struct fixture *f = *state;
    struct err e;

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct db *db = store_acquire(f->store, &e);
        char id[32];

        assert_int_equal(db_exec(db, "DELETE FROM override", &e), 0);
        snprintf(id, sizeof id, "ovr_00000000000001%02zu", i);
        create_limited(f->store, id, "dev", 60000, "OPS-1", 5);
        assert_int_equal(count(f->store, 0), 1);
        if (db_exec(db, changes[i], &e) != 0)
            fail_msg("%s", e.message);
        store_release(f->store, db);
        assert_int_equal(count(f->store, 0), 0);
        assert_int_equal(count(f->store, 1), 1);
    }
}

static void append_use(struct store *store, const char *id)
{
    struct audit_row row = fixture_row("decision", "dev", "labs/a");

    row.override_id = id;
    row.source = "override";
    row.decision = "allow";
    fixture_append(store, &row, 1);
}

/* The mark of a revocation is gone, its row in the trail is not. */
static void T37_a_revoked_grant_does_not_come_back(void **state)
{
    struct fixture *f = *state;
    struct audit_row row = fixture_row("override.revoked", NULL, NULL);
    struct override revoked;
    struct db *db;
    struct err e;

    create(f->store, "ovr_0000000000000001", "dev", 60000);
    assert_int_equal(overrides_revoke(f->store, "ovr_0000000000000001", "boss", &row, &revoked,
                                      &e), 0);
    override_clear(&revoked);
    append_use(f->store, "ovr_0000000000000001"); /* decided before, on record after */
    db = store_acquire(f->store, &e);
    assert_int_equal(db_exec(db, "UPDATE override SET revoked_at = NULL,"
                                 " created_at = expires_at - 1", &e), 0);
    store_release(f->store, db);
    assert_int_equal(count(f->store, 0), 0);
}

static bool use_up(struct store *store, const char *id)
{
    struct audit_row row = fixture_row("x", NULL, NULL);
    struct override o = {0};
    bool marked;
    struct err e;

    snprintf(o.id, sizeof o.id, "%s", id);
    if (overrides_use_up(store, &o, &row, &marked, &e) != 0)
        fail_msg("%s", e.message);
    return marked;
}

static void what_is_used_up_stays_so(void **state)
{
    struct fixture *f = *state;
    struct audit_row row = fixture_row("override.revoked", NULL, NULL);
    struct override_list found, expired;
    uint64_t revision;
    struct err e;
    struct db *db;

    create_limited(f->store, "ovr_1", "dev", 60000, "OPS-1", 2);
    found = list(f->store, 0);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.items[0].ticket, "OPS-1");
    assert_int_equal(found.items[0].max_uses, 2);
    assert_int_equal(found.items[0].uses, -1);
    assert_string_equal(override_state(&found.items[0], 0), "active");
    append_use(f->store, "ovr_1");
    assert_int_equal(fixture_number(f, "SELECT uses_left FROM active_overrides"), 1);
    append_use(f->store, "ovr_1");
    db = store_acquire(f->store, &e);
    assert_int_equal(overrides_count_uses(db, &found, &e), 0);
    store_release(f->store, db);
    assert_int_equal(found.items[0].uses, 2);
    assert_string_equal(override_state(&found.items[0], 0), "used_up");
    override_list_clear(&found);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM active_overrides"), 0);
    assert_int_equal(fixture_number(f, "SELECT uses FROM override_history WHERE state ="
                                       " 'used_up' AND used_up IS NULL"), 2);
    revision = store_revision(f->store);
    assert_true(use_up(f->store, "ovr_1"));
    assert_int_equal(store_revision(f->store), revision + 1);
    assert_false(use_up(f->store, "ovr_1"));
    assert_false(use_up(f->store, "ovr_unknown"));
    assert_int_equal(store_revision(f->store), revision + 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind ="
                                       " 'override.used_up' AND override_id = 'ovr_1' AND"
                                       " key_id = 'dev' AND pattern = 'labs/*'"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM override_history WHERE state ="
                                       " 'used_up' AND used_up IS NOT NULL AND ticket ="
                                       " 'OPS-1' AND max_uses = 2"), 1);
    found = list(f->store, 0); /* decisions see it, and pass over it */
    assert_int_equal(found.count, 1);
    assert_true(override_is_spent(&found, &found.items[0]));
    override_list_clear(&found);
    assert_int_equal(overrides_revoke(f->store, "ovr_1", "boss", &row, NULL, &e),
                     AGW_ENOTFOUND);
    fixture_sql(f, "UPDATE override SET used_up_at = NULL"); /* the trail knows better */
    assert_int_equal(count(f->store, 0), 0);
    fixture_sql(f, "UPDATE override SET used_up_at = 1, expires_at = 1");
    assert_int_equal(overrides_expire(f->store, &row, &expired, &e), 0);
    assert_int_equal(expired.count, 0); /* it ended before */
}

static void a_grant_is_revoked_once(void **state)
{
    struct fixture *f = *state;
    struct audit_row row = fixture_row("override.revoked", NULL, NULL);
    struct override revoked;
    uint64_t revision;
    struct err e;

    create(f->store, "ovr_0000000000000001", "dev", 60000);
    revision = store_revision(f->store);
    assert_int_equal(overrides_revoke(f->store, "ovr_0000000000000001", "boss", &row, &revoked,
                                      &e), 0);
    assert_string_equal(revoked.revoked_by, "boss");
    assert_string_equal(revoked.pattern, "labs/*");
    assert_true(revoked.revoked_at > 0);
    override_clear(&revoked);
    assert_int_equal(store_revision(f->store), revision + 1);
    assert_int_equal(overrides_revoke(f->store, "ovr_0000000000000001", "boss", &row, NULL,
                                      &e), AGW_ENOTFOUND);
    assert_int_equal(overrides_revoke(f->store, "' OR 1=1 --", "boss", &row, NULL, &e),
                     AGW_ENOTFOUND);
    assert_int_equal(store_revision(f->store), revision + 1);
    assert_int_equal(count(f->store, 0), 0);
    assert_int_equal(count(f->store, 1), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind ="
                                       " 'override.revoked' AND agent = 'labs/*' AND"
                                       " key_id = 'dev' AND reason IS NOT NULL"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM override_history"
                                       " WHERE state = 'revoked' AND revoked_by = 'boss'"), 1);
}

static void expire(void *arg)
{
    struct store *store = fixture_open(arg);
    struct audit_row row = fixture_row("override.expired", NULL, NULL);
    struct override_list expired;
    struct err e;
    int total = 0;

    for (int i = 0; i < 40; i++) {
        assert_int_equal(overrides_expire(store, &row, &expired, &e), 0);
        total += (int)expired.count;
        override_list_clear(&expired);
        usleep(5000);
    }
    store_close(&store);
    _exit(total);
}

static void each_expiry_happens_in_exactly_one_process(void **state)
{
    struct fixture *f = *state;
    int pids[4], total = 0;

    for (int i = 0; i < 10; i++) {
        char id[OVERRIDE_ID_SIZE];

        snprintf(id, sizeof id, "ovr_%016d", i);
        create(f->store, id, NULL, 20 + 10 * i);
    }
    create(f->store, "ovr_stays", NULL, 600000);
    for (int i = 0; i < 4; i++)
        pids[i] = fixture_fork(expire, f);
    for (int i = 0; i < 4; i++)
        total += fixture_wait(pids[i]);
    assert_int_equal(total, 10);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"
                                       " WHERE kind = 'override.expired'"), 10);
    assert_int_equal(fixture_number(f, "SELECT count(DISTINCT override_id) FROM audit_event"
                                       " WHERE kind = 'override.expired'"), 10);
    assert_int_equal(count(f->store, 0), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM active_overrides"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM override_history"
                                       " WHERE state = 'expired'"), 10);
}

/* Nothing is due: no write, so no wait for a gate that somebody holds. */
static void nothing_due_costs_no_write(void **state)
{
    struct fixture *f = *state;
    struct audit_row row = fixture_row("override.expired", NULL, NULL);
    struct override_list expired;
    uint64_t revision;
    struct err e;

    create(f->store, "ovr_stays", NULL, 600000);
    revision = store_revision(f->store);
    assert_int_equal(overrides_expire(f->store, &row, &expired, &e), 0);
    assert_int_equal(expired.count, 0);
    assert_int_equal(store_revision(f->store), revision);
}

/* T39: the wall clock was a day ahead when a grant lapsed, then went back. */
static void T39_what_expired_stays_expired(void **state)
{
    struct fixture *f = *state;
    struct audit_row row = fixture_row("override.expired", NULL, NULL);
    struct override_list expired;
    char sql[128], path[160];
    struct err e;

    create(f->store, "ovr_old", NULL, 3600000);
    snprintf(sql, sizeof sql, "UPDATE meta SET value = %lld WHERE name = 'time'",
             (long long)store_now(f->store) + 86400000);
    store_close(&f->store);
    fixture_sql(f, sql);
    f->store = fixture_open(f);
    assert_int_equal(count(f->store, 0), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM active_overrides"), 0);
    assert_int_equal(overrides_expire(f->store, &row, &expired, &e), 0);
    assert_int_equal(expired.count, 1);
    override_list_clear(&expired);
    store_close(&f->store);
    fixture_sql(f, "UPDATE meta SET value = 0 WHERE name = 'time'");
    snprintf(path, sizeof path, "%s.shared", f->database);
    unlink(path);
    f->store = fixture_open(f); /* even with the high-water mark lost */
    assert_int_equal(count(f->store, 0), 0);
    create(f->store, "ovr_new", NULL, 1500); /* and a new one lapses in real time */
    assert_int_equal(count(f->store, 0), 1);
    usleep(1600000);
    assert_int_equal(count(f->store, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_grant_is_stored_as_it_was_made),
        TEST(T37_a_grant_that_the_trail_does_not_know_is_none),
        TEST(T37_a_revoked_grant_does_not_come_back),
        TEST(what_is_used_up_stays_so),
        TEST(due_is_to_the_millisecond),
        TEST(a_grant_is_revoked_once),
        TEST(each_expiry_happens_in_exactly_one_process),
        TEST(nothing_due_costs_no_write),
        TEST(T39_what_expired_stays_expired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

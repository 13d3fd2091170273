/* SPDX-License-Identifier: MIT */
/* Keys made at run time: each change once, with its proof; what the trail does not prove is no
 * key; ids and secrets belong to one key only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/configurations.h"
#include "store/db.h"
#include "store/keys.h"
#include "store/overrides.h"
#include "store_fixture.h"
#include "util/log.h"

static const struct key_row terms = {
    .id = "ci", .description = "Build 'server'", .roles = "client,admin", .hash = {1, 2, 3},
    .rate_per_minute = 120, .requests_per_day = -1, .tokens_per_day = 5000, .allow_agents = "[\"labs/*\"]", .deny_agents = "[]"};

static int try_create(struct fixture *f, const struct key_row *row, struct err *e)
{
    struct audit_row audit = fixture_row("", "boss", NULL);

    return keys_create(f->store, row, "boss", &audit, NULL, e);
}

static void create(struct fixture *f, const char *id, unsigned char first, int64_t expires_at)
{
    struct key_row row = terms;
    struct err e;

    row.id = id;
    row.hash[0] = first;
    row.expires_at = expires_at;
    if (try_create(f, &row, &e) != 0)
        fail_msg("%s", e.message);
}

static int rotate(struct fixture *f, const char *id, unsigned char first, int64_t overlap_ms,
                  struct err *e)
{
    struct audit_row audit = fixture_row("", "boss", NULL);
    unsigned char hash[SHA_SIZE] = {first};

    return keys_rotate(f->store, id, hash, overlap_ms, "other", &audit, NULL, e);
}

static int revoke(struct fixture *f, const char *id, struct err *e)
{
    struct audit_row audit = fixture_row("", "boss", NULL);

    return keys_revoke(f->store, id, "boss", &audit, NULL, e);
}

static struct key_list live(struct fixture *f, int64_t expired_after)
{
    struct key_list list;
    struct err e;
    struct db *db = store_acquire(f->store, &e);

    if (keys_live(db, expired_after, &list, &e) != 0)
        fail_msg("%s", e.message);
    store_release(f->store, db);
    return list;
}

static size_t count_live(struct fixture *f)
{
    struct key_list list = live(f, store_now(f->store));
    size_t count = list.count;

    key_list_clear(&list);
    return count;
}

static void a_key_is_stored_as_it_was_made(void **state)
{
    struct fixture *f = *state;
    uint64_t revision = store_revision(f->store);
    const struct key_record *key;
    struct key_list list;

    create(f, "ci", 1, 0);
    assert_int_equal(store_revision(f->store), revision + 1);
    assert_int_equal(fixture_number(f, "SELECT value FROM meta WHERE name = 'keys'"), 2);
    list = live(f, 0);
    assert_int_equal(list.count, 1);
    key = &list.items[0];
    assert_string_equal(key->row.id, "ci");
    assert_string_equal(key->row.description, "Build 'server'");
    assert_string_equal(key->row.roles, "client,admin");
    assert_memory_equal(key->row.hash, terms.hash, SHA_SIZE);
    assert_string_equal(key->row.allow_agents, "[\"labs/*\"]");
    assert_string_equal(key->row.deny_agents, "[]");
    assert_int_equal(key->row.rate_per_minute, 120);
    assert_int_equal(key->row.requests_per_day, -1);
    assert_int_equal(key->row.tokens_per_day, 5000);
    assert_int_equal(key->row.expires_at, 0);
    assert_int_equal(key->previous_until, 0);
    assert_string_equal(key->created_by, "boss");
    assert_true(key->created_at > 0);
    key_list_clear(&list);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind ="
                                       " 'key.created' AND place = 'key:ci' AND key_id = 'boss'"
                                       " AND detail ->> 'for_key' = 'ci' AND reason IS NOT NULL"
                                       " AND detail NOT LIKE '%010203%'"), 1);
}

static void rotation_keeps_the_secret_before(void **state)
{
    struct fixture *f = *state;
    struct key_list list;
    struct err e;

    create(f, "ci", 1, 0);
    assert_int_equal(rotate(f, "ci", 9, 60000, &e), 0);
    list = live(f, 0);
    assert_int_equal(list.items[0].row.hash[0], 9);
    assert_int_equal(list.items[0].previous_hash[0], 1);
    assert_int_equal(list.items[0].previous_until, list.items[0].rotated_at + 60000);
    assert_string_equal(list.items[0].rotated_by, "other");
    key_list_clear(&list);
    assert_int_equal(rotate(f, "ci", 8, 60000, &e), 0); /* one before the last ends */
    list = live(f, 0);
    assert_int_equal(list.items[0].previous_hash[0], 9);
    key_list_clear(&list);
    assert_int_equal(rotate(f, "ci", 7, 0, &e), 0);
    list = live(f, 0);
    assert_int_equal(list.items[0].row.hash[0], 7);
    assert_int_equal(list.items[0].previous_until, 0);
    assert_int_equal(list.items[0].previous_hash[0], 0);
    key_list_clear(&list);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind ="
                                       " 'key.rotated' AND place = 'key:ci'"), 3);
}

static void revoked_once_and_for_good(void **state)
{
    struct fixture *f = *state;
    uint64_t revision;
    struct err e;

    create(f, "ci", 1, 0);
    revision = store_revision(f->store);
    assert_int_equal(revoke(f, "ci", &e), 0);
    assert_int_equal(store_revision(f->store), revision + 1);
    assert_int_equal(count_live(f), 0);
    assert_int_equal(revoke(f, "ci", &e), AGW_ECONFLICT);
    assert_true(e.is_public && strstr(e.message, "revoked at") != NULL);
    assert_int_equal(rotate(f, "ci", 2, 0, &e), AGW_ECONFLICT);
    assert_int_equal(revoke(f, "nobody", &e), AGW_ENOTFOUND);
    assert_int_equal(rotate(f, "' OR 1=1 --", 2, 0, &e), AGW_ENOTFOUND);
    assert_int_equal(store_revision(f->store), revision + 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event WHERE kind ="
                                       " 'key.revoked'"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key_health WHERE health ="
                                       " 'revoked' AND revoked_by = 'boss'"), 1);
}

static void an_id_is_free_when_its_key_has_ended(void **state)
{
    struct fixture *f = *state;
    int64_t now = store_now(f->store);
    struct key_list list;
    struct err e;
    struct db *db;

    create(f, "ci", 1, 0);
    assert_int_equal(try_create(f, &terms, &e), AGW_ECONFLICT);
    assert_string_equal(e.param, "id");
    assert_int_equal(revoke(f, "ci", &e), 0);
    create(f, "ci", 2, now + 1000000);
    assert_int_equal(count_live(f), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key_health WHERE id = 'ci'"), 2);
    /* expired is ended, too; its row says so from then on */
    fixture_sql(f, "UPDATE api_key SET expires_at = 5 WHERE id = 'ci'");
    assert_int_equal(rotate(f, "ci", 5, 0, &e), AGW_ECONFLICT);
    create(f, "ci", 3, 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key_health WHERE id = 'ci' AND"
                                       " health IN ('revoked', 'removed', 'no expiry')"), 3);
    db = store_acquire(f->store, &e);
    assert_int_equal(keys_ever(db, &list, &e), 0);
    store_release(f->store, db);
    assert_int_equal(list.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(list.items[i].row.id, "ci");
        assert_int_equal(list.items[i].row.hash[0], 0); /* no secrets of the past */
    }
    assert_true(list.items[0].revoked_at > 0 && list.items[1].removed_at > 0);
    assert_int_equal(list.items[2].revoked_at + list.items[2].removed_at, 0);
    key_list_clear(&list);
}

/* What an ended key had been granted must not pass to the next of its name. */
static void grants_are_not_inherited(void **state)
{
    struct fixture *f = *state;
    char pattern[] = "labs/*", key_id[] = "ci";
    struct override o = {.id = "ovr_1", .pattern = pattern, .key_id = key_id};
    struct audit_row row = fixture_row("", "boss", NULL);
    struct err e;

    create(f, "ci", 1, 0);
    o.created_at = store_now(f->store);
    o.expires_at = o.created_at + 60000;
    assert_int_equal(overrides_create(f->store, &o, &row, &e), 0);
    assert_int_equal(revoke(f, "ci", &e), 0);
    assert_int_equal(try_create(f, &terms, &e), AGW_ECONFLICT);
    assert_non_null(strstr(e.message, "ovr_1"));
    assert_int_equal(overrides_revoke(f->store, "ovr_1", "boss", &row, NULL, &e), 0);
    assert_int_equal(try_create(f, &terms, &e), 0);
}

/* T37: what a shell, or a failing disk, can do to a row. None of it is a key then. */
static void T37_a_key_that_the_trail_does_not_know_is_none(void **state)
{
    static const char *const changes[] = {
        "UPDATE api_key SET hash = replace(hash, '0', '1')",
        "UPDATE api_key SET hash = 'nonsense'",
        "UPDATE api_key SET hash = ''",
        "UPDATE api_key SET roles = 'client,auditor,admin'",
        "UPDATE api_key SET roles = 'admin\",\"x\":\"'",
        "UPDATE api_key SET allow_agents = NULL",
        "UPDATE api_key SET allow_agents = '[\"*\"]'",
        "UPDATE api_key SET allow_agents = 'nonsense'",
        "UPDATE api_key SET deny_agents = NULL",
        "UPDATE api_key SET rate_limit_per_minute = NULL",
        "UPDATE api_key SET rate_limit_per_minute = 121",
        "UPDATE api_key SET budget_requests_per_day = 0",
        "UPDATE api_key SET budget_tokens_per_day = NULL",
        "UPDATE api_key SET expires_at = NULL",
        "UPDATE api_key SET expires_at = expires_at + 1",
        "UPDATE api_key SET previous_hash = hash, previous_until = 9000000000000",
        "UPDATE api_key SET previous_until = 1",
        "UPDATE api_key SET id = 'cj'",
        "UPDATE api_key SET origin = 'file'",
        "UPDATE api_key SET id = 'c' || char(1)",
    };
    struct fixture *f = *state;
    struct err e;

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct db *db = store_acquire(f->store, &e);

        assert_int_equal(db_exec(db, "DELETE FROM api_key", &e), 0);
        create(f, "ci", 1, 9000000000000);
        assert_int_equal(count_live(f), 1);
        if (db_exec(db, changes[i], &e) != 0)
            fail_msg("%s", e.message);
        store_release(f->store, db);
        if (count_live(f) != 0)
            fail_msg("still a key after: %s", changes[i]);
    }
}

/* One bit of one value, again and again: what is left is the key as it was made, or none. */
static void T37_flipped_bits_make_no_other_key(void **state)
{
    enum { FLIPS = 1500 };
    static const char *const columns[] = {
        "id", "origin", "roles", "hash", "allow_agents", "deny_agents", "rate_limit_per_minute",
        "allow_tools", "deny_tools",
        "budget_tokens_per_day", "expires_at", "previous_hash", "previous_until", "description",
        "created_at", "created_by", "was_plaintext", "last_used_at", "generation"};
    struct fixture *f = *state;
    struct key_record before;
    struct key_list list;
    int kept = 0;
    struct err e;
    struct db *db;

    create(f, "ci", 1, 9000000000000);
    assert_int_equal(rotate(f, "ci", 2, 60000, &e), 0);
    list = live(f, 0);
    before = list.items[0];
    db = store_acquire(f->store, &e);
    assert_int_equal(db_exec(db, "CREATE TABLE sound AS SELECT * FROM api_key", &e), 0);
    srandom(37);
    log_set_level(LOG_ERROR + 1);
    for (int i = 0; i < FLIPS; i++) {
        const char *column = columns[(size_t)random() % (sizeof columns / sizeof columns[0])];
        long bit = 1L << random() % 7, at = random() % 64;
        struct key_list flipped;
        char sql[600];

        snprintf(sql, sizeof sql,
                 "UPDATE api_key SET %s = CASE typeof(%s) WHEN 'text' THEN substr(%s, 1, %ld) ||"
                 " char((unicode(substr(%s, %ld, 1)) | %ld) - (unicode(substr(%s, %ld, 1)) & %ld))"
                 " || substr(%s, %ld) WHEN 'integer' THEN (%s | %ld << %ld) - (%s & %ld << %ld)"
                 " END WHERE %s IS NOT NULL AND (typeof(%s) = 'integer' OR length(%s) > %ld)",
                 column, column, column, at, column, at + 1, bit, column, at + 1, bit, column,
                 at + 2, column, bit, at % 40, column, bit, at % 40, column, column, column, at);
        if (db_exec(db, sql, &e) != 0)
            fail_msg("%s: %s", sql, e.message);
        flipped = live(f, 0);
        assert_true(flipped.count <= 1);
        if (flipped.count == 1) {
            const struct key_record *key = &flipped.items[0];

            kept++;
            assert_string_equal(key->row.id, before.row.id);
            assert_string_equal(key->row.roles, before.row.roles);
            assert_string_equal(key->row.allow_agents, before.row.allow_agents);
            assert_string_equal(key->row.deny_agents, before.row.deny_agents);
            assert_memory_equal(key->row.hash, before.row.hash, SHA_SIZE);
            assert_memory_equal(key->previous_hash, before.previous_hash, SHA_SIZE);
            assert_int_equal(key->previous_until, before.previous_until);
            assert_int_equal(key->row.expires_at, before.row.expires_at);
            assert_int_equal(key->row.rate_per_minute, before.row.rate_per_minute);
            assert_int_equal(key->row.tokens_per_day, before.row.tokens_per_day);
        }
        key_list_clear(&flipped);
        assert_int_equal(db_exec(db, "DELETE FROM api_key; INSERT INTO api_key SELECT * FROM"
                                     " sound", &e), 0);
    }
    log_set_level(LOG_ERROR);
    store_release(f->store, db);
    key_list_clear(&list);
    assert_in_range(kept, FLIPS / 20, FLIPS * 3 / 4); /* what rights do not hang on */
}

/* An old state of the row, with a proof of its time, is not the newest. */
static void T37_nothing_ended_comes_back(void **state)
{
    struct fixture *f = *state;
    struct err e;

    create(f, "ci", 1, 0);
    fixture_sql(f, "CREATE TABLE before AS SELECT * FROM api_key");
    assert_int_equal(rotate(f, "ci", 2, 0, &e), 0);
    fixture_sql(f, "CREATE TABLE rotated AS SELECT * FROM api_key;"
                   "DELETE FROM api_key; INSERT INTO api_key SELECT * FROM before");
    assert_int_equal(count_live(f), 0);
    fixture_sql(f, "DELETE FROM api_key; INSERT INTO api_key SELECT * FROM rotated");
    assert_int_equal(count_live(f), 1);
    assert_int_equal(revoke(f, "ci", &e), 0);
    fixture_sql(f, "UPDATE api_key SET revoked_at = NULL, revoked_by = NULL");
    assert_int_equal(count_live(f), 0);
}

/* A change by rights must not make good a change without. */
static void T37_nothing_unproven_gets_a_proof(void **state)
{
    struct fixture *f = *state;
    struct audit_row audit = fixture_row("", "boss", NULL);
    int64_t carried;
    struct err e;
    struct db *db;

    create(f, "ci", 1, 0);
    fixture_sql(f, "UPDATE api_key SET roles = 'client,auditor,admin'");
    assert_int_equal(rotate(f, "ci", 2, 60000, &e), AGW_ECONFLICT);
    assert_non_null(strstr(e.message, "audit trail"));
    db = store_acquire(f->store, &e);
    assert_int_equal(store_write_begin(f->store, db, &e), 0);
    assert_int_equal(keys_carry_proofs(f->store, db, 1000, &audit, &carried, &e), 0);
    assert_int_equal(store_write_commit(f->store, db, &e), 0);
    store_release(f->store, db);
    assert_int_equal(carried, 0);
    assert_int_equal(count_live(f), 0);
    assert_int_equal(revoke(f, "ci", &e), 0); /* but it can be done away with */
}

static void proofs_survive_pruning(void **state)
{
    struct fixture *f = *state;
    struct audit_row audit = fixture_row("", NULL, NULL);
    int64_t carried, head;
    struct err e;
    struct db *db;

    create(f, "a", 1, 0);
    create(f, "b", 2, 0);
    create(f, "c", 3, 0);
    assert_int_equal(revoke(f, "b", &e), 0);
    assert_int_equal(rotate(f, "c", 4, 60000, &e), 0); /* its proof is seq 5 */
    db = store_acquire(f->store, &e);
    assert_int_equal(store_write_begin(f->store, db, &e), 0);
    assert_int_equal(keys_carry_proofs(f->store, db, 5, &audit, &carried, &e), 0);
    assert_int_equal(store_write_commit(f->store, db, &e), 0);
    store_release(f->store, db);
    assert_int_equal(carried, 1); /* a; b has ended, c is young enough */
    head = fixture_number(f, "SELECT max(seq) FROM audit_event");
    assert_int_equal(head, 6);
    fixture_sql(f, "DROP TRIGGER audit_event_no_delete; DELETE FROM audit_event WHERE seq < 5");
    assert_int_equal(count_live(f), 2);
    fixture_sql(f, "DELETE FROM audit_event WHERE seq < 6");
    assert_int_equal(count_live(f), 1);
}

struct clashes {
    int count;
    size_t key;
    char problem[300];
};

static void note_clash(void *arg, size_t key, const char *problem)
{
    struct clashes *c = arg;

    c->count++;
    c->key = key;
    snprintf(c->problem, sizeof c->problem, "%s", problem);
}

static int accept(struct fixture *f, char digit, const struct key_row *keys, size_t count,
                  struct clashes *clashes)
{
    struct configuration c = {.sources = "{}", .keys = keys, .key_count = count,
                              .clash = clashes == NULL ? NULL : note_clash,
                              .clash_arg = clashes};
    int64_t generation;
    struct err e;

    memset(c.hash, digit, sizeof c.hash - 1);
    c.hash[sizeof c.hash - 1] = '\0';
    return configurations_accept(f->store, "/a", &c, &generation, &e);
}

static void a_file_may_not_take_what_a_live_key_has(void **state)
{
    static const struct key_row same_id[] = {{.id = "x", .roles = "client", .hash = {40}},
                                             {.id = "ci", .roles = "client", .hash = {41}}};
    static const struct key_row same_secret[] = {
        {.id = "y", .roles = "client", .hash = {1, 2, 3}}};
    struct fixture *f = *state;
    struct clashes clashes = {0};
    struct err e;

    create(f, "ci", 1, 0);
    assert_int_equal(accept(f, 'a', same_id, 2, &clashes), AGW_ECONFIG);
    assert_int_equal(clashes.count, 1);
    assert_int_equal(clashes.key, 1);
    assert_non_null(strstr(clashes.problem, "'ci' is taken"));
    assert_int_equal(accept(f, 'b', same_secret, 1, &clashes), AGW_ECONFIG);
    assert_non_null(strstr(clashes.problem, "same secret"));
    assert_int_equal(accept(f, 'b', same_secret, 1, NULL), AGW_ECONFIG);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM configuration"), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM api_key"), 1);
    /* the secret before is one, too, as long as it is valid */
    assert_int_equal(rotate(f, "ci", 9, 60000, &e), 0);
    assert_int_equal(accept(f, 'b', same_secret, 1, NULL), AGW_ECONFIG);
    assert_int_equal(rotate(f, "ci", 8, 0, &e), 0);
    assert_int_equal(accept(f, 'b', same_secret, 1, NULL), 0);
    assert_int_equal(revoke(f, "ci", &e), 0);
    assert_int_equal(accept(f, 'a', same_id, 2, NULL), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key_health WHERE id = 'ci' AND"
                                       " health <> 'revoked' AND origin = 'file'"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key_health WHERE id = 'ci' AND"
                                       " health = 'revoked' AND origin = 'database'"), 1);
    /* and the other way round */
    assert_int_equal(try_create(f, &terms, &e), AGW_ECONFLICT);
    assert_non_null(strstr(e.message, "security.yaml"));
    assert_int_equal(revoke(f, "ci", &e), AGW_ECONFLICT);
    assert_int_equal(rotate(f, "ci", 1, 0, &e), AGW_ECONFLICT);
    assert_int_equal(accept(f, 'b', same_secret, 1, NULL), 0);
    create(f, "ci", 77, 0);
}

/* A week after its end nobody has to look at it any more; its id is free, its past is kept. */
static void what_expired_long_ago_is_put_away(void **state)
{
    struct fixture *f = *state;
    int64_t now = store_now(f->store);
    struct err e;
    char sql[200];

    create(f, "old", 1, now + 1000);
    create(f, "young", 2, now + 1000);
    create(f, "ever", 3, 0);
    assert_int_equal(keys_retire(f->store, &e), 0);
    assert_int_equal(fixture_number(f, "SELECT count(removed_at) FROM api_key"), 0);
    snprintf(sql, sizeof sql, "UPDATE api_key SET expires_at = %lld WHERE id = 'old';"
             "UPDATE api_key SET expires_at = %lld WHERE id = 'young'",
             (long long)now - 7 * 86400000 - 1, (long long)now - 7 * 86400000 + 60000);
    fixture_sql(f, sql);
    assert_int_equal(keys_retire(f->store, &e), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key_health WHERE health ="
                                       " 'removed' AND id = 'old'"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(removed_at) FROM api_key"), 1);
    create(f, "old", 4, 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key_health WHERE id = 'old'"), 2);
}

static void the_list_tells_origin_and_health(void **state)
{
    static const struct key_row file[] = {
        {.id = "dev", .roles = "client", .was_plaintext = 1, .rate_per_minute = -1}};
    static const struct {
        struct key_filter filter;
        const char *found;
    } cases[] = {
        {{0}, "ci:no expiry,dev:plaintext,late:expired,old:unrecorded,soon:expiring,"},
        {{.ended = true},
         "ci:no expiry,dev:plaintext,gone:revoked,late:expired,old:unrecorded,soon:expiring,"},
        {{.origin = "file"}, "dev:plaintext,"},
        {{.id = "ci"}, "ci:no expiry,"},
        {{.health = "expiring"}, "soon:expiring,"},
        {{.health = "revoked"}, ""},
        {{.origin = "nonsense"}, ""},
    };
    struct fixture *f = *state;
    int64_t now = store_now(f->store);
    struct err e;
    struct db *db;

    assert_int_equal(accept(f, 'a', file, 1, NULL), 0);
    create(f, "ci", 1, 0);
    create(f, "gone", 2, 0);
    create(f, "soon", 3, now + 86400000);
    create(f, "late", 4, 1000);
    create(f, "old", 5, 0);
    assert_int_equal(revoke(f, "gone", &e), 0);
    fixture_sql(f, "UPDATE api_key SET roles = 'auditor' WHERE id = 'old'");
    db = store_acquire(f->store, &e);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char found[200] = "";
        size_t at, used = 0;
        json_t *list, *key;

        if (keys_list(db, &cases[i].filter, &list, &e) != 0)
            fail_msg("%s", e.message);
        json_array_foreach(list, at, key)
        {
            used += (size_t)snprintf(found + used, sizeof found - used, "%s:%s,",
                                     json_string_value(json_object_get(key, "id")),
                                     json_string_value(json_object_get(key, "health")));
            assert_null(json_object_get(key, "hash"));
            assert_null(json_object_get(key, "row_id"));
        }
        assert_string_equal(found, cases[i].found);
        json_decref(list);
    }
    store_release(f->store, db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_key_is_stored_as_it_was_made),
        TEST(rotation_keeps_the_secret_before),
        TEST(revoked_once_and_for_good),
        TEST(an_id_is_free_when_its_key_has_ended),
        TEST(grants_are_not_inherited),
        TEST(T37_a_key_that_the_trail_does_not_know_is_none),
        TEST(T37_flipped_bits_make_no_other_key),
        TEST(T37_nothing_ended_comes_back),
        TEST(T37_nothing_unproven_gets_a_proof),
        TEST(proofs_survive_pruning),
        TEST(a_file_may_not_take_what_a_live_key_has),
        TEST(what_expired_long_ago_is_put_away),
        TEST(the_list_tells_origin_and_health),
    };

    return cmocka_run_group_tests_name("store/keys at run time", tests, NULL, NULL);
}

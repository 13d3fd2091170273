/* SPDX-License-Identifier: MIT */
/* Configurations by content, the keys they bring, and the ring of recent errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/configurations.h"
#include "store/errors_ring.h"
#include "store/keys.h"
#include "store_fixture.h"

static const struct key_row two_keys[] = {
    {.id = "dev", .description = "Local", .roles = "client,admin", .was_plaintext = 1,
     .rate_per_minute = 120, .allow_agents = "[\"*\"]"},
    {.id = "ci", .roles = "client", .hash = {1, 2, 3}, .expires_at = 1900000000000,
     .rate_per_minute = -1, .deny_agents = "[]"},
};

static int64_t accept(struct store *store, const char *origin, char digit,
                      const struct key_row *keys, size_t count)
{
    struct configuration c = {.sources = "{\"gateway\":{}}", .keys = keys, .key_count = count};
    int64_t generation;
    struct err e;

    memset(c.hash, digit, sizeof c.hash - 1);
    c.hash[sizeof c.hash - 1] = '\0';
    if (configurations_accept(store, origin, &c, &generation, &e) != 0)
        fail_msg("%s", e.message);
    return generation;
}

static void a_generation_numbers_a_content(void **state)
{
    struct fixture *f = *state;
    uint64_t revision = store_revision(f->store);
    int64_t current;
    struct err e;
    struct db *db;
    char *sources;

    assert_int_equal(accept(f->store, "/a", 'a', two_keys, 2), 1);
    assert_int_equal(store_revision(f->store), revision + 1);
    assert_int_equal(accept(f->store, "/a", 'a', two_keys, 2), 1);
    assert_int_equal(store_revision(f->store), revision + 1); /* nothing changed */
    assert_int_equal(accept(f->store, "/a", 'b', two_keys, 2), 2);
    assert_int_equal(accept(f->store, "/b", 'b', two_keys, 2), 2);
    assert_int_equal(accept(f->store, "/a", 'a', two_keys, 2), 1); /* back again */
    assert_int_equal(store_revision(f->store), revision + 4);
    db = store_acquire(f->store, &e);
    assert_int_equal(configurations_current(db, "/a", &current, &e), 0);
    assert_int_equal(current, 1);
    assert_int_equal(configurations_current(db, "/b", &current, &e), 0);
    assert_int_equal(current, 2);
    assert_int_equal(configurations_current(db, "/c", &current, &e), 0);
    assert_int_equal(current, 0);
    assert_int_equal(configurations_sources(db, 2, &sources, &e), 0);
    assert_string_equal(sources, "{\"gateway\":{}}");
    free(sources);
    assert_int_equal(configurations_sources(db, 3, &sources, &e), AGW_ENOTFOUND);
    store_release(f->store, db);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM configuration_change"), 4);
}

static void keys_follow_the_file(void **state)
{
    struct fixture *f = *state;
    struct key_row changed[2];
    json_t *list, *dev;
    struct err e;
    struct db *db;

    accept(f->store, "/a", 'a', two_keys, 2);
    memcpy(changed, two_keys, sizeof changed);
    changed[0].roles = "client";
    accept(f->store, "/a", 'b', changed, 1); /* ci is gone */
    assert_int_equal(fixture_number(f, "SELECT generation FROM api_key WHERE id = 'dev'"), 2);
    assert_int_equal(fixture_number(f, "SELECT removed_at IS NOT NULL FROM api_key"
                                       " WHERE id = 'ci'"), 1);
    accept(f->store, "/a", 'c', changed, 2); /* and back */
    assert_int_equal(fixture_number(f, "SELECT generation FROM api_key WHERE id = 'dev'"), 2);
    assert_int_equal(fixture_number(f, "SELECT removed_at IS NULL FROM api_key"
                                       " WHERE id = 'ci'"), 1);
    db = store_acquire(f->store, &e);
    assert_int_equal(keys_list(db, &(struct key_filter){.ended = true}, &list, &e), 0);
    store_release(f->store, db);
    assert_int_equal(json_array_size(list), 2);
    dev = json_array_get(list, 1);
    assert_string_equal(json_string_value(json_object_get(dev, "id")), "dev");
    assert_true(json_is_false(json_object_get(dev, "hashed")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(dev, "roles"), 0)),
                        "client");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(dev, "allow_agents"), 0)), "*");
    assert_true(json_is_null(json_object_get(dev, "expires_at")));
    assert_int_equal(json_integer_value(json_object_get(dev, "rate_limit_per_minute")), 120);
    assert_null(json_object_get(dev, "hash"));
    json_decref(list);
}

static void uses_are_remembered(void **state)
{
    struct fixture *f = *state;
    const char *ids[] = {"dev", "nobody"};
    const int64_t later[] = {2000, 2000}, earlier[] = {1000, 1000};
    struct err e;

    accept(f->store, "/a", 'a', two_keys, 2);
    assert_int_equal(keys_note_used(f->store, ids, later, 2, &e), 0);
    assert_int_equal(keys_note_used(f->store, ids, earlier, 2, &e), 0);
    assert_int_equal(fixture_number(f, "SELECT last_used_at FROM api_key WHERE id = 'dev'"),
                     2000);
    assert_int_equal(fixture_number(f, "SELECT last_used_at FROM api_key WHERE id = 'ci'"), -1);
}

static void the_ring_keeps_the_newest(void **state)
{
    struct fixture *f = *state;
    struct error_entry entry = {.ts = 1000, .component = "security", .kind = "config",
                                .severity = "error", .subject = "conf/security.yaml",
                                .message = "unknown key \xfe'"};
    json_t *list;
    struct err e;
    struct db *db;

    for (int i = 0; i < ERRORS_RING_MAX + 20; i++) {
        entry.ts = 1000 + i;
        assert_int_equal(errors_ring_add(f->store, &entry, 1, &e), 0);
    }
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM recent_error"), ERRORS_RING_MAX);
    assert_int_equal(fixture_number(f, "SELECT min(ts) FROM recent_error"), 1020);
    db = store_acquire(f->store, &e);
    assert_int_equal(errors_ring_list(db, 3, &list, &e), 0);
    store_release(f->store, db);
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "ts")),
                        "1970-01-01T00:00:01.519Z");
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "message")),
                        "unknown key \xef\xbf\xbd'");
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_generation_numbers_a_content),
        TEST(keys_follow_the_file),
        TEST(uses_are_remembered),
        TEST(the_ring_keeps_the_newest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

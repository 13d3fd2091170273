/* SPDX-License-Identifier: MIT */
/* Run-time keys as policy sees them: their secrets, the one index for both kinds, and that a
 * set is read anew when, and only when, a key changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_config.h"
#include "inject.h"
#include "policy/authenticate.h"
#include "policy/key_admin.h"
#include "policy/key_set.h"
#include "store/db.h"
#include "store_fixture.h"
#include "util/log.h"

static const char security[] =
    "version: 1\napi_keys:\n  - {id: dev, key: dev-secret}\n  - {id: boss, key: boss-secret}\n";

struct scene {
    struct fixture *f;
    struct config *config;
    struct audit_row audit;
    struct key_admin admin;
    struct key_set *set, *other;
    int status;
    struct err e;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    assert_int_equal(fixture_setup((void **)&s->f), 0);
    s->config = build_config(security, NULL);
    s->audit = fixture_row("", "boss", NULL);
    s->admin = (struct key_admin){.store = s->f->store, .security = &s->config->security,
                                  .by = "boss", .audit = &s->audit};
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    key_set_release(&s->set);
    key_set_release(&s->other);
    config_release(&s->config);
    fixture_teardown((void **)&s->f);
    free(s);
    return 0;
}

static void create(struct scene *s, const char *id, const char *allow, int64_t expires_at,
                   char secret[KEY_SECRET_SIZE])
{
    struct key_row row = {.id = id, .roles = "client", .rate_per_minute = -1, .requests_per_day = -1, .tokens_per_day = -1,
                          .allow_agents = allow, .expires_at = expires_at};
    struct key_list done;

    if (key_admin_create(&s->admin, &row, secret, &done, &s->e) != 0)
        fail_msg("%s", s->e.message);
    assert_string_equal(done.items[0].row.id, id);
    key_list_clear(&done);
}

static void rotate(struct scene *s, const char *id, int64_t overlap_s,
                   char secret[KEY_SECRET_SIZE])
{
    struct key_list done;

    if (key_admin_rotate(&s->admin, id, overlap_s, secret, &done, &s->e) != 0)
        fail_msg("%s", s->e.message);
    key_list_clear(&done);
}

static struct key_set *read_set(struct scene *s, struct key_set *running)
{
    struct db *db = store_acquire(s->f->store, &s->e);
    struct key_set *set;

    if (key_set_read(db, store_now(s->f->store), running, &set, &s->e) != 0)
        fail_msg("%s", s->e.message);
    store_release(s->f->store, db);
    return set;
}

static const char *letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* The checksum as doc/API.md says it, by other code: bit by bit, most significant first. */
static void a_secret_has_its_checksum(void **state)
{
    char secret[KEY_SECRET_SIZE], before[KEY_SECRET_SIZE] = "";
    int seen[62] = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint32_t crc = 0xffffffff;
        uint64_t said = 0;

        assert_int_equal(key_secret_new(secret), 0);
        assert_int_equal(strlen(secret), 40);
        assert_memory_equal(secret, "agw_", 4);
        assert_int_equal(strspn(secret + 4, letters), 36);
        assert_string_not_equal(secret, before);
        for (int c = 4; c < 34; c++) {
            seen[strchr(letters, secret[c]) - letters]++;
            for (int bit = 0; bit < 8; bit++) {
                uint32_t input = (uint32_t)secret[c] >> bit & 1;

                crc = (crc & 1) != input ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
            }
        }
        for (int c = 34; c < 40; c++)
            said = 62 * said + (uint64_t)(strchr(letters, secret[c]) - letters);
        assert_int_equal(said, crc ^ 0xffffffff);
        memcpy(before, secret, sizeof before);
    }
    for (int i = 0; i < 62; i++) /* 484 are to be expected, 22 the standard deviation */
        assert_in_range(seen[i], 300, 700);
}

static void one_index_knows_both_kinds(void **state)
{
    struct scene *s = *state;
    char secret[KEY_SECRET_SIZE];
    const struct config_key *key;
    struct key_index *index;

    create(s, "ci", "[\"labs/*\",\"x\"]", 0, secret);
    s->set = read_set(s, NULL);
    index = authenticate_index_new(&s->config->security, s->set);
    assert_int_equal(authenticate(index, NULL, "dev-secret", 0, &key, &s->e), 0);
    assert_string_equal(key->id, "dev");
    assert_false(key_set_has(s->set, key));
    assert_ptr_equal(authenticate_find_id(index, "dev"), key);
    assert_int_equal(authenticate(index, NULL, secret, 0, &key, &s->e), 0);
    assert_string_equal(key->id, "ci");
    assert_true(key_set_has(s->set, key));
    assert_false(key_set_has(s->set, key + 1));
    assert_ptr_equal(authenticate_find_id(index, "ci"), key);
    assert_null(authenticate_find_id(index, "c"));
    assert_int_equal(key->roles, ROLE_CLIENT);
    assert_true(key->allow_agents.present);
    assert_false(key->deny_agents.present);
    assert_int_equal(key->allow_agents.count, 2);
    assert_string_equal(key->allow_agents.patterns[1], "x");
    assert_string_equal(key->allow_agents.places[1].file, "key:ci");
    assert_int_equal(key->place.line, 0);
    secret[39] = secret[39] == '0' ? '1' : '0'; /* a wrong checksum is a wrong key */
    assert_int_equal(authenticate(index, NULL, secret, 0, &key, &s->e), AGW_EBADKEY);
    assert_null(key);
    authenticate_index_free(&index);
}

static void the_old_secret_ends_with_the_overlap(void **state)
{
    struct scene *s = *state;
    char first[KEY_SECRET_SIZE], second[KEY_SECRET_SIZE], third[KEY_SECRET_SIZE];
    const struct config_key *key;
    struct key_index *index;
    int64_t until;

    create(s, "ci", NULL, 0, first);
    rotate(s, "ci", 60, second);
    s->set = read_set(s, NULL);
    until = s->set->records[0].previous_until;
    index = authenticate_index_new(&s->config->security, s->set);
    assert_int_equal(authenticate(index, NULL, first, until - 1, &key, &s->e), 0);
    assert_int_equal(authenticate(index, NULL, second, until - 1, &key, &s->e), 0);
    assert_int_equal(authenticate(index, NULL, second, until, &key, &s->e), 0);
    assert_int_equal(authenticate(index, NULL, first, until, &key, &s->e), AGW_EBADKEY);
    assert_string_equal(key->id, "ci"); /* for the audit */
    authenticate_index_free(&index);
    rotate(s, "ci", 0, third);
    s->other = read_set(s, s->set);
    index = authenticate_index_new(&s->config->security, s->other);
    assert_int_equal(authenticate(index, NULL, first, 0, &key, &s->e), AGW_EBADKEY);
    assert_int_equal(authenticate(index, NULL, second, 0, &key, &s->e), AGW_EBADKEY);
    assert_int_equal(authenticate(index, NULL, third, 0, &key, &s->e), 0);
    authenticate_index_free(&index);
}

static void expiry_ends_both_secrets(void **state)
{
    struct scene *s = *state;
    char first[KEY_SECRET_SIZE], second[KEY_SECRET_SIZE];
    int64_t due = store_now(s->f->store) + 3600000;
    const struct config_key *key;
    struct key_index *index;

    create(s, "ci", NULL, due, first);
    rotate(s, "ci", 86400, second);
    s->set = read_set(s, NULL);
    index = authenticate_index_new(&s->config->security, s->set);
    assert_int_equal(authenticate(index, NULL, first, due - 1, &key, &s->e), 0);
    assert_int_equal(authenticate(index, NULL, second, due - 1, &key, &s->e), 0);
    assert_int_equal(authenticate(index, NULL, first, due, &key, &s->e), AGW_EBADKEY);
    assert_int_equal(authenticate(index, NULL, second, due, &key, &s->e), AGW_EBADKEY);
    authenticate_index_free(&index);
}

static void a_set_is_read_when_a_key_changed(void **state)
{
    struct scene *s = *state;
    char secret[KEY_SECRET_SIZE];
    struct key_list done;

    create(s, "a", NULL, 0, secret);
    create(s, "b", NULL, 0, secret);
    s->set = read_set(s, NULL);
    s->other = read_set(s, s->set);
    assert_ptr_equal(s->set, s->other);
    key_set_release(&s->other);
    atomic_store(&s->set->last_used[1], 77); /* used, not written down yet */
    create(s, "0", NULL, 0, secret);
    assert_int_equal(key_admin_revoke(&s->admin, "a", &done, &s->e), 0);
    key_list_clear(&done);
    s->other = read_set(s, s->set);
    assert_ptr_not_equal(s->set, s->other);
    assert_int_equal(s->other->count, 2);
    assert_string_equal(s->other->keys[1].id, "b");
    assert_int_equal(s->other->last_used[0], 0);
    assert_int_equal(s->other->last_used[1], 77);
    assert_int_equal(s->set->last_used[1], 0);
    /* another key of that name has not been used by anybody */
    assert_int_equal(key_admin_revoke(&s->admin, "b", &done, &s->e), 0);
    key_list_clear(&done);
    create(s, "b", NULL, 0, secret);
    key_set_release(&s->set);
    fixture_sql(s->f, "UPDATE api_key SET created_at = created_at + 1 WHERE id = 'b'");
    s->set = read_set(s, s->other);
    assert_string_equal(s->set->keys[1].id, "b");
    assert_int_equal(s->set->last_used[1], 0);
}

/* At each moment those that had been made and had not ended; and for how long that is so. */
static void the_past_is_kept(void **state)
{
    static const struct {
        int64_t at;
        const char *ids;
        int64_t from, until;
    } cases[] = {{50, "", INT64_MIN, 100}, {100, "a", 100, 150}, {150, "a b", 150, 200},
                 {199, "a b", 150, 200}, {200, "b", 200, 300}, {299, "b", 200, 300},
                 {300, "", 300, 400}, {400, "a", 400, INT64_MAX}};
    static const struct key_row a = {.id = "a", .roles = "client"};
    static const struct key_row b = {.id = "b", .roles = "admin", .expires_at = 7};
    struct key_record records[] = {
        {.row = a, .created_at = 100, .revoked_at = 200}, {.row = a, .created_at = 400},
        {.row = b, .created_at = 150, .removed_at = 300}};
    const struct key_list ever = {.count = 3, .items = records};
    struct scene *s = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t from, until;
        char ids[32] = "";
        size_t used = 0;

        assert_int_equal(key_set_as_of(&ever, cases[i].at, &s->set, &from, &until, &s->e), 0);
        for (size_t j = 0; j < s->set->count; j++)
            used += (size_t)snprintf(ids + used, sizeof ids - used, "%s%s", j == 0 ? "" : " ",
                                     s->set->keys[j].id);
        assert_string_equal(ids, cases[i].ids);
        assert_true(from == cases[i].from && until == cases[i].until);
        key_set_release(&s->set);
    }
}

/* A key of the file belongs to the file, and says where it stands. */
static void a_key_of_the_file_is_not_ours(void **state)
{
    struct scene *s = *state;
    struct key_row row = {.id = "dev", .roles = "client", .rate_per_minute = -1, .requests_per_day = -1, .tokens_per_day = -1};
    char secret[KEY_SECRET_SIZE];
    struct key_list done;

    assert_int_equal(key_admin_create(&s->admin, &row, secret, &done, &s->e), AGW_ECONFLICT);
    assert_string_equal(s->e.param, "id");
    assert_non_null(strstr(s->e.message, "security.yaml:3"));
    assert_int_equal(secret[0], '\0');
    assert_int_equal(key_admin_rotate(&s->admin, "boss", 1, secret, &done, &s->e),
                     AGW_ECONFLICT);
    assert_non_null(strstr(s->e.message, "security.yaml:4"));
    assert_int_equal(key_admin_revoke(&s->admin, "dev", &done, &s->e), AGW_ECONFLICT);
    assert_int_equal(key_admin_revoke(&s->admin, "nobody", &done, &s->e), AGW_ENOTFOUND);
    s->admin.security = NULL; /* a tool without the files: then the rows tell */
    assert_int_equal(key_admin_revoke(&s->admin, "dev", &done, &s->e), AGW_ENOTFOUND);
}

/* Neither side lets it happen; if it does, the file's counts. */
static void of_two_with_one_id_the_file_counts(void **state)
{
    struct scene *s = *state;
    char secret[KEY_SECRET_SIZE];
    const struct config_key *key;
    struct key_index *index;

    s->admin.security = NULL;
    create(s, "dev", NULL, 0, secret);
    s->set = read_set(s, NULL);
    log_set_level(LOG_ERROR + 1);
    index = authenticate_index_new(&s->config->security, s->set);
    log_set_level(LOG_ERROR);
    assert_int_equal(authenticate(index, NULL, secret, 0, &key, &s->e), AGW_EBADKEY);
    assert_int_equal(authenticate(index, NULL, "dev-secret", 0, &key, &s->e), 0);
    assert_ptr_equal(authenticate_find_id(index, "dev"), key);
    authenticate_index_free(&index);
}

static void of_two_with_one_secret_the_file_counts(void **state)
{
    struct key_row row = {.id = "twin", .roles = "admin", .rate_per_minute = -1,
                          .requests_per_day = -1, .tokens_per_day = -1};
    struct scene *s = *state;
    const struct config_key *key;
    struct key_index *index;

    sha_256("dev-secret", 10, row.hash);
    assert_int_equal(keys_create(s->f->store, &row, "x", &s->audit, NULL, &s->e), 0);
    s->set = read_set(s, NULL);
    index = authenticate_index_new(&s->config->security, s->set);
    assert_int_equal(authenticate(index, NULL, "dev-secret", 0, &key, &s->e), 0);
    assert_string_equal(key->id, "dev");
    authenticate_index_free(&index);
}

/* Wherever memory ends: the whole key, or an error. */
static void T32_a_row_becomes_a_key(void **state)
{
    static const struct key_row row = {.id = "a", .roles = "client", .deny_agents = "[]",
                                       .allow_agents = "[\"x\",\"a-longer-one/*\"]"};
    struct scene *s = *state;
    struct config_key key;
    int whole = 0, runs = 0;

    for (size_t most = 1; most < 800; most += 7, runs++) {
        struct arena *arena = arena_new(most);
        int status = key_set_fill(&row, arena, &key, &s->e);

        assert_true(status == 0 || status == AGW_ENOMEM);
        whole += status == 0;
        arena_free(&arena);
    }
    assert_in_range(whole, 1, runs - 1);
}

static void rows_that_no_key_has_are_left_out(void **state)
{
    static const struct key_row rows[] = {
        {.id = NULL, .roles = "client"},
        {.id = "a", .roles = NULL},
        {.id = "a", .roles = ""},
        {.id = "a", .roles = "client,boss"},
        {.id = "a", .roles = "boss,client"},
        {.id = "a", .roles = "clientt"},
        {.id = "a", .roles = "client", .allow_agents = "nonsense"},
        {.id = "a", .roles = "client", .allow_agents = "{}"},
        {.id = "a", .roles = "client", .deny_agents = "[1]"},
    };
    static const struct key_row good = {.id = "a", .roles = "client,auditor,admin",
                                        .deny_agents = "[\"x\"]"};
    struct arena *arena = arena_new(1 << 20);
    struct scene *s = *state;
    struct config_key key;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(key_set_fill(&rows[i], arena, &key, &s->e), AGW_ESTORE);
    assert_int_equal(key_set_fill(&good, arena, &key, &s->e), 0);
    assert_int_equal(key.roles, ROLE_CLIENT | ROLE_AUDITOR | ROLE_ADMIN);
    assert_string_equal(key_set_roles_text(key.roles), "client,auditor,admin");
    assert_int_equal(key_set_role("admin"), ROLE_ADMIN);
    assert_int_equal(key_set_role("adm"), 0);
    arena_free(&arena);
}

/* Proven, and still nonsense: whoever wrote it was not us. The others count. */
static void a_proven_row_may_be_nonsense(void **state)
{
    struct scene *s = *state;
    char secret[KEY_SECRET_SIZE];
    struct key_row row = {.id = "bad", .roles = "client", .allow_agents = "[2]",
                          .rate_per_minute = -1, .requests_per_day = -1, .tokens_per_day = -1};

    create(s, "a", NULL, 0, secret);
    assert_int_equal(keys_create(s->f->store, &row, "x", &s->audit, NULL, &s->e), 0);
    create(s, "c", NULL, 0, secret);
    log_set_level(LOG_ERROR + 1);
    s->set = read_set(s, NULL);
    log_set_level(LOG_ERROR);
    assert_int_equal(s->set->count, 2);
    assert_string_equal(s->set->keys[1].id, "c");
    assert_string_equal(s->set->records[1].row.id, "c");
}

/* -- T32: the nth call fails ---------------------------------------------------------------- */

static void try_everything(void *arg)
{
    struct scene *s = arg;
    char secret[KEY_SECRET_SIZE];
    struct key_row row = {.id = "new", .roles = "client", .rate_per_minute = -1, .requests_per_day = -1, .tokens_per_day = -1,
                          .allow_agents = "[\"x\"]", .expires_at = 9000000000000};
    struct key_list done;
    struct db *db;

    s->status = key_admin_create(&s->admin, &row, secret, &done, &s->e);
    key_list_clear(&done);
    if (s->status == 0)
        s->status = key_admin_rotate(&s->admin, "new", 60, secret, &done, &s->e);
    key_list_clear(&done);
    db = s->status == 0 ? store_acquire(s->f->store, &s->e) : NULL;
    if (db != NULL) {
        struct key_index *index = NULL;

        s->status = key_set_read(db, 0, NULL, &s->set, &s->e);
        if (s->status == 0)
            index = authenticate_index_new(&s->config->security, s->set);
        authenticate_index_free(&index);
        store_release(s->f->store, db);
    }
    if (s->status == 0)
        s->status = key_admin_revoke(&s->admin, "new", &done, &s->e);
    key_list_clear(&done);
}

/* Whatever failed: no half of a change, and what is there is proven. */
static void check_everything(void *arg)
{
    struct scene *s = arg;

    if (s->status != 0)
        assert_true(s->e.message[0] != '\0');
    key_set_release(&s->set);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM audit_event WHERE kind LIKE"
                                          " 'key.%'"),
                     fixture_number(s->f, "SELECT value - 1 FROM meta WHERE name = 'keys'"));
    s->set = read_set(s, NULL);
    assert_int_equal(s->set->count,
                     fixture_number(s->f, "SELECT count(*) FROM api_key WHERE revoked_at IS"
                                          " NULL"));
    key_set_release(&s->set);
    store_close(&s->f->store);
    fixture_sql(s->f, "DELETE FROM api_key");
    s->f->store = s->admin.store = fixture_open(s->f);
}

static void try_reading(void *arg)
{
    struct scene *s = arg;
    struct db *db = store_acquire(s->f->store, &s->e);

    s->status = db == NULL ? AGW_ESTORE : key_set_read(db, 0, NULL, &s->set, &s->e);
    if (db != NULL)
        store_release(s->f->store, db);
}

static void check_reading(void *arg)
{
    struct scene *s = arg;

    assert_true(s->status == 0 ? s->set->count == 40 : s->set == NULL);
    key_set_release(&s->set);
}

static const struct key_record past_record = {
    .row = {.id = "a", .roles = "client", .allow_agents = "[\"x\"]"}, .created_at = 100};

static void try_the_past(void *arg)
{
    const struct key_list ever = {.count = 1, .items = (struct key_record *)&past_record};
    struct scene *s = arg;
    int64_t from, until;

    s->status = key_set_as_of(&ever, 200, &s->set, &from, &until, &s->e);
}

static void check_the_past(void *arg)
{
    struct scene *s = arg;

    assert_true(s->status == 0 ? s->set->count == 1 : s->set == NULL);
    key_set_release(&s->set);
}

static void T32_the_past(void **state)
{
    assert_true(inject_each(INJECT_MEMORY, try_the_past, check_the_past, *state) > 5);
}

/* So many that each kind of memory is asked for more than once. */
static void T32_reading_many(void **state)
{
    static const char list[] = "[\"labs/a-rather-long-pattern-*\",\"labs/another-*\"]";
    struct scene *s = *state;
    char id[32], secret[KEY_SECRET_SIZE];

    for (int i = 0; i < 40; i++) {
        snprintf(id, sizeof id, "key-%d", i);
        create(s, id, list, 0, secret);
    }
    log_set_level(LOG_ERROR + 1);
    assert_true(inject_each(INJECT_MEMORY, try_reading, check_reading, s) > 10);
    log_set_level(LOG_ERROR);
}

static void T32_changes_and_reading(void **state)
{
    struct scene *s = *state;

    log_set_level(LOG_ERROR + 1);
    assert_true(inject_each(INJECT_MEMORY, try_everything, check_everything, s) > 30);
    assert_true(inject_each(INJECT_SQLITE | INJECT_CRYPTO, try_everything, check_everything,
                            s) > 30);
    log_set_level(LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        cmocka_unit_test(a_secret_has_its_checksum),
        TEST(one_index_knows_both_kinds),
        TEST(the_old_secret_ends_with_the_overlap),
        TEST(expiry_ends_both_secrets),
        TEST(a_set_is_read_when_a_key_changed),
        TEST(the_past_is_kept),
        TEST(a_key_of_the_file_is_not_ours),
        TEST(of_two_with_one_id_the_file_counts),
        TEST(of_two_with_one_secret_the_file_counts),
        TEST(rows_that_no_key_has_are_left_out),
        TEST(a_proven_row_may_be_nonsense),
        TEST(T32_a_row_becomes_a_key),
        TEST(T32_the_past),
        TEST(T32_reading_many),
        TEST(T32_changes_and_reading),
    };

    return cmocka_run_group_tests_name("policy/key_set", tests, NULL, NULL);
}

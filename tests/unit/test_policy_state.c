/* SPDX-License-Identifier: MIT */
/* The policy that runs: what is on disk in the database is what every process follows; what
 * cannot be used changes nothing; whatever fails, the old policy stays or the call says no. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "policy/register.h"
#include "policy/state.h"
#include "store/configurations.h"
#include "store_fixture.h"
#include "util/log.h"

enum { HELD = 32 }; /* connections: as many as the store keeps at hand */
enum { EVERYTHING = INJECT_MEMORY | INJECT_SQLITE | INJECT_CRYPTO };

static const char security[] =
    "version: 1\n"
    "default: {allow_agents: [\"*\"]}\n"
    "api_keys:\n"
    "  - {id: a, key: secret-a, roles: [client, auditor, admin], allow_agents: [x, y],\n"
    "     deny_agents: []}\n"
    "  - {id: b, key: secret-b, deny_agents: [{pattern: z, mode: shadow}]}\n";

struct scene {
    struct fixture *f;
    char origin[128];
    struct policy_hooks hooks;
    struct policy_state *state;
    bool refuses;  /* the hook finds the configuration unusable */
    int attempts, derived, published;
    enum config_component component;
    int64_t generation;
    struct db *held[HELD];
    int written; /* the number of the key in security.yaml */
    int status;
    struct err e;
};

static void write_file(const struct scene *s, const char *name, const char *text)
{
    char path[160];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", s->f->directory, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void *derive(void *arg, struct config *config, struct err *e)
{
    struct scene *s = arg;

    (void)config;
    s->attempts++;
    if (s->refuses) {
        err_set(e, AGW_ECONFIG, "the hook does not like it");
        return NULL;
    }
    s->derived++;
    return s;
}

static void drop(void *derived)
{
    ((struct scene *)derived)->derived--;
}

static void note_published(void *arg, const struct config *config)
{
    (void)config;
    ((struct scene *)arg)->published++;
}

/* What the supervisor does at start. */
static int open_state(struct scene *s, struct store *store, struct policy_state **state,
                      struct err *e)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    struct config *config = NULL;
    int status = config_sources_read(s->origin, &sources, &errors);

    if (status == 0)
        status = config_build(&sources, &config, &errors);
    if (status == 0)
        status = policy_register(store, s->origin, &sources, config, &errors, e);
    if (status == 0) {
        status = policy_state_open(store, s->origin, config, &s->hooks, state, e);
        config = NULL;
    }
    config_release(&config);
    config_sources_free(&sources);
    config_errors_free(&errors);
    return status;
}

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    assert_int_equal(fixture_setup((void **)&s->f), 0);
    s->hooks = (struct policy_hooks){
        .derive = derive, .drop = drop, .publish = note_published, .arg = s};
    s->component = CONFIG_COMPONENTS;
    snprintf(s->origin, sizeof s->origin, "%s/gateway.yaml", s->f->directory);
    write_file(s, "gateway.yaml", "version: 1\n");
    write_file(s, "agents.yaml", "version: 1\n");
    write_file(s, "upstreams.yaml", "version: 1\nupstreams: []\n");
    write_file(s, "security.yaml", security);
    if (open_state(s, s->f->store, &s->state, &s->e) != 0)
        fail_msg("%s", s->e.message);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    policy_state_close(&s->state);
    assert_int_equal(s->derived, 0); /* each was dropped */
    fixture_teardown((void **)&s->f);
    free(s);
    return 0;
}

static int reload(struct scene *s, const char *by)
{
    struct config_errors errors = {0};
    int status = policy_reload(s->state, s->component, by, &s->generation, &errors, &s->e);

    config_errors_free(&errors);
    return status;
}

static size_t keys_now(struct scene *s)
{
    struct policy *policy;
    size_t count;

    assert_int_equal(policy_acquire(s->state, &policy, &s->e), 0);
    count = policy->config->security.key_count;
    policy_release(&policy);
    assert_null(policy);
    policy_release(&policy); /* of nothing is nothing */
    return count;
}

/* Somebody changed something: everybody reads anew. */
static void bump(struct scene *s)
{
    struct db *db = store_acquire(s->f->store, &s->e);

    assert_int_equal(store_write_begin(s->f->store, db, &s->e), 0);
    assert_int_equal(store_revision_bump(s->f->store, db, &s->e), 0);
    assert_int_equal(store_write_commit(s->f->store, db, &s->e), 0);
    store_release(s->f->store, db);
}

/* No connection is left for others: they need a new one. */
static void hold_all(struct scene *s)
{
    for (int i = 0; i < HELD; i++)
        s->held[i] = store_acquire(s->f->store, &s->e);
}

static void hold_none(struct scene *s)
{
    for (int i = 0; i < HELD; i++) {
        if (s->held[i] != NULL)
            store_release(s->f->store, s->held[i]);
        s->held[i] = NULL;
    }
}

/* The next run begins without prepared statements, on the same files. */
static void reopen(struct scene *s)
{
    policy_state_close(&s->state);
    store_close(&s->f->store);
    s->f->store = fixture_open(s->f);
    if (open_state(s, s->f->store, &s->state, &s->e) != 0)
        fail_msg("%s", s->e.message);
}

/* Another process accepted what is the same but for its number. */
static void accept_another(struct scene *s)
{
    fixture_sql(s->f, "INSERT INTO configuration (hash, sources, created_at) SELECT 'h' ||"
                      " (SELECT max(generation) FROM configuration), sources, 1 FROM configuration"
                      " WHERE generation = 1;"
                      "UPDATE configuration_current SET generation = (SELECT max(generation)"
                      " FROM configuration)");
    bump(s);
}

static void keys_are_on_record(void **state)
{
    struct scene *s = *state;

    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM api_key"), 2);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM api_key WHERE id = 'a' AND"
                                          " roles = 'client,auditor,admin' AND allow_agents ="
                                          " '[\"x\",\"y\"]' AND deny_agents = '[]'"), 1);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM api_key WHERE id = 'b' AND"
                                          " roles = 'client' AND allow_agents IS NULL AND"
                                          " deny_agents ="
                                          " '[{\"pattern\":\"z\",\"mode\":\"shadow\"}]'"), 1);
    assert_int_equal(s->published, 1);
}

/* One file is read anew, the others stay as they run, even if they are broken by now. */
static void one_component_is_reloaded(void **state)
{
    struct scene *s = *state;

    write_file(s, "agents.yaml", "version: 1\nagents: []\n# changed\n");
    write_file(s, "security.yaml", "version: 1\napi_keys: [{id: c, key: secret-c}]\n");
    s->component = CONFIG_SECURITY;
    assert_int_equal(reload(s, "a"), 0);
    assert_int_equal(s->generation, 2);
    assert_int_equal(keys_now(s), 1);
    assert_int_equal(reload(s, NULL), 0);
    assert_int_equal(s->generation, 2); /* the same content */
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM audit_event WHERE kind ="
                                          " 'config.reloaded' AND key_id = 'a'"), 1);
    assert_int_equal(s->published, 2);
}

static void what_is_broken_changes_nothing(void **state)
{
    struct scene *s = *state;

    write_file(s, "security.yaml", "version: 1\napi_keys: []\nnonsense: 1\n");
    assert_int_equal(reload(s, "a"), AGW_ECONFIG);
    assert_int_equal(keys_now(s), 2);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM audit_event WHERE kind ="
                                          " 'config.rejected' AND reason LIKE"
                                          " '%security.yaml:3:1: %' AND reason NOT LIKE"
                                          " '%' || char(10)"), 1);
    assert_true(fixture_number(s->f, "SELECT count(*) FROM recent_error") > 0);
    write_file(s, "security.yaml", "\t");
    s->component = CONFIG_SECURITY;
    assert_int_equal(reload(s, "a"), AGW_ECONFIG);
    unlink(s->origin);
    assert_int_equal(reload(s, "a"), AGW_ECONFIG);
    assert_int_equal(keys_now(s), 2);
    assert_int_equal(s->published, 1);
}

static void what_upper_floors_refuse_changes_nothing(void **state)
{
    struct scene *s = *state;

    write_file(s, "security.yaml", "version: 1\napi_keys: [{id: c, key: secret-c}]\n");
    s->refuses = true;
    assert_int_equal(reload(s, NULL), AGW_ECONFIG);
    assert_string_equal(s->e.message, "the hook does not like it");
    s->refuses = false;
    assert_int_equal(keys_now(s), 2);
    assert_int_equal(fixture_number(s->f, "SELECT max(generation) FROM configuration"), 1);
}

/* Another process accepted a configuration: this one follows, unless it cannot build it. */
static void others_reload_too(void **state)
{
    struct scene *s = *state;
    struct policy_state *other;
    struct policy *held;
    struct store *store = fixture_open(s->f);

    assert_int_equal(open_state(s, store, &other, &s->e), 0);
    assert_int_equal(policy_acquire(s->state, &held, &s->e), 0);
    write_file(s, "security.yaml", "version: 1\napi_keys: [{id: c, key: secret-c}]\n");
    {
        struct policy_state *mine = s->state;

        s->state = other;
        assert_int_equal(reload(s, "a"), 0);
        assert_int_equal(keys_now(s), 1);
        s->state = mine;
    }
    assert_int_equal(keys_now(s), 1);
    assert_int_equal(held->config->security.key_count, 2); /* as long as it is held */
    policy_release(&held);
    policy_state_close(&other);
    store_close(&store);
}

static void try_acquire(void *arg)
{
    struct scene *s = arg;
    struct policy *policy;

    s->status = policy_acquire(s->state, &policy, &s->e);
    assert_true((s->status == 0) == (policy != NULL));
    policy_release(&policy);
}

/* A generation that this process cannot make is tried once; it keeps what it has. */
static void a_generation_that_cannot_be_built(void **state)
{
    static const char *const stored[] = {"'{}'",
                                         "replace((SELECT sources FROM configuration WHERE"
                                         " generation = 1), 'api_keys', 'apikeys')"};
    struct scene *s = *state;

    for (size_t i = 0; i < sizeof stored / sizeof stored[0]; i++) {
        char sql[512];

        snprintf(sql, sizeof sql,
                 "INSERT INTO configuration (hash, sources, created_at) VALUES ('h%zu', %s, 1);"
                 "UPDATE configuration_current SET generation = %zu", i, stored[i], i + 2);
        fixture_sql(s->f, sql);
        bump(s);
        assert_int_equal(keys_now(s), 2);
        bump(s); /* tried no second time */
        assert_int_equal(keys_now(s), 2);
    }
    s->refuses = true;
    s->attempts = 0;
    for (int i = 0; i < 3; i++) {
        if (i == 0)
            accept_another(s);
        else
            bump(s);
        assert_int_equal(keys_now(s), 2);
    }
    assert_int_equal(s->attempts, 1);
    s->refuses = false;
    fixture_sql(s->f, "DELETE FROM configuration_current");
    bump(s);
    assert_int_equal(keys_now(s), 2);
    fixture_sql(s->f, "INSERT INTO configuration VALUES (77, 'h77', 'not JSON', 1);"
                      "INSERT INTO configuration_current SELECT origin, 77, 1 FROM"
                      " configuration_change LIMIT 1");
    bump(s);
    try_acquire(s); /* what it took back may be just what the old one grants */
    assert_int_equal(s->status, AGW_ESTORE);
    fixture_sql(s->f, "DELETE FROM configuration_current");
    assert_int_equal(keys_now(s), 2);
    assert_int_equal(s->published, 1);
    fixture_sql(s->f, "DELETE FROM configuration");
    s->component = CONFIG_SECURITY;
    assert_int_equal(reload(s, NULL), AGW_ENOTFOUND);
}

/* Fail closed, and only until it can be read again. */
static void check_acquire(void *arg)
{
    struct scene *s = arg;

    assert_true(s->status == 0 || s->status == AGW_ESTORE || s->status == AGW_ENOMEM);
    assert_int_equal(keys_now(s), 2);
    reopen(s);
    accept_another(s);
}

/* With no connection to spare. */
static void check_acquire_without(void *arg)
{
    struct scene *s = arg;

    assert_true(s->status == 0 || s->status == AGW_ESTORE || s->status == AGW_ENOMEM);
    hold_none(s);
    bump(s);
    hold_all(s);
}

static void T32_acquire(void **state)
{
    struct scene *s = *state;

    accept_another(s);
    assert_true(inject_each(EVERYTHING, try_acquire, check_acquire, s) > 20);
    hold_all(s);
    assert_true(inject_each(INJECT_MEMORY, try_acquire, check_acquire_without, s) > 2);
    hold_none(s);
}

static void try_reload(void *arg)
{
    struct scene *s = arg;

    s->status = reload(s, "a");
}

static void write_keys(struct scene *s)
{
    char text[256];

    snprintf(text, sizeof text, "version: 1\napi_keys:\n  - {id: k%d, key: secret-k,\n"
             "     allow_agents: [x], deny_agents: [y]}\n", ++s->written);
    write_file(s, "security.yaml", text);
}

/* All of it or nothing: what is current in the database is what runs, and an accepted one was
 * not called refused. */
static void check_reload(void *arg)
{
    struct scene *s = arg;
    struct policy *policy;
    char sql[128];

    snprintf(sql, sizeof sql, "SELECT count(*) FROM api_key WHERE id = 'k%d' AND removed_at IS"
                              " NULL AND allow_agents = '[\"x\"]'", s->written);
    assert_int_equal(fixture_number(s->f, sql), s->status == 0);
    if (s->status == 0)
        assert_int_equal(fixture_number(s->f, "SELECT generation FROM configuration_current"),
                         s->generation);
    else
        assert_true(s->e.message[0] != '\0');
    assert_int_equal(policy_acquire(s->state, &policy, &s->e), 0);
    snprintf(sql, sizeof sql, "k%d", s->written);
    assert_true((strcmp(policy->config->security.keys[0].id, sql) == 0) == (s->status == 0));
    policy_release(&policy);
    reopen(s);
    write_keys(s);
    bump(s);
}

static void T32_reload(void **state)
{
    struct scene *s = *state;
    long runs = 0;

    log_set_level(LOG_ERROR + 1);
    for (int i = 0; i < 2; i++) {
        s->component = i == 0 ? CONFIG_COMPONENTS : CONFIG_SECURITY;
        write_keys(s);
        runs += inject_each(INJECT_SQLITE | INJECT_CRYPTO, try_reload, check_reload, s);
        runs += inject_each(INJECT_MEMORY, try_reload, check_reload, s);
    }
    assert_true(runs > 400);
    log_set_level(LOG_ERROR);
}

static void check_rejected(void *arg)
{
    struct scene *s = arg;

    bool held = s->held[0] != NULL;

    assert_true(s->status != 0);
    hold_none(s);
    assert_int_equal(keys_now(s), 2);
    if (held)
        hold_all(s);
}

/* That nothing can be written down does not make a broken file a good one. */
static void T32_reject(void **state)
{
    struct scene *s = *state;

    log_set_level(LOG_ERROR + 1);
    write_file(s, "security.yaml", "version: 1\napi_keys: []\n");
    inject_each(INJECT_SQLITE, try_reload, check_rejected, s);
    inject_each(INJECT_MEMORY, try_reload, check_rejected, s);
    hold_all(s);
    inject_each(INJECT_MEMORY, try_reload, check_rejected, s);
    hold_none(s);
    log_set_level(LOG_ERROR);
}

static void try_open(void *arg)
{
    struct scene *s = arg;
    struct policy_state *other = NULL;

    s->status = open_state(s, s->f->store, &other, &s->e);
    policy_state_close(&other);
    policy_state_close(&other);
}

static void check_open(void *arg)
{
    reopen(arg);
}

static void T32_open(void **state)
{
    struct scene *s = *state;

    assert_true(inject_each(EVERYTHING, try_open, check_open, s) > 20);
    s->refuses = true;
    try_open(s);
    assert_int_equal(s->status, AGW_ECONFIG);
}

/* A key that was made at run time has the id: nothing changes, and the line is named. */
static void a_clash_with_a_run_time_key_is_an_error_of_the_file(void **state)
{
    struct key_row row = {.id = "c", .roles = "client", .rate_per_minute = -1,
                          .requests_per_day = -1, .tokens_per_day = -1};
    struct audit_row audit = fixture_row("", "a", NULL);
    struct config_errors errors = {0};
    struct scene *s = *state;
    struct policy *policy;

    assert_int_equal(keys_create(s->f->store, &row, "a", &audit, NULL, &s->e), 0);
    write_file(s, "security.yaml", "version: 1\napi_keys:\n  - {id: b, key: secret-b}\n"
                                   "  - {id: c, key: secret-c}\n");
    log_set_level(LOG_ERROR + 1);
    assert_int_equal(policy_reload(s->state, CONFIG_COMPONENTS, "a", &s->generation, &errors,
                                   &s->e), AGW_ECONFIG);
    log_set_level(LOG_ERROR);
    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].line, 4);
    config_errors_free(&errors);
    assert_int_equal(keys_now(s), 2);
    assert_int_equal(policy_acquire(s->state, &policy, &s->e), 0);
    assert_non_null(policy_find_key(policy, "a"));
    assert_int_equal(policy_find_key(policy, "c")->place.line, 0);
    assert_null(policy_find_key(policy, "d"));
    policy_release(&policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(keys_are_on_record),
        TEST(one_component_is_reloaded),
        TEST(what_is_broken_changes_nothing),
        TEST(what_upper_floors_refuse_changes_nothing),
        TEST(others_reload_too),
        TEST(a_generation_that_cannot_be_built),
        TEST(a_clash_with_a_run_time_key_is_an_error_of_the_file),
        TEST(T32_acquire),
        TEST(T32_reload),
        TEST(T32_reject),
        TEST(T32_open),
    };

    return cmocka_run_group_tests_name("policy/state", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The policy of a moment is the one that was in force then, however much has changed since. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_config.h"
#include "inject.h"
#include "policy/explain.h"
#include "policy/history.h"
#include "store_fixture.h"

#define ORIGIN "/etc/gateway.yaml"
#define SOURCES(security, upstreams)                                                           \
    "{\"gateway\":{\"path\":\"gateway.yaml\",\"text\":\"version: 1\\n\"},"                     \
    "\"agents\":{\"path\":\"agents.yaml\",\"text\":\"version: 1\\nagents: [{name: a, "         \
    "upstream: gone}]\\n\"},"                                                                  \
    "\"upstreams\":{\"path\":\"upstreams.yaml\",\"text\":\"" upstreams "\"},"                  \
    "\"security\":{\"path\":\"security.yaml\",\"text\":\"" security "\"}}"

struct scene {
    struct fixture *f;
    struct db *db;
    struct history *history;
    int derived;
    bool refuses;
    int status;
    struct err e;
};

static void *derive(void *arg, struct config *config, struct err *e)
{
    struct scene *s = arg;

    (void)config;
    if (s->refuses) {
        err_set(e, AGW_ENOMEM, "no");
        return NULL;
    }
    s->derived++;
    return s;
}

static void drop(void *derived)
{
    ((struct scene *)derived)->derived--;
}

/* Generation `number` allows the agent "g<number>", and is in force from number * 1000 on. */
static void add_generation(struct scene *s, int number)
{
    char sql[2048], pattern[16];

    snprintf(pattern, sizeof pattern, "g%d", number);
    snprintf(sql, sizeof sql,
             "INSERT INTO configuration VALUES (%d, 'h%d', '" SOURCES(
                 "version: 1\\napi_keys: [{id: k, key: s, allow_agents: [%s]}]\\n",
                 "version: 1\\nupstreams: [{name: u, provider: openai, base_url: "
                 "\\\"${NOT_SET}\\\"}]\\n") "', 1);"
             "INSERT INTO configuration_change (at, origin, generation) VALUES"
             " (%d, '" ORIGIN "', %d)",
             number, number, pattern, number * 1000, number);
    fixture_sql(s->f, sql);
}

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    assert_int_equal(fixture_setup((void **)&s->f), 0);
    for (int i = 1; i <= 3; i++)
        add_generation(s, i);
    fixture_sql(s->f,
                "INSERT INTO override (id, pattern, key_id, created_at, expires_at, revoked_at,"
                " expired_at) VALUES ('ovr_a', 'x/*', NULL, 1500, 9000, 2500, NULL),"
                " ('ovr_b', 'y/*', 'k', 1500, 3500, NULL, NULL),"
                " ('ovr_c', 'z/*', NULL, 2200, 9000, NULL, 2400);"
                "INSERT INTO api_key (id, origin, roles, hash, was_plaintext, generation,"
                " allow_agents, created_at, revoked_at) VALUES ('made', 'database', 'client',"
                " '00', 0, 0, '[\"m\"]', 1200, 2600)");
    s->db = store_acquire(s->f->store, &s->e);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    history_close(&s->history);
    assert_int_equal(s->derived, 0); /* each was dropped */
    store_release(s->f->store, s->db);
    fixture_teardown((void **)&s->f);
    free(s);
    return 0;
}

static void open_history(struct scene *s, struct db *db)
{
    const struct policy_hooks hooks = {.derive = derive, .drop = drop, .arg = s};

    s->status = history_open(db, ORIGIN, &hooks, &s->history, &s->e);
}

static int at(struct scene *s, int64_t when, int64_t generation, const struct policy **policy)
{
    return history_at(s->history, &(struct moment){.at = when, .generation = generation}, policy,
                      &s->e);
}

/* The status of a request of `key` for `agent` then. */
static int ask(struct scene *s, int64_t when, const char *key, const char *agent)
{
    const struct policy *policy;
    struct explanation x;

    if (at(s, when, 0, &policy) != 0)
        fail_msg("%s", s->e.message);
    explain_request(policy, key, agent, "", true, when, &x);
    return x.status;
}

static void each_moment_has_its_configuration(void **state)
{
    struct scene *s = *state;
    const struct policy *policy;

    open_history(s, s->db);
    assert_int_equal(at(s, 999, 0, &policy), AGW_ENOTFOUND);
    assert_non_null(strstr(s->e.message, ORIGIN));
    for (int i = 1; i <= 3; i++) {
        char agent[16];

        assert_int_equal(at(s, i * 1000, 0, &policy), 0);
        assert_int_equal(policy->config->generation, i);
        assert_ptr_equal(policy->derived, s);
        assert_int_equal(at(s, i * 1000 + 999, 0, &policy), 0);
        assert_int_equal(policy->config->generation, i);
        snprintf(agent, sizeof agent, "g%d", i);
        assert_int_equal(ask(s, i * 1000, "k", agent), 0);
        assert_int_equal(ask(s, i * 1000 + 1000 * (i < 3), "k", agent), i < 3 ? AGW_EDENIED : 0);
    }
    assert_int_equal(at(s, 1, 3, &policy), 0); /* the one that is stamped on a row */
    assert_int_equal(policy->config->generation, 3);
    assert_int_equal(at(s, 1, 4, &policy), AGW_ENOTFOUND);
}

static void overrides_are_as_they_were(void **state)
{
    static const struct {
        int64_t at;
        size_t count;
    } cases[] = {{1499, 0}, {1500, 2}, {2199, 2}, {2200, 3}, {2399, 3}, {2400, 2},
                 {2499, 2}, {2500, 1}, {3499, 1}, {3500, 0}, {9999, 0}};
    struct scene *s = *state;
    const struct override_list *active;
    const struct policy *policy;

    open_history(s, s->db);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moment moment = {.at = cases[i].at};

        assert_int_equal(history_active(s->history, &moment, &active, &s->e), 0);
        assert_int_equal(active->count, cases[i].count);
        assert_int_equal(at(s, cases[i].at, 0, &policy), 0);
        if (policy->overrides.count != cases[i].count)
            fail_msg("at %lld: %zu overrides", (long long)cases[i].at, policy->overrides.count);
    }
    assert_int_equal(history_overrides(s->history)->count, 3);
    assert_int_equal(ask(s, 2300, "k", "x/1"), 0); /* its end is not known of yet */
    assert_int_equal(ask(s, 2300, "k", "z/1"), 0);
    assert_int_equal(ask(s, 2500, "k", "x/1"), AGW_EDENIED);
}

/* A grant with one use, taken at 2000 and found to be spent at 2200. */
static void uses_are_as_they_were(void **state)
{
    struct audit_row row = fixture_row("decision", "k", "l/1");
    struct scene *s = *state;
    const struct policy *policy;
    struct explanation x;
    json_t *used_up = json_pack("[i,s,s]", 7, "ovr_other", "ovr_l");

    fixture_sql(s->f, "INSERT INTO override (id, pattern, created_at, expires_at, max_uses,"
                      " used_up_at) VALUES ('ovr_l', 'l/*', 1500, 9000, 1, 2200)");
    row.ts = 2000;
    row.decision = "allow";
    row.source = "override";
    row.override_id = "ovr_l";
    fixture_append(s->f->store, &row, 1);
    open_history(s, s->db);
    assert_int_equal(ask(s, 1999, "k", "l/1"), 0);
    assert_int_equal(ask(s, 2000, "k", "l/1"), 0); /* the use itself */
    assert_int_equal(ask(s, 2001, "k", "l/1"), AGW_EDENIED);
    assert_int_equal(ask(s, 2300, "k", "l/1"), AGW_EDENIED);
    for (int known = 0; known < 2; known++) {
        struct moment moment = {1600, 0, 1, known ? used_up : NULL};

        assert_int_equal(history_at(s->history, &moment, &policy, &s->e), 0);
        explain_request(policy, "k", "l/1", "l", true, 1600, &x);
        assert_int_equal(x.status, known ? AGW_EDENIED : 0);
    }
    json_decref(used_up);
}

static void run_time_keys_are_as_they_were(void **state)
{
    struct scene *s = *state;

    open_history(s, s->db);
    assert_int_equal(ask(s, 1100, "made", "m"), AGW_EBADKEY);
    assert_int_equal(ask(s, 1200, "made", "m"), 0);
    assert_int_equal(ask(s, 2599, "made", "m"), 0);
    assert_int_equal(ask(s, 2600, "made", "m"), AGW_EBADKEY);
    assert_int_equal(history_keys(s->history)->count, 1);
}

static void a_proposal_holds_always(void **state)
{
    static const char proposal[] = "version: 1\napi_keys: [{id: k, key: s, allow_agents: [p]}]\n";
    struct scene *s = *state;

    open_history(s, s->db);
    for (int i = 0; i < 2; i++)
        assert_int_equal(history_propose(s->history, build_config(proposal, NULL), &s->e), 0);
    assert_int_equal(ask(s, 1000, "k", "p"), 0);
    assert_int_equal(ask(s, 1000, "k", "g1"), AGW_EDENIED);
    assert_int_equal(ask(s, 1, "k", "p"), 0);
    assert_int_equal(ask(s, 1600, "k", "y/1"), 0); /* overrides stay what they were */
    s->refuses = true;
    assert_int_equal(history_propose(s->history, build_config(proposal, NULL), &s->e),
                     AGW_ENOMEM);
}

static void without_a_database_there_is_only_the_proposal(void **state)
{
    struct scene *s = *state;
    const struct policy *policy;

    open_history(s, NULL);
    assert_int_equal(at(s, 1000, 0, &policy), AGW_ENOTFOUND);
    assert_int_equal(history_propose(s->history, build_config(NULL, NULL), &s->e), 0);
    assert_int_equal(ask(s, 1000, "k", "a"), AGW_EDENIED);
}

static void what_is_not_understood_is_said(void **state)
{
    struct scene *s = *state;
    const struct policy *policy;

    fixture_sql(s->f, "INSERT INTO configuration VALUES (7, 'a', 'no JSON', 1), (8, 'b', '{}', 1),"
                      " (9, 'c', '" SOURCES("version: 9\\n", "") "', 1)");
    open_history(s, s->db);
    assert_int_equal(at(s, 1, 7, &policy), AGW_ESTORE);
    assert_int_equal(at(s, 1, 8, &policy), AGW_ECONFIG);
    assert_int_equal(at(s, 1, 9, &policy), AGW_ECONFIG);
    assert_non_null(strstr(s->e.message, "generation 9 is not understood any more"));
    assert_non_null(strstr(s->e.message, "security.yaml:1:10"));
    s->refuses = true;
    assert_int_equal(at(s, 1, 1, &policy), AGW_ENOMEM);
}

/* More than are kept at once. */
static void old_ones_are_read_again(void **state)
{
    struct scene *s = *state;
    const struct policy *policy;

    for (int i = 4; i <= 40; i++)
        add_generation(s, i);
    open_history(s, s->db);
    for (int round = 0; round < 2; round++)
        for (int i = 1; i <= 40; i++) {
            assert_int_equal(at(s, i * 1000, 0, &policy), 0);
            assert_int_equal(policy->config->generation, i);
        }
    assert_true(s->derived <= 32);
    s->refuses = true; /* what made room is gone, the others are still there */
    assert_int_equal(at(s, 1, 1, &policy), AGW_ENOMEM);
    s->refuses = false;
    for (int i = 40; i >= 1; i--)
        assert_int_equal(at(s, 1, i, &policy), 0);
}

static void walk(void *arg)
{
    struct scene *s = arg;
    const struct policy *policy;

    open_history(s, s->db);
    for (int64_t when = 1500; when < 3000 && s->status == 0; when += 1000)
        s->status = at(s, when, 0, &policy);
}

static void check_walk(void *arg)
{
    struct scene *s = arg;

    assert_int_equal(s->history == NULL && s->status == 0, 0);
    assert_true(s->status <= 0);
    history_close(&s->history);
    assert_int_equal(s->derived, 0);
    store_release(s->f->store, s->db); /* the next run prepares its statements anew */
    store_close(&s->f->store);
    s->f->store = fixture_open(s->f);
    s->db = store_acquire(s->f->store, &s->e);
}

static void any_failure_is_reported(void **state)
{
    struct scene *s = *state;

    fixture_sql(s->f, "INSERT INTO override (id, pattern, created_at, expires_at, max_uses)"
                      " VALUES ('ovr_l', 'l/*', 1600, 9000, 1)");
    assert_true(inject_each(INJECT_MEMORY | INJECT_SQLITE, walk, check_walk, *state) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(each_moment_has_its_configuration),
        TEST(overrides_are_as_they_were),
        TEST(uses_are_as_they_were),
        TEST(run_time_keys_are_as_they_were),
        TEST(a_proposal_holds_always),
        TEST(without_a_database_there_is_only_the_proposal),
        TEST(what_is_not_understood_is_said),
        TEST(old_ones_are_read_again),
        TEST(any_failure_is_reported),
    };

    return cmocka_run_group_tests_name("policy/history", tests, NULL, NULL);
}

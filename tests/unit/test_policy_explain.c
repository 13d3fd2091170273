/* SPDX-License-Identifier: MIT */
/* What a request is answered, which rules stand against it, and whether a grant is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "build_config.h"
#include "policy/explain.h"
#include "policy/history.h"
#include "util/buf.h"

static const char security[] =
    "version: 1\n"
    "default:\n"
    "  allow_agents: [\"a/*\"]\n"
    "  deny_agents: [\"*/bad\", {pattern: \"a/*\", mode: shadow}]\n"
    "api_keys:\n"
    "  - {id: k, key: s1, deny_agents: [\"a/b*\", \"*d\"]}\n"
    "  - {id: old, key: s2, expires_at: 2000-01-01}\n"
    "  - {id: reader, key: s3, roles: [auditor]}\n"
    "  - {id: none, key: s4, allow_agents: []}\n";

struct scene {
    struct history *history;
    const struct policy *policy;
};

static void *derive(void *arg, struct config *config, struct err *e)
{
    (void)config;
    (void)e;
    return arg;
}

static void drop(void *derived)
{
    (void)derived;
}

static void open_scene(struct scene *s, const char *text)
{
    const struct policy_hooks hooks = {.derive = derive, .drop = drop, .arg = s};
    struct moment moment = {.at = 1000};
    struct err e;

    assert_int_equal(history_open(NULL, "x", &hooks, &s->history, &e), 0);
    assert_int_equal(history_propose(s->history, build_config(text, NULL), &e), 0);
    assert_int_equal(history_at(s->history, &moment, &s->policy, &e), 0);
}

#define EXPIRES INT64_C(946684800000) /* 2000-01-01 */

static void table(void **state)
{
    static const struct {
        const char *key, *agent;
        bool served;
        int64_t now;
        int status;
        size_t blockers;
        bool needs_grant;
    } cases[] = {
        {"k", "a/x", true, 1, 0, 0, false},
        {"k", "a/x", false, 1, AGW_EMODEL, 0, false},
        {"k", "b/x", true, 1, AGW_EDENIED, 0, true},
        {"k", "a/bx", true, 1, AGW_EDENIED, 1, false},
        {"k", "a/bad", true, 1, AGW_EDENIED, 3, false},
        {"k", "z/bad", true, 1, AGW_EDENIED, 2, true},
        {"none", "a/x", true, 1, AGW_EDENIED, 0, true},
        {"reader", "a/x", true, 1, AGW_EROLE, 0, false},
        {"reader", "z/bad", false, 1, AGW_EROLE, 1, true},
        {"old", "a/x", true, 1, 0, 0, false},
        {"old", "a/x", true, EXPIRES - 1, 0, 0, false},
        {"old", "a/x", true, EXPIRES, AGW_EBADKEY, 0, false},
        {"nobody", "a/x", true, 1, AGW_EBADKEY, 0, false},
    };
    struct scene s;

    (void)state;
    open_scene(&s, security);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char ns[8];
        struct explanation x;

        memcpy(ns, cases[i].agent, 1);
        ns[1] = '\0';
        explain_request(s.policy, cases[i].key, cases[i].agent, ns, cases[i].served, cases[i].now,
                        &x);
        if (x.status != cases[i].status || x.blocker_count != cases[i].blockers ||
            x.needs_grant != cases[i].needs_grant)
            fail_msg("%s %s: status %d, %zu blockers, %d", cases[i].key, cases[i].agent, x.status,
                     x.blocker_count, x.needs_grant);
        assert_int_equal(x.key == NULL, strcmp(cases[i].key, "nobody") == 0);
        assert_int_equal(x.expired, cases[i].status == AGW_EBADKEY && x.key != NULL);
    }
    history_close(&s.history);
}

static void blockers_say_where(void **state)
{
    struct explanation x;
    struct scene s;

    (void)state;
    open_scene(&s, security);
    explain_request(s.policy, "k", "a/bad", "a", true, 1, &x);
    assert_string_equal(x.blockers[0].rule, "key.deny_agents");
    assert_string_equal(x.blockers[0].pattern, "a/b*");
    assert_int_equal(x.blockers[0].place.line, 6);
    assert_string_equal(x.blockers[2].rule, "default.deny_agents");
    assert_int_equal(x.blockers[2].place.line, 4);
    assert_string_equal(x.decision.pattern, "a/b*");
    history_close(&s.history);
}

static void there_is_room_for_so_many(void **state)
{
    struct explanation x;
    struct scene s;
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    buf_puts(&text, "version: 1\ndefault: {deny_agents: [");
    for (int i = 0; i < EXPLAIN_BLOCKERS_MAX + 8; i++)
        buf_puts(&text, i == 0 ? "\"*\"" : ",\"*\"");
    buf_puts(&text, "]}\napi_keys: [{id: k, key: s}]\n");
    open_scene(&s, buf_text(&text));
    buf_free(&text);
    explain_request(s.policy, "k", "a/b", "a", true, 1, &x);
    assert_int_equal(x.blocker_count, EXPLAIN_BLOCKERS_MAX);
    history_close(&s.history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table),
                                       cmocka_unit_test(blockers_say_where),
                                       cmocka_unit_test(there_is_room_for_so_many)};

    return cmocka_run_group_tests_name("policy/explain", tests, NULL, NULL);
}

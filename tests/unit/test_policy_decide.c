/* SPDX-License-Identifier: MIT */
/* decide_agent() against the table in tests/cases/policy/decide.yaml. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_config.h"
#include "policy/decide.h"
#include "yaml_cases.h"

enum { NOW = 1000000, OVERRIDES_MAX = 8 };

static size_t read_overrides(const json_t *one, struct override *items)
{
    json_t *list = json_object_get(one, "overrides"), *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        struct override *o = &items[i];
        const char *state = cases_text(entry, "state", "active");

        assert_true(i < OVERRIDES_MAX);
        *o = (struct override){0};
        snprintf(o->id, sizeof o->id, "ovr_%u", (unsigned)i);
        o->pattern = (char *)cases_text(entry, "pattern", NULL);
        o->key_id = (char *)cases_text(entry, "key", NULL);
        o->expires_at = NOW + 1000 * cases_integer(entry, "lasts", 1);
        if (strcmp(state, "due") == 0)
            o->expires_at = NOW;
        o->revoked_at = strcmp(state, "revoked") == 0;
        o->expired_at = strcmp(state, "expired") == 0;
        o->used_up_at = strcmp(state, "used_up") == 0;
        o->max_uses = cases_integer(entry, "max_uses", 0);
        o->uses = cases_integer(entry, "uses", -1);
    }
    return json_array_size(list);
}

static const struct config_key *find_key(const struct config *config, const char *id)
{
    for (size_t i = 0; i < config->security.key_count; i++)
        if (strcmp(config->security.keys[i].id, id) == 0)
            return &config->security.keys[i];
    fail_msg("no key %s", id);
    return NULL;
}

static void check_shadow(const char *name, const struct decision *d, const json_t *wanted)
{
    const char *would = cases_text(wanted, "would", "nothing");
    const char *pattern = cases_text(wanted, "would_pattern", "none");
    const char *got = decision_would_name(d);

    if (strcmp(got == NULL ? "nothing" : got, would) != 0 ||
        strcmp(d->shadow.pattern == NULL ? "none" : d->shadow.pattern, pattern) != 0 ||
        strcmp(d->shadow.rule == NULL ? "none" : d->shadow.rule,
               cases_text(wanted, "would_list", "none")) != 0 ||
        d->shadow.place.line != cases_integer(wanted, "would_line", 0))
        fail_msg("%s: %s %s on trial: %s by %s '%s', line %d", name,
                 cases_text(wanted, "key", NULL), cases_text(wanted, "agent", NULL), got,
                 d->shadow.rule, d->shadow.pattern, d->shadow.place.line);
}

/* The grant that a trace names as used up, by its number in the case. */
static void check_used_up(const char *name, const struct decision *d, const json_t *wanted)
{
    const char *id = cases_text(wanted, "used_up", "none"), *got = "none";

    for (size_t i = 0; i < d->step_count; i++)
        if (d->steps[i].used_up != NULL)
            got = d->steps[i].used_up->id;
    if (strcmp(got, id) != 0)
        fail_msg("%s: %s names %s as used up", name, cases_text(wanted, "agent", NULL), got);
}

static void check(const char *name, const struct config *config,
                  const struct override_list *overrides, const json_t *wanted)
{
    const char *agent = cases_text(wanted, "agent", NULL);
    const char *pattern = cases_text(wanted, "pattern", NULL);
    char ns[64];
    struct decision d;

    snprintf(ns, sizeof ns, "%.*s", (int)strcspn(agent, "/"), agent);
    decide_agent(&config->security, find_key(config, cases_text(wanted, "key", NULL)),
                 overrides, agent, ns, NOW, &d);
    if (d.allowed != cases_boolean(wanted, "allowed") ||
        strcmp(decision_source_name(d.source), cases_text(wanted, "source", NULL)) != 0)
        fail_msg("%s: %s %s is %d by %s", name, cases_text(wanted, "key", NULL), agent,
                 d.allowed, decision_source_name(d.source));
    if ((pattern == NULL) != (d.pattern == NULL) ||
        (pattern != NULL && strcmp(pattern, d.pattern) != 0))
        fail_msg("%s: %s decided by %s", name, agent, d.pattern);
    assert_int_equal(d.place.line, cases_integer(wanted, "line", 0));
    assert_int_equal(d.override != NULL, d.source == SOURCE_OVERRIDE);
    check_shadow(name, &d, wanted);
    check_used_up(name, &d, wanted);
    assert_true(d.step_count > 0 && d.step_count <= DECISION_TRACE_MAX);
    /* Only the last rule of a trace can have matched. */
    for (size_t i = 0; i < d.step_count; i++)
        assert_int_equal(d.steps[i].matched, i + 1 == d.step_count && d.pattern != NULL);
}

static void table(void **state)
{
    json_t *cases = cases_load("policy/decide.yaml"), *one, *wanted;
    size_t i, j, checked = 0;

    (void)state;
    json_array_foreach(cases, i, one)
    {
        const char *name = cases_text(one, "name", NULL);
        struct config *config = build_config(cases_text(one, "security", NULL), NULL);
        struct override items[OVERRIDES_MAX];
        struct override_list overrides = {.items = items};

        overrides.count = read_overrides(one, items);
        json_array_foreach(json_object_get(one, "expect"), j, wanted)
        {
            check(name, config, &overrides, wanted);
            checked++;
        }
        config_release(&config);
    }
    json_decref(cases);
    assert_true(checked > 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table)};

    return cmocka_run_group_tests_name("policy/decide", tests, NULL, NULL);
}

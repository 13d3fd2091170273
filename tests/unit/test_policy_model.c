/* SPDX-License-Identifier: MIT */
/* decide_agent() against a model that is written as the contract reads, on random policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/decide.h"

enum { CASES = 200000, RULES = 4, GRANTS = 4, NAMESPACES = 2, NOW = 1000 };

static uint64_t state_of_random = 42;

static unsigned pick(unsigned below)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state_of_random >> 33) % below;
}

static const char *const patterns[] = {"*", "a/*", "b/*", "*/x", "a/x", "a/[xy]", "?/y", "b/x*",
                                       "c/*", "nothing"};
static const char *const agents[] = {"a/x", "a/y", "a/z", "b/x", "b/xx", "c/y", "d/z", "x"};

enum { PATTERNS = sizeof patterns / sizeof patterns[0],
       AGENTS = sizeof agents / sizeof agents[0] };

/* A list as the file has it: entries in order, some on trial. */
struct list {
    bool written;
    size_t count;
    const char *pattern[RULES];
    bool on_trial[RULES];
};

struct lists {
    struct list key_allow, key_deny, allow, deny, space[NAMESPACES];
};

static void make_list(struct list *list)
{
    list->written = pick(3) > 0;
    list->count = list->written ? pick(RULES + 1) : 0;
    for (size_t i = 0; i < list->count; i++) {
        list->pattern[i] = patterns[pick(PATTERNS)];
        list->on_trial[i] = pick(3) == 0;
    }
}

/* ---- the model ---- */

static bool matches(const char *pattern, const char *agent)
{
    return fnmatch(pattern, agent, FNM_NOESCAPE) == 0;
}

static bool counts(const struct list *list, bool trial)
{
    if (!list->written || list->count == 0)
        return list->written;
    for (size_t i = 0; i < list->count; i++)
        if (trial || !list->on_trial[i])
            return true;
    return false;
}

static bool any(const struct list *list, const char *agent, bool trial)
{
    for (size_t i = 0; i < list->count; i++)
        if ((trial || !list->on_trial[i]) && matches(list->pattern[i], agent))
            return true;
    return false;
}

static bool granted(const struct override_list *grants, const char *key, const char *agent)
{
    for (size_t i = 0; i < grants->count; i++) {
        const struct override *o = &grants->items[i];

        if ((o->key_id == NULL || strcmp(o->key_id, key) == 0) && o->revoked_at == 0 &&
            o->expired_at == 0 && o->expires_at > NOW && matches(o->pattern, agent))
            return true;
    }
    return false;
}

static enum decision_source model(const struct lists *l, const struct override_list *grants,
                                  const char *agent, const char *ns, bool trial)
{
    if (any(&l->key_deny, agent, trial) || any(&l->deny, agent, trial))
        return SOURCE_DENY;
    if (granted(grants, "k", agent))
        return SOURCE_OVERRIDE;
    for (int i = 0; i < NAMESPACES; i++)
        if (ns[0] == 'a' + i && ns[1] == '\0' && any(&l->space[i], agent, trial))
            return SOURCE_NAMESPACE_DEFAULT;
    if (any(counts(&l->key_allow, trial) ? &l->key_allow : &l->allow, agent, trial))
        return SOURCE_API_KEY;
    return SOURCE_DENY;
}

/* ---- the same as the program has it ---- */

struct built {
    const char *patterns[2][RULES];
    struct config_place places[2][RULES];
    struct config_patterns shadow;
};

static void build(const struct list *list, int line, struct built *b,
                  struct config_patterns *out)
{
    *out = (struct config_patterns){.patterns = b->patterns[0], .places = b->places[0]};
    b->shadow = (struct config_patterns){.patterns = b->patterns[1], .places = b->places[1]};
    for (size_t i = 0; i < list->count; i++) {
        struct config_patterns *to = list->on_trial[i] ? &b->shadow : out;
        struct config_place *places = b->places[list->on_trial[i]];

        to->patterns[to->count] = list->pattern[i];
        places[to->count++] = (struct config_place){"security.yaml", line + (int)i, 1};
    }
    out->present = counts(list, false);
    if (b->shadow.count > 0)
        out->shadow = &b->shadow;
}

static void make_grants(struct override_list *grants)
{
    static char texts[GRANTS][16], mine[] = "k", other[] = "other";
    char *const keys[] = {NULL, NULL, mine, other};

    grants->count = pick(GRANTS + 1);
    for (size_t i = 0; i < grants->count; i++) {
        snprintf(texts[i], sizeof texts[i], "%s", patterns[pick(PATTERNS)]);
        grants->items[i] = (struct override){
            .pattern = texts[i], .key_id = keys[pick(4)],
            .expires_at = NOW - 1 + pick(4), .revoked_at = pick(4) == 0,
            .expired_at = pick(6) == 0};
    }
}

struct tally {
    size_t sources[4], would_deny, would_allow;
};

static void compare(const struct lists *l, const struct override_list *grants,
                    const struct config_security *security, const struct config_key *key,
                    struct tally *tally)
{
    for (int i = 0; i < AGENTS; i++) {
        const char *agent = agents[i];
        char ns[8] = "";
        enum decision_source wanted, on_trial;
        struct decision d;

        if (strchr(agent, '/') != NULL)
            snprintf(ns, sizeof ns, "%.*s", (int)strcspn(agent, "/"), agent);
        decide_agent(security, key, grants, agent, ns, NOW, &d);
        wanted = model(l, grants, agent, ns, false);
        on_trial = model(l, grants, agent, ns, true);
        if (d.source != wanted || d.allowed != (wanted != SOURCE_DENY))
            fail_msg("%s: %s instead of %s", agent, decision_source_name(d.source),
                     decision_source_name(wanted));
        assert_int_equal(d.shadow.differs, (wanted == SOURCE_DENY) != (on_trial == SOURCE_DENY));
        if (d.pattern != NULL)
            assert_true(matches(d.pattern, agent));
        if (d.shadow.differs)
            assert_int_equal(d.shadow.allowed, on_trial != SOURCE_DENY);
        if (d.shadow.pattern != NULL)
            assert_true(matches(d.shadow.pattern, agent));
        assert_int_equal(d.shadow.place.line != 0, d.shadow.differs);
        tally->sources[d.source]++;
        tally->would_deny += d.shadow.differs && !d.shadow.allowed;
        tally->would_allow += d.shadow.differs && d.shadow.allowed;
    }
}

static void one_policy(struct tally *tally)
{
    static const char *const names[NAMESPACES] = {"a", "b"};
    struct override items[GRANTS] = {0};
    struct override_list grants = {.items = items};
    struct config_namespace spaces[NAMESPACES] = {0};
    struct config_security security = {.namespace_count = NAMESPACES, .namespaces = spaces};
    struct config_key key = {.id = "k"};
    struct built built[4 + NAMESPACES];
    struct lists l;

    make_list(&l.key_allow);
    make_list(&l.key_deny);
    make_list(&l.allow);
    make_list(&l.deny);
    build(&l.key_allow, 10, &built[0], &key.allow_agents);
    build(&l.key_deny, 20, &built[1], &key.deny_agents);
    build(&l.allow, 30, &built[2], &security.allow_agents);
    build(&l.deny, 40, &built[3], &security.deny_agents);
    for (int i = 0; i < NAMESPACES; i++) {
        make_list(&l.space[i]);
        spaces[i].name = names[i];
        build(&l.space[i], 50 + 10 * i, &built[4 + i], &spaces[i].allow_agents);
        security.has_shadow |= spaces[i].allow_agents.shadow != NULL;
    }
    security.has_shadow |= security.allow_agents.shadow != NULL ||
                           security.deny_agents.shadow != NULL;
    make_grants(&grants);
    compare(&l, &grants, &security, &key, tally);
}

static void agrees_with_the_model(void **state)
{
    struct tally tally = {0};

    (void)state;
    for (int i = 0; i < CASES / AGENTS; i++)
        one_policy(&tally);
    /* Each way to decide was met often enough to mean something. */
    for (int i = 0; i < 4; i++)
        assert_true(tally.sources[i] > CASES / 50);
    assert_true(tally.would_deny > CASES / 50 && tally.would_allow > CASES / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_the_model)};

    return cmocka_run_group_tests_name("policy/model", tests, NULL, NULL);
}

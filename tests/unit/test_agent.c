/* SPDX-License-Identifier: MIT */
/* The catalog's names, and the bodies that declarative agents send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/catalog.h"
#include "agent/run_declarative.h"
#include "build_config.h"
#include "yaml_cases.h"

static void bodies(void **state)
{
    json_t *cases = cases_load("agent/bodies.yaml"), *one;
    size_t i;

    (void)state;
    json_array_foreach(cases, i, one)
    {
        json_t *request = json_loads(cases_text(one, "request", "?"), 0, NULL);
        json_t *wanted = json_loads(cases_text(one, "sent", "?"), 0, NULL);
        json_t *before = json_deep_copy(request), *sent;
        struct config *config;
        char agents[1024], *dump;

        snprintf(agents, sizeof agents, "version: 1\nagents:\n  - %s\n",
                 cases_text(one, "agent", NULL));
        config = build_config(NULL, agents);
        sent = run_declarative_body(&config->agents[0], request, NULL, false);
        dump = json_dumps(sent, 0);
        assert_non_null(wanted);
        if (!json_equal(sent, wanted))
            fail_msg("%s: %s", cases_text(one, "name", NULL), dump);
        assert_true(json_equal(request, before)); /* the client's body is not ours to change */
        free(dump);
        json_decref(before);
        json_decref(sent);
        json_decref(wanted);
        json_decref(request);
        config_release(&config);
    }
    json_decref(cases);
}

static const char agents_text[] =
    "version: 1\n"
    "defaults: {upstream: echo, model: m}\n"
    "agents:\n"
    "  - {name: b}\n"
    "  - {name: a}\n"
    "  - {name: a, namespace: labs}\n"
    "  - {name: planner, namespace: labs}\n"
    "  - {name: tooled, tools: [t]}\n"
    "  - {name: module, kind: sdk, module: \"agents.x:build_agent\"}\n";

static const struct {
    const char *name, *id; /* NULL: not found */
} names[] = {
    {"default/a", "default/a"}, {"labs/a", "labs/a"},      {"a", NULL},
    {"b", "default/b"},         {"planner", "labs/planner"}, {"default/planner", NULL},
    {"", NULL},                 {"/", NULL},               {"labs/", NULL},
    {"B", NULL},                {"zzz", NULL},             {"0", NULL},
};

static void catalog_names(void **state)
{
    struct config *config = build_config(NULL, agents_text);
    struct catalog *catalog = catalog_new(config, NULL);

    (void)state;
    config_release(&config); /* the catalog holds its own reference */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct catalog_agent *found = catalog_find(catalog, names[i].name);
        const char *id = found == NULL ? NULL : found->spec->id;

        if ((id == NULL) != (names[i].id == NULL) ||
            (id != NULL && strcmp(id, names[i].id) != 0))
            fail_msg("'%s' is %s", names[i].name, id);
    }
    assert_int_equal(catalog_count(catalog), 6);
    for (size_t i = 1; i < catalog_count(catalog); i++)
        assert_true(strcmp(catalog_at(catalog, i - 1)->spec->id,
                           catalog_at(catalog, i)->spec->id) < 0);
    catalog_release(&catalog);
}

static void what_cannot_run_says_why(void **state)
{
    struct config *config = build_config(NULL, agents_text);
    struct catalog *catalog = catalog_new(config, NULL);

    (void)state;
    assert_true(catalog_find(catalog, "b")->available);
    assert_null(catalog_find(catalog, "b")->problem);
    assert_true(catalog_find(catalog, "tooled")->available);
    assert_false(catalog_find(catalog, "module")->available);
    assert_non_null(strstr(catalog_find(catalog, "module")->problem, "runner"));
    catalog_release(&catalog);
    config_release(&config);
}

#define LISTED(ns, name, more)                                                                   \
    "{\"id\":\"" ns "/" name "\",\"namespace\":\"" ns "\",\"name\":\"" name "\",\"lang\":\"c\","     \
    "\"module\":\"m\",\"path\":\"/p\",\"attr\":\"agent\",\"model\":\"listed\"," more "}"

/* An entry of agents.yaml comes before a drop-in of its name; one of kind sdk is that drop-in. */
static void drop_ins_are_agents_too(void **state)
{
    static const struct {
        const char *name, *id, *model;
        bool hosted, available;
    } merged[] = {
        {"default/b", "default/b", "m", false, true},
        {"labs/planner", "labs/planner", "m", false, true},
        {"default/module", "default/module", NULL, true, true},
        {"aaa/first", "aaa/first", "listed", true, true},
        {"zzz/last", "zzz/last", "listed", true, false},
        {"last", "zzz/last", "listed", true, false},
        {"planner", NULL, NULL, false, false}, /* travel has one too */
        {"travel/planner", "travel/planner", "listed", true, true},
    };
    struct config *config = build_config(NULL, agents_text);
    struct dropins *dropins = dropins_new(json_loads(
        "{\"agents\":[" LISTED("zzz", "last", "\"problem\":\"broken\"") ","
        LISTED("labs", "planner", "\"available\":true") ","
        LISTED("travel", "planner", "\"available\":true") ","
        LISTED("aaa", "first", "\"available\":true") ","
        LISTED("default", "module", "\"available\":true") "]}", 0, NULL));
    struct catalog *catalog = catalog_new(config, dropins);

    (void)state;
    dropins_release(&dropins); /* the catalog holds its own references */
    config_release(&config);
    assert_int_equal(catalog_count(catalog), 9);
    for (size_t i = 1; i < catalog_count(catalog); i++)
        assert_true(strcmp(catalog_at(catalog, i - 1)->spec->id,
                           catalog_at(catalog, i)->spec->id) < 0);
    for (size_t i = 0; i < sizeof merged / sizeof merged[0]; i++) {
        const struct catalog_agent *found = catalog_find(catalog, merged[i].name);

        assert_true((found == NULL) == (merged[i].id == NULL));
        if (found == NULL)
            continue;
        assert_string_equal(found->spec->id, merged[i].id);
        assert_true((found->dropin != NULL) == merged[i].hosted);
        assert_true(found->available == merged[i].available);
        assert_true((found->problem == NULL) == merged[i].available);
        if (merged[i].model != NULL)
            assert_string_equal(found->spec->model, merged[i].model);
    }
    catalog_release(&catalog);
}

static void what_the_runner_has_not_is_not_served(void **state)
{
    struct config *config = build_config(NULL, agents_text);
    struct dropins *dropins = dropins_new(json_loads("{\"agents\":[]}", 0, NULL));
    struct catalog *catalog = catalog_new(config, dropins);

    (void)state;
    assert_string_equal(catalog_find(catalog, "module")->problem,
                        "the agent runner does not have it");
    catalog_release(&catalog);
    dropins_release(&dropins);
    config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(catalog_names),
        cmocka_unit_test(what_cannot_run_says_why),
        cmocka_unit_test(drop_ins_are_agents_too),
        cmocka_unit_test(what_the_runner_has_not_is_not_served),
    };

    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}

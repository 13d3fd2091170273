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
    struct catalog *catalog = catalog_new(config);

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
    catalog_free(&catalog);
}

static void what_cannot_run_says_why(void **state)
{
    struct config *config = build_config(NULL, agents_text);
    struct catalog *catalog = catalog_new(config);

    (void)state;
    assert_true(catalog_find(catalog, "b")->available);
    assert_null(catalog_find(catalog, "b")->problem);
    assert_true(catalog_find(catalog, "tooled")->available);
    assert_false(catalog_find(catalog, "module")->available);
    assert_non_null(strstr(catalog_find(catalog, "module")->problem, "runner"));
    catalog_free(&catalog);
    config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(catalog_names),
        cmocka_unit_test(what_cannot_run_says_why),
    };

    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}

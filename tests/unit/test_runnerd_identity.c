/* SPDX-License-Identifier: MIT */
/* identity: what agents and modules are called after their folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "runnerd/identity.h"

static void folders_are_names(void **state)
{
    static const struct {
        const char *folder, *ns, *name;
    } rows[] = {
        {"Hello", "default", "hello"},
        {"hello.v2_x", "default", "hello.v2_x"},
        {"labs/Planner", "labs", "planner"},
        {"Labs Team/deep/er/Planner", "labs-team", "planner"},
        {"Research Agent", "default", "research-agent"},
        {"a//b", "a", "b"},
        {"\xc3\x9c" "ber/K\xc3\xbc" "che", "-ber", "k-che"},
        {"bad\xff\xfe" "bytes", "default", "bad--bytes"},
        {"A+B=C", "default", "a-b-c"},
        {"\x01\n", "default", "--"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct identity got;

        identity_of(rows[i].folder, "default", &got);
        assert_string_equal(got.ns, rows[i].ns);
        assert_string_equal(got.name, rows[i].name);
        assert_null(config_name_problem(got.ns));
        assert_null(config_name_problem(got.name));
    }
}

static void long_names_are_cut_to_what_a_name_may_have(void **state)
{
    char folder[600];
    struct identity got;

    (void)state;
    memset(folder, 'x', sizeof folder);
    folder[300] = '/';
    folder[sizeof folder - 1] = '\0';
    identity_of(folder, "default", &got);
    assert_null(config_name_problem(got.ns));
    assert_null(config_name_problem(got.name));
    identity_further(&got, folder);
    assert_null(config_name_problem(got.name));
}

static void further_exports_have_the_name_and_theirs(void **state)
{
    static const struct {
        const char *attribute, *name;
    } rows[] = {{"secondary", "research-secondary"}, {"build_agent", "research-build_agent"},
                {"$odd", "research--odd"}, {"", "research-"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct identity got;

        identity_of("Research", "default", &got);
        identity_further(&got, rows[i].attribute);
        assert_string_equal(got.name, rows[i].name);
    }
}

static void modules_are_dotted_paths(void **state)
{
    static const struct {
        const char *path, *module;
    } rows[] = {
        {"labs/Planner/agent.py", "labs.Planner.agent"}, {"Hello/agent.mjs", "Hello.agent"},
        {"bots.py", "bots"},        {"a.b/c", "a.b.c"},  {"a/b.c.so", "a.b.c"},
        {"plain", "plain"},         {"", ""},
    };
    char got[40];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(identity_module(rows[i].path, got, sizeof got));
        assert_string_equal(got, rows[i].module);
    }
    assert_true(identity_module("12345.py", got, 6));
    assert_false(identity_module("12345.py", got, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_names),
        cmocka_unit_test(long_names_are_cut_to_what_a_name_may_have),
        cmocka_unit_test(further_exports_have_the_name_and_theirs),
        cmocka_unit_test(modules_are_dotted_paths),
    };

    return cmocka_run_group_tests_name("runnerd/identity", tests, NULL, NULL);
}

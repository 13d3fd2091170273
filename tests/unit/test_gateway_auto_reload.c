/* SPDX-License-Identifier: MIT */
/* Which changes of files are noticed, and of which files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/auto_reload.h"

static char directory[] = "/tmp/agw-reload-XXXXXX";
static char agents[64], tools[64], fresh[64];

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void changes(void **state)
{
    struct config_gateway gateway = {.agents_file = agents, .tools_file = tools,
                                     .upstreams_file = NULL, .agent_auto_reload = true,
                                     .upstream_auto_reload = true};
    struct auto_reload a;

    (void)state;
    put(agents, "one");
    put(tools, "one");
    auto_reload_init(&a, &gateway);
    assert_false(auto_reload_changed(&a, CONFIG_AGENTS));
    put(agents, "two and more");
    assert_true(auto_reload_changed(&a, CONFIG_AGENTS));
    assert_false(auto_reload_changed(&a, CONFIG_AGENTS)); /* once a change */
    put(fresh, "two and more");
    assert_int_equal(rename(fresh, agents), 0); /* as editors do it: another file */
    assert_true(auto_reload_changed(&a, CONFIG_AGENTS));
    assert_int_equal(unlink(agents), 0);
    assert_false(auto_reload_changed(&a, CONFIG_AGENTS)); /* gone for a moment */
    put(agents, "three");
    assert_true(auto_reload_changed(&a, CONFIG_AGENTS));
    put(tools, "two");
    assert_false(auto_reload_changed(&a, CONFIG_TOOLS));     /* not wanted */
    assert_false(auto_reload_changed(&a, CONFIG_UPSTREAMS)); /* no file */
    assert_false(auto_reload_changed(&a, CONFIG_SECURITY));  /* never by itself */
    auto_reload_free(&a);
}

static void a_file_that_appears(void **state)
{
    struct config_gateway gateway = {.tools_file = tools, .tool_auto_reload = true};
    struct auto_reload a;

    (void)state;
    unlink(tools);
    auto_reload_init(&a, &gateway);
    assert_false(auto_reload_changed(&a, CONFIG_TOOLS));
    put(tools, "one");
    assert_true(auto_reload_changed(&a, CONFIG_TOOLS));
    auto_reload_free(&a);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(agents, sizeof agents, "%s/agents.yaml", directory);
    snprintf(tools, sizeof tools, "%s/tools.yaml", directory);
    snprintf(fresh, sizeof fresh, "%s/new", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(agents);
    unlink(tools);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes),
        cmocka_unit_test(a_file_that_appears),
    };

    return cmocka_run_group_tests_name("gateway/auto_reload", tests, setup, teardown);
}

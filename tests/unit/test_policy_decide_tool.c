/* SPDX-License-Identifier: MIT */
/* Which tools may be called: one row a rule, with the list that decides and the trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "build_config.h"
#include "policy/decide_tool.h"

#define HASH(first) "hashed_key: \"sha256:" first \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""

static const char policy[] =
    "version: 1\n"
    "default:\n"
    "  allow_tools: [\"files.*\", say]\n"
    "  deny_tools: [\"*.write\"]\n"
    "  local_tools_allowlist: [\"bin/*:say\"]\n"
    "  tool_rules:\n"
    "    - {agents: [\"labs/*\"], deny_tools: [\"files.list\"]}\n"
    "    - {agents: [\"labs/*\", \"ops/*\"], allow_tools: [\"files.*\"]}\n"
    "    - {agents: [\"ops/strict\"], allow_tools: [\"files.read\"], deny_tools: []}\n"
    "    - {agents: [], deny_tools: [\"*\"]}\n"
    "api_keys:\n"
    "  - {id: plain, " HASH("1") "}\n"
    "  - {id: own, allow_tools: [\"web\", \"*.write\"], " HASH("2") "}\n"
    "  - {id: none, allow_tools: [], " HASH("3") "}\n"
    "  - {id: denied, allow_tools: [\"*\"], deny_tools: [\"web\"], " HASH("4") "}\n";

static const struct {
    const char *key, *agent, *tool, *command;
    bool allowed;
    const char *list, *pattern;
    int line; /* of the rule, 0 = none */
} rows[] = {
    {"plain", "a/b", "files.read", NULL, true, "default.allow_tools", "files.*", 3},
    {"plain", "a/b", "web", NULL, false, "default.allow_tools", NULL, 0},
    {"plain", "a/b", "files.write", NULL, false, "default.deny_tools", "*.write", 4},
    {"own", "a/b", "web", NULL, true, "key.allow_tools", "web", 13},
    {"own", "a/b", "files.read", NULL, false, "key.allow_tools", NULL, 0},
    {"own", "a/b", "x.write", NULL, false, "default.deny_tools", "*.write", 4},
    {"none", "a/b", "say", NULL, false, "key.allow_tools", NULL, 0},
    {"denied", "a/b", "web", NULL, false, "key.deny_tools", "web", 15},
    {"denied", "a/b", "Web", NULL, true, "key.allow_tools", "*", 15},
    {"plain", "labs/x", "files.list", NULL, false, "tool_rules.deny_tools", "files.list", 7},
    {"plain", "labs/x", "files.read", NULL, true, "tool_rules.allow_tools", "files.*", 8},
    {"plain", "labs/x", "say", NULL, false, "tool_rules.allow_tools", NULL, 8},
    {"plain", "ops/x", "files.list", NULL, true, "tool_rules.allow_tools", "files.*", 8},
    /* every rule about the agent must allow it */
    {"plain", "ops/strict", "files.read", NULL, true, "tool_rules.allow_tools", "files.read", 9},
    {"plain", "ops/strict", "files.list", NULL, false, "tool_rules.allow_tools", NULL, 9},
    {"own", "ops/x", "web", NULL, false, "tool_rules.allow_tools", NULL, 8},
    {"plain", "a/b", "say", "bin/say", true, "default.allow_tools", "say", 3},
    {"plain", "a/b", "say", "/bin/say", false, "default.local_tools_allowlist", NULL, 0},
    {"plain", "a/b", "files.x", "bin/say", false, "default.local_tools_allowlist", NULL, 0},
    {"plain", "labs/x", "say", "bin/say", false, "tool_rules.allow_tools", NULL, 8},
};

static const struct config_key *key_named(const struct config *config, const char *id)
{
    for (size_t i = 0; i < config->security.key_count; i++)
        if (strcmp(config->security.keys[i].id, id) == 0)
            return &config->security.keys[i];
    return NULL;
}

static void each_rule_decides(void **state)
{
    struct config *config = build_config(policy, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct decide_tool subject = {rows[i].tool, rows[i].agent, rows[i].command};
        struct decision d;
        const struct decision_step *last;

        decide_tool(&config->security, key_named(config, rows[i].key), &subject, &d);
        last = &d.steps[d.step_count - 1];
        if (d.allowed != rows[i].allowed || strcmp(last->rule, rows[i].list) != 0 ||
            d.place.line != rows[i].line)
            fail_msg("row %zu: %d by %s, line %d", i, d.allowed, last->rule, d.place.line);
        assert_int_equal(d.source, rows[i].allowed ? SOURCE_API_KEY : SOURCE_DENY);
        assert_int_equal(d.pattern == NULL, rows[i].pattern == NULL);
        if (d.pattern != NULL)
            assert_string_equal(d.pattern, rows[i].pattern);
        assert_string_equal(d.steps[0].rule, "key.deny_tools");
    }
    config_release(&config);
}

static void a_command_that_is_too_long_is_not_on_the_list(void **state)
{
    struct config *config = build_config(policy, NULL);
    char command[1000] = "bin/";
    struct decide_tool subject = {"say", "a/b", command};
    struct decision d;

    (void)state;
    memset(command + 4, 'x', sizeof command - 5);
    decide_tool(&config->security, key_named(config, "plain"), &subject, &d);
    assert_false(d.allowed);
    config_release(&config);
}

static void without_lists_agents_may_what_they_have(void **state)
{
    struct config *config = build_config(NULL, NULL);
    struct decide_tool subject = {"anything", "a/b", NULL};
    struct decision d;

    (void)state;
    decide_tool(&config->security, &config->security.keys[0], &subject, &d);
    assert_true(d.allowed);
    subject.command = "bin/say"; /* but no program of this host */
    decide_tool(&config->security, &config->security.keys[0], &subject, &d);
    assert_false(d.allowed);
    config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_decides),
        cmocka_unit_test(a_command_that_is_too_long_is_not_on_the_list),
        cmocka_unit_test(without_lists_agents_may_what_they_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

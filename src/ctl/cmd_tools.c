/* SPDX-License-Identifier: MIT */
/* agwctl tools: lists, tests and calls the tools that tools.yaml configures. */
#include <stdlib.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "net/http_client.h"
#include "policy/audit.h"
#include "tools/invoke.h"

enum { LIST_WAIT_MS = 30000, QUEUE_MAX = 16, COMMIT_WAIT_MS = 10000 };

/* The tools as a worker of the gateway has them, with their lists. */
static int open_tools(struct call *call, const struct config **config, struct toolset **set)
{
    struct err e = {0};
    int status = context_config(call, config, NULL);

    *set = NULL;
    if (status != CTL_FINE)
        return status;
    if (http_client_init() != 0)
        return call_fail("libcurl cannot be used");
    *set = toolset_new(tool_providers);
    if (*set == NULL ||
        toolset_update(*set, (struct config *)(uintptr_t)*config, &e) != 0) {
        toolset_free(set);
        return call_fail("out of memory");
    }
    toolset_refresh(*set, LIST_WAIT_MS);
    return CTL_FINE;
}

/* -- list and test ------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void add_entry(struct table *table, const json_t *entry)
{
    const json_t *tools = json_object_get(entry, "tools");
    const char *problem =
        json_string_value(json_array_get(json_object_get(entry, "diagnostics"), 0));
    size_t i;
    json_t *tool;

    json_array_foreach((json_t *)tools, i, tool)
    {
        table_text(table, STYLE_BOLD, text_of(tool, "name"));
        table_text(table, STYLE_PLAIN, text_of(entry, "provider"));
        table_text(table, STYLE_PLAIN, text_of(tool, "description"));
        table_text(table, STYLE_WARNING, i == 0 ? problem : NULL);
    }
    if (i > 0)
        return;
    table_text(table, STYLE_BOLD, text_of(entry, "name"));
    table_text(table, STYLE_PLAIN, text_of(entry, "provider"));
    table_text(table, STYLE_PLAIN, NULL);
    table_text(table, STYLE_BAD, problem);
}

static int show(const struct call *call, const json_t *entries)
{
    static const struct table_column columns[] = {
        {"TOOL", false}, {"PROVIDER", false}, {"DESCRIPTION", false}, {"PROBLEM", false},
        {NULL, false}};
    struct table *table = table_new(columns);
    size_t i;
    json_t *entry;

    json_array_foreach((json_t *)entries, i, entry) add_entry(table, entry);
    return table_print(&table, call->colour, "No tools are configured.") == 0 ? CTL_FINE
                                                                             : CTL_FAILED;
}

static int shown_entries(struct call *call, json_t **entries)
{
    const struct config *config;
    struct toolset *set;
    int status = open_tools(call, &config, &set);

    *entries = NULL;
    if (status != CTL_FINE)
        return status;
    *entries = toolset_json(set);
    toolset_free(&set);
    return *entries == NULL ? call_fail("out of memory") : CTL_FINE;
}

static int run_list(struct call *call)
{
    json_t *entries;
    int status = shown_entries(call, &entries);

    if (status != CTL_FINE)
        return status;
    if (call->json)
        return call_json(json_pack("{s:o}", "tools", entries), CTL_FINE);
    status = show(call, entries);
    json_decref(entries);
    return status;
}

static json_t *findings_of(const json_t *entries)
{
    json_t *findings = json_array(), *entry, *text;
    size_t i, j;

    json_array_foreach((json_t *)entries, i, entry)
    {
        json_array_foreach(json_object_get(entry, "diagnostics"), j, text)
            json_array_append_new(findings,
                                  json_pack("{s:s,s:O}", "tool", text_of(entry, "name"),
                                            "problem", text));
    }
    return findings;
}

static int run_test(struct call *call)
{
    json_t *entries, *findings, *finding;
    size_t i, count;
    int status = shown_entries(call, &entries);

    if (status != CTL_FINE)
        return status;
    count = json_array_size(entries);
    findings = findings_of(entries);
    json_decref(entries);
    status = json_array_size(findings) == 0 ? CTL_FINE : CTL_FINDING;
    if (call->json)
        return call_json(json_pack("{s:I,s:o}", "entries", (json_int_t)count, "findings",
                                   findings), status);
    json_array_foreach(findings, i, finding)
        output_styled(call->colour, STYLE_WARNING, "%s: %s", text_of(finding, "tool"),
                      text_of(finding, "problem"));
    if (status == CTL_FINE)
        output_styled(call->colour, STYLE_GOOD, "All %zu entries of tools.yaml are fine.", count);
    json_decref(findings);
    return status;
}

/* -- call ---------------------------------------------------------------------------------- */

/* Who has a shell here may call every tool that nobody is denied. */
static const struct config_key *key_of(const struct call *call, const struct config *config)
{
    static const char *every[] = {"*"};
    static struct config_place nowhere[1];
    static struct config_key operator = {
        .allow_tools = {.present = true, .count = 1, .patterns = every, .places = nowhere}};
    const char *id = call_text(call, "key");

    operator.id = context_actor();
    if (id == NULL)
        return &operator;
    for (size_t i = 0; i < config->security.key_count; i++)
        if (strcmp(config->security.keys[i].id, id) == 0)
            return &config->security.keys[i];
    return NULL;
}

static int show_result(const struct call *call, const char *name,
                       const struct tool_result *result)
{
    int status = result->status == TOOL_OK ? CTL_FINE : CTL_FINDING;

    if (call->json)
        return call_json(json_pack("{s:s,s:s,s:o,s:O?,s:b,s:I}", "tool", name, "status",
                                   tool_status_name(result->status), "content",
                                   output_json_text(result->content), "structured",
                                   result->structured, "truncated", result->truncated,
                                   "duration_us", (json_int_t)result->duration_us), status);
    if (status != CTL_FINE)
        output_styled(call->colour, STYLE_BAD, "%s", tool_status_name(result->status));
    if (result->content != NULL)
        output_text(stdout, result->content);
    output_line("%s", "");
    return status;
}

static int invoke(struct call *call, const struct config *config, struct toolset *set,
                  struct audit *audit)
{
    const char *text = call_text(call, "args"), *agent = call_text(call, "agent");
    struct invoke_caller caller = {
        .toolset = set, .security = &config->security, .generation = -1,
        .key = key_of(call, config), .agent = agent == NULL ? "agwctl/agwctl" : agent,
        .audit = audit, .source = "agwctl", .watch_fd = -1};
    struct invoke_request request = {.name = call_argument(call, 0), .arguments = text,
                                     .arguments_length = text == NULL ? 0 : strlen(text)};
    struct tool_result result;
    struct err e = {0};
    int status;

    if (caller.key == NULL)
        return call_fail("there is no key '%s' in security.yaml", call_text(call, "key"));
    if (invoke_tool(&caller, &request, &result, &e) != 0)
        status = call_fail("%s", e.message);
    else
        status = show_result(call, request.name, &result);
    tool_result_clear(&result);
    return status;
}

static int run_call(struct call *call)
{
    const struct audit_options options = {.queue_max = QUEUE_MAX, .wait_ms = COMMIT_WAIT_MS};
    const struct config *config;
    struct audit *audit;
    struct toolset *set;
    struct store *store;
    struct err e = {0};
    int status = context_store(call, CONTEXT_WRITE, &store);

    if (status != CTL_FINE)
        return status;
    status = open_tools(call, &config, &set);
    if (status != CTL_FINE)
        return status;
    if (audit_start(store, &options, &audit, &e) != 0) {
        status = call_fail("%s", e.message);
    } else {
        status = invoke(call, config, set, audit);
        audit_stop(&audit);
    }
    toolset_free(&set);
    return status;
}

/* -- rows ---------------------------------------------------------------------------------- */

const struct command cmd_tools_list = {
    .group = "tools",
    .name = "list",
    .summary = "List the tools that agents can have, asking servers for theirs",
    .run = run_list,
};

static const struct command_option call_options[] = {
    {"args", VALUE_TEXT, "JSON", "the arguments, a JSON object", false, 0, 0},
    {"key", VALUE_TEXT, "ID", "decide as for this API key", false, 0, 0},
    {"agent", VALUE_TEXT, "NAME", "decide as for this agent", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_argument call_arguments[] = {
    {"TOOL", VALUE_TEXT, "the tool's name", false},
    {NULL, VALUE_NONE, NULL, false},
};

const struct command cmd_tools_call = {
    .group = "tools",
    .name = "call",
    .summary = "Call a tool, by the policy and on the record",
    .options = call_options,
    .arguments = call_arguments,
    .run = run_call,
};

const struct command cmd_tools_test = {
    .group = "tools",
    .name = "test",
    .summary = "Ask every source of tools for its tools, and say what is wrong",
    .run = run_test,
};

/* SPDX-License-Identifier: MIT */
/* agwctl tools mcp-probe: speaks to an MCP server as the gateway would, and tells what it says. */
#include <stdlib.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "net/http_client.h"
#include "tools/tool.h"
#include "util/clock.h"
#include "util/secret.h"

enum { TIMEOUT_S = 30, RESULT_MAX = 65536, SAMPLE_DEPTH = 8 };

/* ---- arguments out of the air ---- */

static json_t *sample(const json_t *schema, int depth);

static json_t *sample_object(const json_t *schema, int depth)
{
    const json_t *properties = json_object_get(schema, "properties");
    json_t *object = json_object(), *name;
    size_t i;

    json_array_foreach(json_object_get(schema, "required"), i, name)
    {
        const char *key = json_string_value(name);

        if (key != NULL)
            json_object_set_new(object, key, sample(json_object_get(properties, key), depth));
    }
    return object;
}

static json_t *sample_number(const json_t *schema)
{
    json_t *least = json_object_get(schema, "minimum");

    return json_is_number(least) ? json_incref(least) : json_integer(1);
}

static json_t *sample(const json_t *schema, int depth)
{
    static const char *const ready[] = {"const", "default"}, *const lists[] = {"enum", "examples"};
    const json_t *first = json_array_get(json_object_get(schema, "anyOf"), 0);
    const char *type;

    for (size_t i = 0; i < 2; i++)
        if (json_object_get(schema, ready[i]) != NULL)
            return json_deep_copy(json_object_get(schema, ready[i]));
    for (size_t i = 0; i < 2; i++)
        if (json_array_size(json_object_get(schema, lists[i])) > 0)
            return json_deep_copy(json_array_get(json_object_get(schema, lists[i]), 0));
    if (first != NULL && depth < SAMPLE_DEPTH)
        return sample(first, depth + 1);
    type = json_string_value(json_object_get(schema, "type"));
    if (type == NULL || strcmp(type, "string") == 0)
        return json_string("probe");
    if (strcmp(type, "boolean") == 0)
        return json_true();
    if (strcmp(type, "array") == 0)
        return json_array();
    if (strcmp(type, "object") == 0)
        return depth < SAMPLE_DEPTH ? sample_object(schema, depth + 1) : json_object();
    return strcmp(type, "null") == 0 ? json_null() : sample_number(schema);
}

/* ---- the server ---- */

struct probe {
    const struct tool_provider *provider;
    void *state;
    struct config_tool config;
    struct config_header header;
    char *authorization;
    int64_t timeout_ms;
};

static void ignore(void *arg)
{
    (void)arg;
}

static int take_token(struct probe *probe, const char *variable)
{
    const char *token = variable == NULL ? NULL : getenv(variable);

    if (variable == NULL)
        return CTL_FINE;
    if (token == NULL)
        return call_fail("the environment has no variable '%s'", variable);
    if (asprintf(&probe->authorization, "Bearer %s", token) < 0) {
        probe->authorization = NULL;
        return call_fail("out of memory");
    }
    probe->header = (struct config_header){"Authorization", probe->authorization, true};
    probe->config.headers = &probe->header;
    probe->config.header_count = 1;
    return CTL_FINE;
}

static int open_probe(const struct call *call, struct probe *probe)
{
    struct err e = {0};
    int status;

    *probe = (struct probe){
        .provider = tool_providers[TOOL_MCP],
        .timeout_ms = call_number(call, "timeout", TIMEOUT_S) * 1000,
        .config = {.name = "probe", .provider = TOOL_MCP, .url = call_argument(call, 0),
                   .method = "*", .allow_private = true, .max_result_bytes = RESULT_MAX}};
    probe->config.timeout_ms = probe->timeout_ms;
    if (strncmp(probe->config.url, "http://", 7) != 0 &&
        strncmp(probe->config.url, "https://", 8) != 0)
        return call_usage(call, "'%s' is no URL: it must begin with http:// or https://",
                          probe->config.url);
    if (http_client_init() != 0)
        return call_fail("libcurl cannot be used");
    status = take_token(probe, call_text(call, "bearer-env"));
    if (status != CTL_FINE)
        return status;
    probe->state = probe->provider->open(&probe->config, ignore, NULL, &e);
    return probe->state == NULL ? call_fail("%s", e.message) : CTL_FINE;
}

static void close_probe(struct probe *probe)
{
    if (probe->state != NULL)
        probe->provider->close(probe->state);
    secret_free(&probe->authorization);
}

static json_t *call_one(const struct probe *probe, const struct tool_offer *offer)
{
    struct tool tool = {.name = offer->name, .remote = offer->name, .config = &probe->config};
    json_t *arguments = sample_object(offer->schema, 0), *report;
    struct tool_call call = {.tool = &tool, .arguments = arguments, .call_id = "probe",
                             .request_id = "probe", .max_result = RESULT_MAX, .watch_fd = -1,
                             .deadline_ms = clock_mono_ms() + probe->timeout_ms};
    struct tool_result result = {0};

    probe->provider->call(probe->state, &call, &result);
    report = json_pack("{s:o,s:s,s:o,s:O?}", "arguments", arguments, "status",
                       tool_status_name(result.status), "content",
                       output_json_text(result.content), "structured", result.structured);
    tool_result_clear(&result);
    return report;
}

/* What there is to tell; NULL: memory is out. */
static json_t *report_of(const struct probe *probe, const struct tool_offers *offers,
                         bool with_calls, bool *all_fine)
{
    json_t *report = json_pack("{s:s,s:[],s:[]}", "url", probe->config.url, "diagnostics",
                               "tools");
    json_t *tools = json_object_get(report, "tools");

    *all_fine = true;
    for (size_t i = 0; i < offers->count; i++) {
        const struct tool_offer *offer = &offers->list[i];
        json_t *called = with_calls ? call_one(probe, offer) : json_null();
        const char *status = json_string_value(json_object_get(called, "status"));

        *all_fine = *all_fine && (status == NULL || strcmp(status, "ok") == 0);
        json_array_append_new(tools,
                              json_pack("{s:o,s:o,s:O?,s:o}", "name",
                                        output_json_text(offer->name), "description",
                                        output_json_text(offer->description), "schema",
                                        offer->schema, "call", called));
    }
    if (report != NULL && offers->count == 0)
        json_array_append_new(json_object_get(report, "diagnostics"),
                              json_string("the server offers no tools"));
    if (report != NULL)
        probe->provider->describe(probe->state, report);
    return report;
}

/* ---- shown ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static int show(const struct call *call, json_t *report, bool with_calls)
{
    static const struct table_column columns[] = {
        {"TOOL", false}, {"DESCRIPTION", false}, {"CALL", false}, {"RESULT", false},
        {NULL, false}};
    const json_t *server = json_object_get(report, "server");
    struct table *table = table_new(columns);
    json_t *one;
    size_t i;

    output_line("%s %s, MCP %s (%s)", *text_of(server, "name") ? text_of(server, "name")
                                                                : "A server without a name",
                text_of(server, "version"), text_of(report, "protocol"), text_of(report, "era"));
    json_array_foreach(json_object_get(report, "diagnostics"), i, one)
    {
        output_styled(call->colour, STYLE_WARNING, "%s", json_string_value(one));
    }
    json_array_foreach(json_object_get(report, "tools"), i, one)
    {
        const json_t *called = json_object_get(one, "call");
        const char *status = text_of(called, "status");

        table_text(table, STYLE_BOLD, text_of(one, "name"));
        table_text(table, STYLE_PLAIN, text_of(one, "description"));
        table_text(table, strcmp(status, "ok") == 0 ? STYLE_GOOD : STYLE_BAD,
                   with_calls ? status : NULL);
        table_text(table, STYLE_PLAIN, text_of(called, "content"));
    }
    json_decref(report);
    return table_print(&table, call->colour, "") == 0 ? CTL_FINE : call_fail("out of memory");
}

static int tell(struct call *call, const struct probe *probe, const struct tool_offers *offers)
{
    bool with_calls = call_flag(call, "call"), all_fine;
    json_t *report = report_of(probe, offers, with_calls, &all_fine);
    int status = all_fine ? CTL_FINE : CTL_FINDING, shown;

    if (call->json || report == NULL)
        return call_json(report, status);
    shown = show(call, report, with_calls);
    return shown == CTL_FINE ? status : shown;
}

static int run(struct call *call)
{
    struct tool_offers offers = {0};
    struct probe probe;
    struct err e = {0};
    int status = open_probe(call, &probe);

    if (status == CTL_FINE) {
        if (probe.provider->list(probe.state, clock_mono_ms() + probe.timeout_ms, -1, &offers,
                                 &e) != 0)
            status = call_fail("%s: %s", probe.config.url, e.message);
        else
            status = tell(call, &probe, &offers);
        tool_offers_clear(&offers);
    }
    close_probe(&probe);
    return status;
}

/* ---- row ---- */

static const struct command_option options[] = {
    {"call", VALUE_NONE, NULL, "call every tool, with made-up arguments", false, 0, 0},
    {"bearer-env", VALUE_TEXT, "NAME", "send the value of this environment variable as a token",
     false, 0, 0},
    {"timeout", VALUE_NUMBER, "SECONDS", "how long the list, and each call, may take", false, 1,
     3600},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_argument arguments[] = {
    {"URL", VALUE_TEXT, "the endpoint of an MCP server", false},
    {NULL, VALUE_NONE, NULL, false},
};

const struct command cmd_tools_mcp_probe = {
    .group = "tools",
    .name = "mcp-probe",
    .summary = "Speak to an MCP server as the gateway would, and tell what it says",
    .options = options,
    .arguments = arguments,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/* descriptor, native_module: agents in C, good ones and bad ones, and what is told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "runnerd/native/native_module.h"

static int tool(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)run;
    (void)arguments;
    (void)result;
    return AGW_DONE;
}

static int guardrail(struct agw_run *run, const char *text, struct agw_text *why)
{
    return tool(run, text, why);
}

static int instruct(struct agw_run *run, struct agw_text *text)
{
    return tool(run, "", text);
}

#define HEAD .version = AGW_AGENT_VERSION, .name = "A"

/* ---- bad descriptors ---- */

static const struct agw_tool no_function[] = {{.name = "t"}, {0}};
static const struct agw_tool bad_name[] = {{.name = "a b", .call = tool}, {0}};
static const struct agw_tool handoff_name[] = {{.name = "transfer_to_x", .call = tool}, {0}};
static const struct agw_tool empty_name[] = {{.name = "", .call = tool}, {0}};
static const struct agw_tool twice[] = {{.name = "t", .call = tool}, {.name = "t", .call = tool},
                                        {0}};
static const struct agw_tool no_json[] = {
    {.name = "t", .parameters = "{\n \"type\": }", .call = tool}, {0}};
static const struct agw_tool no_object[] = {{.name = "t", .parameters = "[]", .call = tool}, {0}};
static const struct agw_tool no_schema[] = {
    {.name = "t", .parameters = "{\"type\": \"object\", \"required\": 3}", .call = tool}, {0}};
static const struct agw_tool no_text[] = {
    {.name = "t", .description = "\xff", .call = tool}, {0}};
static const struct agw_guardrail no_check[] = {{.name = "g"}, {0}};

static const struct {
    struct agw_agent agent;
    const char *says;
} bad[] = {
    {{.version = 0, .name = "A"}, "version 0 of agent_gateway/agent.h"},
    {{.version = AGW_AGENT_VERSION + 1, .name = "A"}, "build it again"},
    {{.version = AGW_AGENT_VERSION}, "needs a name"},
    {{.version = AGW_AGENT_VERSION, .name = ""}, "needs a name"},
    {{.version = AGW_AGENT_VERSION, .name = "\xff"}, "needs a name"},
    {{HEAD, .instructions = "x", .instruct = instruct}, "both instructions and instruct"},
    {{HEAD, .instructions = "\xff"}, "not UTF-8"},
    {{HEAD, .settings = "{\"a\": 1, \"a\": 2}"}, "settings of A is no JSON: line 1"},
    {{HEAD, .settings = "3"}, "settings of A is no JSON"},
    {{HEAD, .settings = "[]"}, "settings of A must be a JSON object"},
    {{HEAD, .output_schema = "{\"type\": 7}"}, "output_schema of A: at '/type'"},
    {{HEAD, .max_tool_rounds = -1}, "negative"},
    {{HEAD, .tools = no_function}, "the tool t of A has no function"},
    {{HEAD, .tools = bad_name}, "'a b' of A needs a name of letters"},
    {{HEAD, .tools = handoff_name}, "does not begin with transfer_to_"},
    {{HEAD, .tools = empty_name}, "needs a name of letters"},
    {{HEAD, .tools = twice}, "two tools t"},
    {{HEAD, .tools = no_json}, "t of A is no JSON: line 2"},
    {{HEAD, .tools = no_object}, "t of A must be a JSON object"},
    {{HEAD, .tools = no_schema}, "the tool t of A: its schema at '/required'"},
    {{HEAD, .tools = no_text}, "not UTF-8"},
    {{HEAD, .input_guardrails = no_check}, "the guardrail g of A has no function"},
    {{HEAD, .output_guardrails = no_check}, "the guardrail g of A has no function"},
};

static void bad_descriptors_are_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *problems = json_array();
        char *all;

        assert_null(descriptor_new(&bad[i].agent, problems));
        all = json_dumps(problems, JSON_ENSURE_ASCII);
        if (json_array_size(problems) != 1 ||
            strstr(json_string_value(json_array_get(problems, 0)), bad[i].says) == NULL)
            fail_msg("wanted: %s; said: %s", bad[i].says, all);
        free(all);
        json_decref(problems);
    }
}

static void lists_without_an_end_are_not_read_on(void **state)
{
    struct agw_tool many[DESCRIPTOR_LIST_MAX + 1];
    struct agw_agent agent = {HEAD, .tools = many};
    json_t *problems = json_array();

    (void)state;
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++)
        many[i] = (struct agw_tool){.name = "t", .call = tool};
    assert_null(descriptor_new(&agent, problems));
    assert_non_null(strstr(json_string_value(json_array_get(problems, 0)), "is the last one empty"));
    json_decref(problems);
}

/* ---- good ones ---- */

static const struct agw_tool tools[] = {
    {"now", "The time.", NULL, tool},
    {"until", NULL, "{\"type\":\"object\",\"properties\":{\"date\":{\"type\":\"string\"}},"
                    "\"required\":[\"date\"]}", tool},
    {0}};
static const struct agw_guardrail guardrails[] = {{"fine", guardrail}, {0}};

static void tools_are_defined_as_models_want_them(void **state)
{
    struct agw_agent agent = {HEAD, .tools = tools, .input_guardrails = guardrails,
                              .settings = "{\"temperature\": 0.5}",
                              .output_schema = "{\"type\": \"object\"}"};
    json_t *problems = json_array();
    struct descriptor *d = descriptor_new(&agent, problems);
    json_t *wanted = json_loads("{\"type\":\"function\",\"function\":{\"name\":\"now\","
                                "\"description\":\"The time.\",\"parameters\":{\"type\":\"object\","
                                "\"properties\":{}}}}", 0, NULL);

    (void)state;
    assert_non_null(d);
    assert_int_equal(d->tool_count, 2);
    assert_true(json_equal(d->tools[0].definition, wanted));
    assert_null(json_object_get(json_object_get(d->tools[1].definition, "function"),
                                "description"));
    assert_ptr_equal(descriptor_tool(d, "until"), &d->tools[1]);
    assert_null(descriptor_tool(d, "Until"));
    assert_string_equal(json_string_value(json_object_get(d->response_format, "type")),
                        "json_schema");
    assert_non_null(d->output);
    assert_true(json_is_real(json_object_get(d->settings, "temperature")));
    assert_int_equal(json_array_size(problems), 0);
    json_decref(wanted);
    json_decref(problems);
    descriptor_free(&d);
    descriptor_free(&d);
}

static void names_become_names_of_functions(void **state)
{
    static const struct {
        const char *name, *handoff;
    } rows[] = {{"Poet", "transfer_to_poet"},
                {"Trip Planner 2", "transfer_to_trip_planner_2"},
                {"a-b.c", "transfer_to_a_b_c"},
                {"\xc3\x9c", "transfer_to___"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct agw_agent agent = {.version = AGW_AGENT_VERSION, .name = rows[i].name};
        char name[DESCRIPTOR_HANDOFF_SIZE];

        descriptor_handoff(&agent, name);
        assert_string_equal(name, rows[i].handoff);
    }
}

/* ---- the catalog ---- */

static const struct agw_agent budget = {.version = AGW_AGENT_VERSION, .name = "Budget Helper",
                                        .model = "small"};
static const struct agw_agent trips;
static const struct agw_agent *const to_budget[] = {&budget, &trips, NULL};
static const struct agw_agent *const further[] = {&budget, NULL};
static const char *const of_gateway[] = {"files.read", NULL};
static const struct agw_agent trips = {
    .version = AGW_AGENT_VERSION, .name = "Trips", .tools = tools, .handoffs = to_budget,
    .gateway_tools = of_gateway, .others = further, .in_namespace = "labs",
    .display_name = "Trip planner", .description = "Plans.", .model = "large", .upstream = "main"};

static void the_catalog_says_what_there_is(void **state)
{
    struct native_module module;
    struct native_export exports[] = {{"agent", &trips}};
    json_t *catalog, *wanted = json_loads(
        "{\"gateway\":{\"namespace\":\"labs\",\"display_name\":\"Trip planner\","
        "\"description\":\"Plans.\",\"model\":\"large\",\"upstream\":\"main\"},\"doc\":null,"
        "\"exports\":[{\"attr\":\"agent\",\"kind\":\"agent\",\"name\":\"Trips\",\"model\":\"large\","
        "\"tools\":[\"now\",\"until\",\"files.read\"],\"handoffs\":[\"Budget Helper\",\"Trips\"]},"
        "{\"attr\":\"budget_helper\",\"kind\":\"agent\",\"name\":\"Budget Helper\","
        "\"model\":\"small\",\"tools\":[],\"handoffs\":[]}],\"diagnostics\":[]}", 0, NULL);

    (void)state;
    native_module_init(&module);
    catalog = native_module_take(&module, "x/agent.so", exports, 1);
    assert_true(json_equal(catalog, wanted));
    assert_ptr_equal(native_module_export(&module, "agent")->agent, &trips);
    assert_ptr_equal(native_module_export(&module, "budget_helper")->agent, &budget);
    assert_null(native_module_export(&module, "trips"));
    json_decref(wanted);
    json_decref(catalog);
    native_module_free(&module);
}

static const struct agw_agent broken = {.version = 7, .name = "Broken"};
static const struct agw_agent same = {.version = AGW_AGENT_VERSION, .name = "budget helper"};
static const struct agw_agent *const to_broken[] = {&broken, NULL};
static const struct agw_agent *const mixed[] = {&broken, &budget, &same, NULL};
static const struct agw_agent leads_astray = {.version = AGW_AGENT_VERSION, .name = "Astray",
                                              .handoffs = to_broken};
static const struct agw_agent holds_all = {.version = AGW_AGENT_VERSION, .name = "All",
                                           .others = mixed, .description = "\xff"};

static void check_faults(const struct agw_agent *agent, size_t exports, size_t diagnostics)
{
    struct native_module module;
    struct native_export one[] = {{"agent", agent}};
    json_t *catalog, *diagnostic;
    size_t i;

    native_module_init(&module);
    catalog = native_module_take(&module, "x/agent.so", one, 1);
    assert_int_equal(json_array_size(json_object_get(catalog, "exports")), exports);
    assert_int_equal(json_array_size(json_object_get(catalog, "diagnostics")), diagnostics);
    json_array_foreach(json_object_get(catalog, "diagnostics"), i, diagnostic)
    {
        assert_string_equal(json_string_value(json_object_get(diagnostic, "kind")), "validation");
        assert_string_equal(json_string_value(json_object_get(diagnostic, "severity")), "error");
        assert_string_equal(json_string_value(json_object_get(diagnostic, "path")), "x/agent.so");
        assert_true(json_is_string(json_object_get(diagnostic, "message")));
    }
    json_decref(catalog);
    native_module_free(&module);
}

static void an_agent_with_faults_is_left_out_and_the_others_stay(void **state)
{
    (void)state;
    check_faults(&broken, 0, 1);
    check_faults(&leads_astray, 0, 1);
    check_faults(&holds_all, 2, 3); /* a broken one, a name that is taken, a text */
}

static void what_cannot_be_loaded_says_why(void **state)
{
    struct native_module module;
    json_t *load = json_pack("{s:s,s:[s]}", "path", "/nonexistent/agent.so", "exports", "agent");
    json_t *catalog, *diagnostic;

    (void)state;
    native_module_init(&module);
    catalog = native_module_load(&module, load);
    diagnostic = json_array_get(json_object_get(catalog, "diagnostics"), 0);
    assert_string_equal(json_string_value(json_object_get(diagnostic, "kind")), "import");
    assert_non_null(strstr(json_string_value(json_object_get(diagnostic, "message")),
                           "cannot open shared object file"));
    assert_int_equal(json_array_size(json_object_get(catalog, "exports")), 0);
    json_decref(load);
    json_decref(catalog);
    native_module_free(&module);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_descriptors_are_refused_with_a_reason),
        cmocka_unit_test(lists_without_an_end_are_not_read_on),
        cmocka_unit_test(tools_are_defined_as_models_want_them),
        cmocka_unit_test(names_become_names_of_functions),
        cmocka_unit_test(the_catalog_says_what_there_is),
        cmocka_unit_test(an_agent_with_faults_is_left_out_and_the_others_stay),
        cmocka_unit_test(what_cannot_be_loaded_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

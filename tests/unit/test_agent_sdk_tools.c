/* SPDX-License-Identifier: MIT */
/* Tools of the client in runs that another process hosts: what the model is offered, what the
 * module sees, and what the client gets. And calls of tools that nobody has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"
#include "net/http_client.h"
#include "sdk_scene.h"
#include "util/log.h"

#define MAIN(id, more)                                                                            \
    "{\"t\":\"llm.request\",\"id\":" id ",\"main\":true,\"body\":{\"messages\":[]" more "}}\n"
#define STREAM ",\"stream\":true"
#define TOOL(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}"
#define CALL_OF(id, name)                                                                         \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":"  \
    "\"{}\"}}"
#define ANSWER(content, calls, reason)                                                            \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":" content           \
    ",\"tool_calls\":[" calls "]},\"finish_reason\":\"" reason "\"}]}"
#define CHUNK(delta, reason)                                                                      \
    "{\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" reason "}]}"

static const struct hand_case {
    const char *name, *model;
    bool streaming, closed;        /* closed: this agent does not take them */
    struct sdk_step steps[4];
    const char *told, *heard;      /* NULL: the request is refused */
    const char *not_heard;
} hands[] = {
    {"a call of the client's", ANSWER("null", CALL_OF("c1", "mine"), "tool_calls"), false, false,
     {{HELLO MAIN("1", ""), 3}, {DONE(""), 0}}, "[c1:mine({}) whole]<tool_calls>",
     "\"content\":\"\"", "mine"},
    {"with words", ANSWER("\"Wait.\"", CALL_OF("c1", "mine"), "tool_calls"), false, false,
     {{HELLO MAIN("1", ""), 3}, {DONE("Wait."), 0}}, "Wait.[c1:mine({}) whole]<tool_calls>",
     "\"finish_reason\":\"stop\"", "mine"},
    {"both kinds", ANSWER("null", CALL_OF("c1", "own") "," CALL_OF("c2", "mine"), "tool_calls"),
     false, false, {{HELLO MAIN("1", ""), 3}, {DONE(""), 0}}, "[c2:mine({}) whole]<tool_calls>",
     "", "tool_calls"},
    {"its own alone", ANSWER("null", CALL_OF("c1", "own"), "tool_calls"), false, false,
     {{HELLO MAIN("1", ""), 3}, {DONE("fine"), 0}}, "fine<stop>", "\"name\":\"own\"", NULL},
    {"one that wants an answer", ANSWER("null", CALL_OF("c1", "mine"), "tool_calls"), false, false,
     {{HELLO MAIN("1", ""), 3},
      {"{\"t\":\"run.error\",\"class\":\"model_behavior\",\"message\":\"no JSON\"}\n", 0}},
     "[c1:mine({}) whole]<tool_calls>", "", "mine"},
    {"one that asks again", ANSWER("null", CALL_OF("c1", "mine"), "tool_calls"), false, false,
     {{HELLO MAIN("1", ""), 3}, {MAIN("2", ""), 0}}, "[c1:mine({}) whole]<tool_calls>", "",
     "\"id\":2"},
    {"in a stream",
     "[" CHUNK("\"content\":\"Wait.\"", "null") ","
     CHUNK("\"tool_calls\":[" CALL_OF("c1", "mine") "]", "null") ","
     CHUNK("", "\"tool_calls\"") "]", true, false,
     {{HELLO MAIN("1", STREAM), -1},
      {"{\"t\":\"delta\",\"content\":\"Wait.\"}\n" DONE("Wait."), 0}},
     "Wait.[c1:mine({})]<tool_calls>", "\"finish_reason\":\"stop\"", "mine"},
    {"its own in a stream",
     "[" CHUNK("\"tool_calls\":[" CALL_OF("c1", "own") "]", "null") ","
     CHUNK("", "\"tool_calls\"") "]", true, false,
     {{HELLO MAIN("1", STREAM), -1}, {DONE("fine"), 0}}, "<stop>",
     "\"finish_reason\":\"tool_calls\"", NULL},
    {"not in a turn of the run", ANSWER("null", CALL_OF("c1", "mine"), "tool_calls"), false, false,
     {{HELLO ASK("1", ""), 3}, {DONE("fine"), 0}}, "fine<stop>", "\"name\":\"mine\"", NULL},
    {"not with this agent", ANSWER("null", CALL_OF("c1", "mine"), "tool_calls"), false, true,
     {{HELLO MAIN("1", ""), 3}, {DONE("fine"), 0}}, "fine<stop>", "\"name\":\"mine\"", NULL},
    {"a name of both", ANSWER("null", "", "stop"), false, false,
     {{HELLO MAIN("1", ",\"tools\":[" TOOL("mine") "]"), 4}}, NULL, "", NULL},
    {"arguments without end", "[" CHUNK("\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":"
     "{\"name\":\"mine\",\"arguments\":\"0123456789012345678901234567890123456789012345678901234567"
     "89012345678901234567890123456789\"}}]", "null") "]", true, false,
     {{HELLO MAIN("1", STREAM), -1}, {DONE("fine"), 0}}, "<stop>", "llm.error", NULL},
};

static void give_tools(struct sdk_scene *s, bool takes)
{
    s->dropins->list[0].spec.client_tools = takes;
    s->run.added_max = 64;
    json_object_set_new(s->request, "tools", json_loads("[" TOOL("mine") "]", 0, NULL));
}

static void tools_of_the_client_are_handed_over(void **state)
{
    struct sdk_scene *s = *state;

    for (size_t i = 0; i < sizeof hands / sizeof hands[0]; i++) {
        const struct hand_case *c = &hands[i];
        const char *heard;

        give_tools(s, !c->closed);
        sdk_scene_model = c->model;
        sdk_scene_perform(s, c->steps, c->streaming);
        sdk_scene_model = NULL;
        if (s->status != (c->told == NULL ? AGW_EINVALID : 0))
            print_error("%s: %d %s\n", c->name, s->status, s->e.message);
        heard = strstr(s->heard, "\"t\":\"llm.");
        assert_non_null(heard ?: c->told == NULL ? s->heard : NULL);
        if (c->told == NULL) {
            assert_int_equal(s->status, AGW_EINVALID);
            assert_string_equal(s->e.param, "tools[0].function.name");
            continue;
        }
        assert_int_equal(s->status, 0);
        assert_string_equal(s->told, c->told);
        assert_non_null(strstr(heard, c->heard));
        assert_true(c->not_heard == NULL || strstr(heard, c->not_heard) == NULL);
    }
}

static void the_model_is_offered_them_in_turns_of_the_run(void **state)
{
    static const struct sdk_step steps[] = {
        {HELLO MAIN("1", ",\"tools\":[" TOOL("own") "," TOOL("forbidden") "]"), 3},
        {MAIN("2", ""), 1}, {ASK("3", ""), 1}, {DONE("fine"), 0}, {0}};
    struct sdk_scene *s = *state;

    give_tools(s, true);
    json_object_set_new(s->request, "tool_choice", json_string("required"));
    json_object_set_new(s->request, "parallel_tool_calls", json_false());
    sdk_scene_model = ANSWER("\"yes\"", "", "stop");
    sdk_scene_asked[0] = '\0';
    sdk_scene_perform(s, steps, false);
    sdk_scene_model = NULL;
    assert_int_equal(s->status, 0);
    assert_string_equal(sdk_scene_asked,
                        "{\"choice\":\"required\",\"parallel\":false,\"tools\":["
                        "{\"function\":{\"name\":\"own\"},\"type\":\"function\"},"
                        "{\"function\":{\"name\":\"mine\"},\"type\":\"function\"}]}"
                        "{\"parallel\":false,\"tools\":["
                        "{\"function\":{\"name\":\"mine\"},\"type\":\"function\"}]}{}");
}

static void handed_over(void *arg)
{
    struct sdk_scene *s = arg;

    sdk_scene_clean_up(s);
    if (s->status == 0 && strstr(s->heard, "llm.error") != NULL)
        assert_non_null(strstr(s->told, "<stop>"));
    else if (s->status == 0)
        assert_true(strstr(s->told, "mine({})") != NULL && strstr(s->told, "<tool_calls>"));
    else if (s->status != AGW_ENOMEM && s->status != AGW_EAGENT)
        fail_msg("%d %s", s->status, s->e.message);
}

static void tools_are_handed_over_without_memory(void **state)
{
    struct sdk_scene *s = *state;

    log_set_level(LOG_ERROR);
    give_tools(s, true);
    s->run.streaming = true;
    s->steps = hands[6].steps;
    sdk_scene_model = hands[6].model;
    assert_true(inject_each(INJECT_MEMORY, sdk_scene_run, handed_over, s) > 20);
    s->run.streaming = false;
    s->steps = hands[0].steps;
    sdk_scene_model = hands[0].model;
    assert_true(inject_each(INJECT_MEMORY, sdk_scene_run, handed_over, s) > 20);
    sdk_scene_model = NULL;
}

/* ---- tools that nobody has ---- */

#define OFFERED ",\"tools\":[" TOOL("own") "," TOOL("forbidden") "]"
#define ASKS(more) {{HELLO ASK("1", more), -1}, {DONE("fine"), 0}}

static const struct unknown_case {
    const char *name, *model;
    bool streaming;
    struct sdk_step steps[3];
    int recorded;
} unknowns[] = {
    {"its own", ANSWER("null", CALL_OF("c1", "own"), "tool_calls"), false, ASKS(OFFERED), 0},
    {"one that was offered, but not to the model",
     ANSWER("null", CALL_OF("c1", "forbidden"), "stop"), false, ASKS(OFFERED), 0},
    {"none of its", ANSWER("null", CALL_OF("c1", "Own"), "tool_calls"), false, ASKS(OFFERED), 1},
    {"some", ANSWER("null", CALL_OF("c1", "a b") "," CALL_OF("c2", "own") "," CALL_OF("c3", ""),
                    "tool_calls"), false, ASKS(OFFERED), 2},
    {"it has none", ANSWER("null", CALL_OF("c1", "own"), "tool_calls"), false, ASKS(""), 1},
    {"in a turn of the run", ANSWER("null", CALL_OF("c1", "own"), "tool_calls"), false,
     {{HELLO MAIN("1", ""), -1}, {DONE("fine"), 0}}, 1},
    {"cut", ANSWER("null", CALL_OF("c1", "what"), "length"), false, ASKS(OFFERED), 0},
    {"no function",
     ANSWER("null", "{\"id\":\"c1\",\"type\":\"custom\",\"custom\":{\"name\":\"what\","
            "\"input\":\"\"}}", "tool_calls"), false, ASKS(OFFERED), 0},
    {"in a stream", "[" CHUNK("\"content\":\"Wait.\"", "null") ","
     CHUNK("\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"what\"}}]",
           "null") ","
     CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]", "null") ","
     CHUNK("", "\"tool_calls\"") "]", true, ASKS(OFFERED STREAM), 1},
    {"cut in a stream", "[" CHUNK("\"tool_calls\":[" CALL_OF("c1", "what") "]", "null") ","
     CHUNK("", "\"length\"") "]", true, ASKS(OFFERED STREAM), 0},
    {"words alone in a stream", "[" CHUNK("\"content\":\"Yes\"", "\"stop\"") "]", true,
     ASKS(OFFERED STREAM), 0},
};

static void what_nobody_has_is_called_in_the_trail(void **state)
{
    struct sdk_scene *s = *state;

    s->run.added_max = 64;
    for (size_t i = 0; i < sizeof unknowns / sizeof unknowns[0]; i++) {
        const struct unknown_case *c = &unknowns[i];

        sdk_scene_model = c->model;
        sdk_scene_perform(s, c->steps, c->streaming);
        sdk_scene_model = NULL;
        if (s->status != 0 || s->hops.calls != c->recorded)
            print_error("%s: %d %s\n", c->name, s->status, s->e.message);
        assert_int_equal(s->status, 0);
        assert_int_equal(s->hops.calls, c->recorded);
        assert_null(strstr(s->heard, "llm.error"));
    }
}

/* With so many calls, each "c": the answer of a model. */
static char *many_calls(int count)
{
    json_t *calls = json_array();
    char *text;

    while (count-- > 0)
        json_array_append_new(calls, json_loads(CALL_OF("c", "what"), 0, NULL));
    calls = json_pack("{s:[{s:i,s:{s:n,s:o},s:s}]}", "choices", "index", 0, "message", "content",
                      "tool_calls", calls, "finish_reason", "tool_calls");
    text = json_dumps(calls, 0);
    json_decref(calls);
    assert_non_null(text);
    return text;
}

/* One after the other, until the run is over. */
static void ask_often(struct sdk_scene *s, const char *model)
{
    enum { TIMES = 40 };
    struct sdk_step steps[TIMES + 2] = {{HELLO ASK("1", ""), 3}};

    for (int i = 1; i < TIMES; i++)
        steps[i] = (struct sdk_step){ASK("2", ""), 1};
    steps[TIMES] = (struct sdk_step){DONE("fine"), 0};
    sdk_scene_model = model;
    sdk_scene_perform(s, steps, false);
    sdk_scene_model = NULL;
}

static void they_have_their_limits(void **state)
{
    struct sdk_scene *s = *state;
    char *some = many_calls(40), *too_many = many_calls(129);

    log_set_level(LOG_ERROR);
    s->run.added_max = 64;
    ask_often(s, some); /* 32 of them count: as many as are made of a turn */
    assert_int_equal(s->status, AGW_EAGENT);
    assert_non_null(strstr(s->e.message, "called tools more than 1024 times"));
    assert_true(s->hops.calls > 1024 && s->hops.calls < 1100);
    ask_often(s, too_many);
    assert_int_equal(s->status, 0);
    assert_non_null(strstr(s->heard, "llm.error"));
    assert_int_equal(s->hops.calls, 0);
    free(some);
    free(too_many);
}

static void recorded(void *arg)
{
    struct sdk_scene *s = arg;

    sdk_scene_clean_up(s);
    if (s->status != 0 && s->status != AGW_ENOMEM && s->status != AGW_EAGENT)
        fail_msg("%d %s", s->status, s->e.message);
}

static void they_are_recorded_without_memory(void **state)
{
    struct sdk_scene *s = *state;

    log_set_level(LOG_ERROR);
    s->run.added_max = 64;
    s->steps = unknowns[2].steps;
    sdk_scene_model = unknowns[2].model;
    assert_true(inject_each(INJECT_MEMORY, sdk_scene_run, recorded, s) > 20);
    sdk_scene_model = NULL;
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, sdk_scene_setup, sdk_scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(tools_of_the_client_are_handed_over),
        ROW(the_model_is_offered_them_in_turns_of_the_run),
        ROW(tools_are_handed_over_without_memory),
        ROW(what_nobody_has_is_called_in_the_trail),
        ROW(they_have_their_limits),
        ROW(they_are_recorded_without_memory),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Memory or threads that are out while an agent calls tools: the request ends with an error that
 * says so, or as if nothing had been; never with half an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hop_usage.h"
#include "agent/tool_round.h"
#include "build_config.h"
#include "fine_tool.h"
#include "inject.h"
#include "net/http_client.h"
#include "util/log.h"

/* ---- a scene ---- */

struct scene {
    struct config *config;
    struct catalog *catalog;
    struct toolset *toolset;
    struct upstreams *upstreams;
    struct invoke_caller caller;
    struct agent_run run;
    struct chat_sink sink;
    struct toolbox box;
    json_t *input, *request;
    struct err e;
    int status, seen;
};

static const char security_text[] =
    "version: 1\n"
    "default: {local_tools_allowlist: ['*']}\n"
    "api_keys:\n"
    "  - {id: k, hashed_key: \"sha256:"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n";

static int make_call(void *arg, const struct turn_call *call, int64_t deadline_ms,
                     struct tool_result *result, struct err *e)
{
    struct scene *s = arg;
    struct invoke_request request = {.tool = call->tool};

    (void)deadline_ms;
    return invoke_tool(&s->caller, &request, result, e);
}

static int on_answer(void *arg, json_t *answer)
{
    struct scene *s = arg;

    (void)answer;
    s->seen++;
    return 0;
}

static int on_tick(void *arg)
{
    (void)arg;
    return 0;
}

static int setup(void **state)
{
    static const char agents[] = "version: 1\nagents:\n"
                                 "  - {name: a, upstream: echo, model: echo-1, tools: ['*'],"
                                 " metadata: {tool_choice: required}}\n";
    struct scene *s = calloc(1, sizeof *s);

    s->config = build_config_tools(security_text, agents, "version: 1\ntools:\n"
                                   "  - {name: one, provider: local, command: [x]}\n"
                                   "  - {name: two, provider: local, command: [x],"
                                   " description: The second.}\n");
    s->catalog = catalog_new(s->config, NULL);
    s->toolset = toolset_new(fine_tool_providers);
    s->upstreams = upstreams_new();
    assert_int_equal(toolset_update(s->toolset, s->config, &s->e), 0);
    assert_int_equal(upstreams_update(s->upstreams, s->config, &s->e), 0);
    s->caller = (struct invoke_caller){
        .toolset = s->toolset, .security = &s->config->security,
        .key = &s->config->security.keys[0], .agent = "default/a", .ns = "default",
        .source = "declarative", .watch_fd = -1};
    s->sink = (struct chat_sink){.chunk = on_answer, .completion = on_answer, .watch_fd = -1,
                                 .arg = s};
    s->request = json_loads("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":"
                            "[{\"type\":\"function\",\"function\":{\"name\":\"mine\"}}]}", 0,
                            NULL);
    s->run = (struct agent_run){
        .agent = catalog_find(s->catalog, "a"), .request = s->request, .request_id = "r",
        .upstreams = s->upstreams, .sink = &s->sink, .caller = &s->caller, .added_max = 4096};
    assert_int_equal(toolbox_open(&s->box, &s->run, &s->e), 0);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    toolbox_close(&s->box);
    json_decref(s->request);
    json_decref(s->input);
    upstreams_free(&s->upstreams);
    toolset_free(&s->toolset);
    catalog_release(&s->catalog);
    config_release(&s->config);
    free(s);
    return 0;
}

/* Nothing but a lack of memory is to be met, and it is to be said. */
static void only_memory(void *arg)
{
    struct scene *s = arg;

    if (s->status != 0 && s->status != AGW_ENOMEM)
        fail_msg("%d: %s", s->status, s->e.message);
    if (s->status != 0)
        assert_int_equal(s->e.code, AGW_ENOMEM);
    s->e = (struct err){0};
}

/* ---- usage ---- */

static void merge(void *arg)
{
    struct scene *s = arg;
    json_t *sum = NULL;

    s->status = hop_usage_merge(&sum, s->input);
    if (s->status == 0)
        s->status = hop_usage_merge(&sum, s->input);
    if (s->status != 0)
        err_set(&s->e, s->status, "said by its caller");
    else
        assert_int_equal(json_integer_value(json_object_get(json_object_get(sum, "d"), "x")), 4);
    json_decref(sum);
}

static void sums_without_memory(void **state)
{
    struct scene *s = *state;

    s->input = json_loads("{\"a\":1,\"b\":-1,\"c\":\"text\",\"d\":{\"x\":2,\"deep\":{\"y\":1}},"
                          "\"e\":2000000000}", 0, NULL);
    assert_true(inject_each(INJECT_MEMORY, merge, only_memory, s) >= 4);
}

static void what_is_no_usage_adds_nothing(void **state)
{
    json_t *sum = NULL, *text = json_string("no"), *odd = json_loads("{\"d\":1}", 0, NULL),
           *later = json_loads("{\"d\":{\"x\":1}}", 0, NULL);
    struct chat_usage total = {.prompt_tokens = -1, .completion_tokens = -1};

    (void)state;
    assert_int_equal(hop_usage_merge(&sum, NULL), 0);
    assert_int_equal(hop_usage_merge(&sum, text), 0);
    assert_null(sum);
    assert_int_equal(hop_usage_merge(&sum, odd), 0);
    assert_int_equal(hop_usage_merge(&sum, later), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(sum, "d"), "x")), 1);
    hop_usage_add(&total, &(struct chat_usage){.prompt_tokens = -1, .completion_tokens = 0});
    assert_int_equal(total.prompt_tokens, -1);
    assert_int_equal(total.completion_tokens, 0);
    hop_usage_add(&total, &(struct chat_usage){.prompt_tokens = 2, .completion_tokens = 3,
                                               .upstream = "u", .attempts = 2});
    hop_usage_add(&total, &(struct chat_usage){.prompt_tokens = 2, .completion_tokens = -1,
                                               .attempts = 1});
    assert_int_equal(total.prompt_tokens, 4);
    assert_int_equal(total.completion_tokens, 3);
    assert_int_equal(total.attempts, 3);
    assert_string_equal(total.upstream, "u");
    json_decref(sum);
    json_decref(text);
    json_decref(odd);
    json_decref(later);
}

/* ---- turns ---- */

static void hear_stream(void *arg)
{
    struct scene *s = arg;
    struct tool_turn turn;
    json_t *chunk, *shown, *last = NULL, *message = NULL;
    bool goes_on = false;
    size_t i;

    tool_turn_init(&turn, &s->box, 4096);
    s->status = 0;
    json_array_foreach(s->input, i, chunk)
    {
        if (s->status != 0)
            continue;
        s->status = tool_turn_chunk(&turn, chunk, &shown, &s->e);
        json_decref(shown);
    }
    if (s->status == 0)
        s->status = tool_turn_settle(&turn, &goes_on, &s->e);
    if (s->status == 0) {
        last = tool_turn_last_chunk(&turn);
        message = tool_turn_message(&turn);
        if (last == NULL || message == NULL)
            s->status = err_set(&s->e, AGW_ENOMEM, "said by its caller");
        else
            assert_int_equal(json_array_size(json_object_get(message, "tool_calls")), 3);
    }
    json_decref(last);
    json_decref(message);
    tool_turn_free(&turn);
}

/* The buffer for arguments says of both that it could not grow: their bound and no memory. */
static void memory_or_bound(void *arg)
{
    struct scene *s = arg;

    if (s->status == AGW_EUPSTREAM && strstr(s->e.message, "bytes of arguments") != NULL)
        s->status = 0;
    s->e.code = s->status;
    only_memory(s);
}

static void streams_without_memory(void **state)
{
    struct scene *s = *state;

    s->input = json_loads(
        "[{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\",\"reasoning_content\":\"r\"}}]},"
        "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{"
        "\"name\":\"o n e\",\"arguments\":{\"a\":1}}},{\"index\":1,\"id\":\"i\",\"x\":1,"
        "\"function\":{\"name\":\"mine\",\"arguments\":\"{}\"}}]}}]},"
        "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{"
        "\"arguments\":\"{}\"}},{\"index\":2}]}}]}]", 0, NULL);
    assert_non_null(s->input);
    assert_true(inject_each(INJECT_MEMORY, hear_stream, memory_or_bound, s) >= 30);
}

static void hear_whole(void *arg)
{
    struct scene *s = arg;
    struct tool_turn turn;
    struct buf before;
    json_t *answer = NULL;
    bool goes_on = false;

    tool_turn_init(&turn, &s->box, 4096);
    buf_init(&before, 100);
    s->status = tool_turn_completion(&turn, s->input, &s->e);
    if (s->status == 0)
        s->status = tool_turn_settle(&turn, &goes_on, &s->e);
    if (s->status == 0 && buf_puts(&before, "before") == 0)
        answer = tool_turn_answer(&turn, &before);
    if (s->status == 0 && answer == NULL)
        s->status = err_set(&s->e, AGW_ENOMEM, "said by its caller");
    if (s->status == 0)
        assert_false(goes_on);
    json_decref(answer);
    buf_free(&before);
    tool_turn_free(&turn);
}

static void completions_without_memory(void **state)
{
    struct scene *s = *state;

    s->input = json_loads(
        "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"a\",\"tool_calls\":[{\"id\":\"i\","
        "\"function\":{\"name\":\"mine\",\"arguments\":\"{}\"}},{\"id\":\"i\",\"function\":{"
        "\"name\":\"one\"}}]},\"finish_reason\":\"tool_calls\"}]}", 0, NULL);
    assert_true(inject_each(INJECT_MEMORY, hear_whole, memory_or_bound, s) >= 20);
}

/* ---- rounds ---- */

static void call_round(void *arg)
{
    struct scene *s = arg;
    json_t *messages = s->input;
    struct tool_turn turn;
    struct turn_call calls[3] = {0};
    size_t added = 0;
    int64_t quiet_since = 0;
    struct tool_round round = {.call = make_call, .arg = s, .sink = &s->sink,
                               .quiet_since_ms = &quiet_since, .deadline_ms = INT64_MAX};

    tool_turn_init(&turn, &s->box, 4096);
    for (size_t i = 0; i < 3; i++) {
        calls[i].value = json_array_get(s->box.definitions, 0);
        calls[i].tool = s->box.tools.tools[i % 2];
    }
    turn.calls = calls;
    turn.count = 3;
    s->status = tool_round_run(&round, &turn, messages, &added, &s->e);
    if (s->status == 0)
        assert_int_equal(json_array_size(messages), 3);
    json_array_clear(messages);
    turn.count = 0;
    turn.calls = NULL;
    tool_turn_free(&turn);
}

static void rounds_without_memory_or_threads(void **state)
{
    struct scene *s = *state;

    s->input = json_array();
    for (int ticks = 0; ticks < 2; ticks++) {
        s->sink.tick = ticks ? on_tick : NULL;
        s->sink.tick_ms = ticks ? 1000 : 0;
        inject_each(INJECT_MEMORY, call_round, only_memory, s);
        inject_each(INJECT_SYSTEM, call_round, only_memory, s);
        assert_int_equal(s->status, 0);
    }
}

/* ---- requests ---- */

static json_t *turns; /* what the model says, one after the other: lists of chunks */
static size_t next_turn;

/* Stands in for the upstream, which needs memory of its own. */
int __wrap_chat_call(struct upstreams *upstreams, const char *preferred, json_t *body,
                     const char *request_id, const struct chat_sink *sink,
                     struct chat_part *part, struct chat_usage *usage, struct err *e);
int __wrap_chat_call(struct upstreams *upstreams, const char *preferred, json_t *body,
                     const char *request_id, const struct chat_sink *sink,
                     struct chat_part *part, struct chat_usage *usage, struct err *e)
{
    bool streams = json_is_true(json_object_get(body, "stream"));
    json_t *turn = json_array_get(turns, next_turn++), *answer;
    size_t i;
    int status = 0;

    (void)upstreams, (void)preferred, (void)request_id, (void)e;
    *usage = (struct chat_usage){.prompt_tokens = 1, .completion_tokens = 1, .attempts = 1};
    part->deadline_ms = INT64_MAX;
    json_array_foreach(turn, i, answer)
        if (status == 0)
            status = streams ? sink->chunk(sink->arg, answer)
                             : sink->completion(sink->arg, answer);
    return status;
}

static const char streamed[] =
    "[[{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"One.\",\"reasoning_content\":\"r\"}}]},"
    "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":"
    "{\"name\":\"one\",\"arguments\":\"{}\"}},{\"index\":1,\"id\":\"d\",\"function\":"
    "{\"name\":\"two\",\"arguments\":\"{}\"}}]}}]},"
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}],"
    "[{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Two.\"}}]},"
    "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]},"
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}]]";

static const char whole[] =
    "[[{\"choices\":[{\"index\":0,\"message\":{\"content\":\"One.\",\"tool_calls\":[{\"id\":\"c\","
    "\"function\":{\"name\":\"one\",\"arguments\":\"{}\"}},{\"id\":\"d\",\"function\":"
    "{\"name\":\"two\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}],"
    "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}],"
    "[{\"choices\":[{\"index\":0,\"message\":{\"content\":\"Two.\"},\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}]]";

static void run_agent(void *arg)
{
    struct scene *s = arg;
    struct agent_hops hops = {0};
    struct chat_usage usage;

    s->seen = 0;
    s->run.hops = &hops;
    next_turn = 0;
    s->status = agent_run(&s->run, &usage, &s->e);
    if (s->status != 0)
        return;
    assert_true(s->seen > 0);
    assert_int_equal(hops.calls, 2);
    assert_int_equal(usage.prompt_tokens, 2);
}

/* A buffer that cannot grow and one that may not are the same to it. */
static void memory_or_bounds(void *arg)
{
    struct scene *s = arg;

    if (s->status == AGW_EAGENT && strstr(s->e.message, "limits.body_bytes") != NULL)
        s->status = 0;
    memory_or_bound(s);
}

static void requests_without_memory(void **state)
{
    struct scene *s = *state;

    for (int i = 0; i < 4; i++) {
        s->run.streaming = i % 2;
        turns = json_loads(i % 2 ? streamed : whole, 0, NULL);
        assert_non_null(turns);
        if (i == 2)
            json_object_set_new(s->request, "response_format",
                                json_pack("{s:s}", "type", "json_object"));
        if (i == 3)
            json_object_set_new(s->request, "tool_choice",
                                json_loads("{\"allowed_tools\":{\"mode\":\"required\"}}", 0, NULL));
        assert_true(inject_each(INJECT_MEMORY, run_agent, memory_or_bounds, s) >= 30);
        assert_int_equal(s->status, 0);
        json_decref(turns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_without_memory, setup, teardown),
        cmocka_unit_test(what_is_no_usage_adds_nothing),
        cmocka_unit_test_setup_teardown(streams_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(completions_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(rounds_without_memory_or_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_without_memory, setup, teardown),
    };

    log_set_level(LOG_ERROR);
    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("agent/memory", tests, NULL, NULL);
}

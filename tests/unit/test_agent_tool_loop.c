/* SPDX-License-Identifier: MIT */
/* The loop of an agent with tools, from the client's request to its answer: what the model is
 * told, what the client sees, and where it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop_scene.h"
#include "net/http_client.h"
#include "util/clock.h"
#include "util/permit.h"

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define USAGE ",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8," \
              "\"prompt_tokens_details\":{\"cached_tokens\":1}}"
/* Turns of the model. */
#define SAYS(content, calls, reason)                                                           \
    "{\"id\":\"c\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":" \
    content calls "},\"finish_reason\":\"" reason "\"}]" USAGE "}"
#define TEXT(text) SAYS("\"" text "\"", "", "stop")
#define CALLS(list) SAYS("null", ",\"tool_calls\":[" list "]", "tool_calls")
#define CALL(id, name, arguments)                                                              \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name                  \
    "\",\"arguments\":\"" arguments "\"}}"
/* ... in a stream */
#define CHUNK(delta, reason)                                                                   \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" reason \
    "}]}\n\n"
#define WORD(text) CHUNK("{\"content\":\"" text "\"}", "null")
#define PIECE(call) CHUNK("{\"tool_calls\":[" call "]}", "null")
#define END(reason)                                                                            \
    CHUNK("{}", "\"" reason "\"") "data: {\"choices\":[]" USAGE "}\n\ndata: [DONE]\n\n"
#define FIRST(index, id, name, arguments)                                                      \
    PIECE("{\"index\":" index ",\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" \
          name "\",\"arguments\":\"" arguments "\"}}")
#define MORE(index, arguments)                                                                 \
    PIECE("{\"index\":" index ",\"function\":{\"arguments\":\"" arguments "\"}}")
#define OWN_TOOL "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"mine\"}}]"

static const struct loop_case {
    const char *name, *agent, *request;
    bool streaming;
    const char *turns[6];
    int status;
    const char *last;   /* messages of the last request to the upstream, after the first one */
    const char *answer; /* of the stream, or content, calls and reason; of a failure the message */
    int rounds, calls;
} cases[] = {
    {.name = "no call", .request = "{" HI "}", .turns = {TEXT("hello")}, .last = "",
     .answer = "hello<stop>{3+5=8}"},
    {.name = "one call", .request = "{" HI "}",
     .turns = {CALLS(CALL("c1", "echo", "{\\\"a\\\":1}")), TEXT("done")},
     .last = "assistant: null c1=echo({\"a\":1}) | tool: (c1) {\"a\":1}",
     .answer = "done<stop>{6+10=16}", .rounds = 1, .calls = 1},
    {.name = "a chain, and text beside a call", .request = "{" HI "}",
     .turns = {SAYS("\"First.\"", ",\"tool_calls\":[" CALL("c1", "echo", "") "]", "tool_calls"),
               CALLS(CALL("c2", "fail", "{}")), TEXT("done")},
     .last = "assistant: First. c1=echo({}) | tool: (c1) {} | assistant: null c2=fail({}) |"
             " tool: (c2) It failed.",
     .answer = "First.\n\ndone<stop>{9+15=24}", .rounds = 2, .calls = 2},
    {.name = "text beside each call", .request = "{" HI "}",
     .turns = {SAYS("\"One.\"", ",\"tool_calls\":[" CALL("c1", "echo", "") "]", "tool_calls"),
               SAYS("\"Two.\"", ",\"tool_calls\":[" CALL("c2", "echo", "") "]", "tool_calls"),
               SAYS("null", "", "stop")},
     .last = "assistant: One. c1=echo({}) | tool: (c1) {} | assistant: Two. c2=echo({}) |"
             " tool: (c2) {}",
     .answer = "One.\n\nTwo.<stop>{9+15=24}", .rounds = 2, .calls = 2},
    {.name = "several calls at once, in their order", .request = "{" HI "}",
     .turns = {CALLS(CALL("c1", "nap", "{\\\"n\\\":1}") "," CALL("c2", "echo", "{\\\"n\\\":2}")
                     "," CALL("c3", "nap", "{\\\"n\\\":3}")), TEXT("done")},
     .last = "assistant: null c1=nap({\"n\":1}) c2=echo({\"n\":2}) c3=nap({\"n\":3}) |"
             " tool: (c1) {\"n\":1} | tool: (c2) {\"n\":2} | tool: (c3) {\"n\":3}",
     .answer = "done<stop>{6+10=16}", .rounds = 1, .calls = 3},
    {.name = "arguments that do not fit, that are no JSON; no such tool; a denied one",
     .request = "{" HI "}",
     .turns = {CALLS(CALL("c1", "strict", "{\\\"city\\\":1}") "," CALL("c2", "strict", "{") ","
                     CALL("c3", "made up", "{}") "," CALL("c4", "secret", "{}")), TEXT("ok")},
     .last = "assistant: null c1=strict({\"city\":1}) c2=strict({) c3=made_up({}) c4=secret({}) |"
             " tool: (c1) The arguments do not fit: /city must be string. |"
             " tool: (c2) The arguments are no valid JSON: invalid JSON at line 1 column 1: string or '}'"
             " expected near end of file |"
             " tool: (c3) There is no tool 'made_up'. |"
             " tool: (c4) The tool 'secret' is not allowed here by policy.",
     .answer = "ok<stop>{6+10=16}", .rounds = 1, .calls = 4},
    {.name = "a tool of the process that is not the agent's does not exist", .request = "{" HI "}",
     .agent = "metadata: {}", .turns = {CALLS(CALL("c1", "nap", "{}")), TEXT("ok")},
     .last = "assistant: null c1=nap({}) | tool: (c1) There is no tool 'nap'.",
     .answer = "ok<stop>{6+10=16}", .rounds = 1, .calls = 1},
    {.name = "too many rounds", .request = "{" HI "}", .agent = "metadata: {max_tool_hops: 1}",
     .turns = {CALLS(CALL("c1", "echo", "{}")), CALLS(CALL("c2", "echo", "{}"))},
     .status = AGW_EAGENT, .last = "assistant: null c1=echo({}) | tool: (c1) {}",
     .answer = "The agent 'default/a' wanted more rounds of tool calls than it may have in one"
               " request: 1 (max_tool_hops).", .rounds = 1, .calls = 1},
    {.name = "no rounds: calls are the client's", .request = "{" HI "}",
     .agent = "metadata: {max_tool_hops: 0}", .turns = {CALLS(CALL("c1", "echo", "{}"))},
     .last = "", .answer = "[c1 echo {}]<tool_calls>{3+5=8}"},
    {.name = "a client's tool ends the turn", .request = "{" HI "," OWN_TOOL "}",
     .turns = {CALLS(CALL("c1", "mine", "{}"))}, .last = "",
     .answer = "[c1 mine {}]<tool_calls>{3+5=8}"},
    {.name = "mixed: only the client's call is handed over, nothing runs",
     .request = "{" HI "," OWN_TOOL "}",
     .turns = {CALLS(CALL("c1", "echo", "{}") "," CALL("c2", "mine", "{}"))}, .last = "",
     .answer = "[c2 mine {}]<tool_calls>{3+5=8}"},
    {.name = "a round first, then the client's tool", .request = "{" HI "," OWN_TOOL "}",
     .turns = {CALLS(CALL("c1", "echo", "{}")), CALLS(CALL("c2", "mine", "{}"))},
     .last = "assistant: null c1=echo({}) | tool: (c1) {}",
     .answer = "[c2 mine {}]<tool_calls>{6+10=16}", .rounds = 1, .calls = 1},
    {.name = "a name of both", .status = AGW_EINVALID, .last = NULL,
     .request = "{" HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"x\"}},"
                "{\"type\":\"function\",\"function\":{\"name\":\"echo\"}}]}",
     .answer = "The tool 'echo' of this request has the name of a tool of the agent 'default/a'"
               " itself. Give it another name."},
    {.name = "several answers", .status = AGW_EINVALID, .request = "{" HI ",\"n\":2}",
     .answer = "The agent 'default/a' calls tools, so 'n' must be 1."},
    {.name = "a call that was cut off is not made", .request = "{" HI "}",
     .turns = {SAYS("\"So\"", ",\"tool_calls\":[" CALL("c1", "echo", "{\\\"a") "]", "length")},
     .last = "", .answer = "So<length>{3+5=8}"},
    {.name = "a forced call may end with stop", .request = "{" HI "}",
     .turns = {SAYS("null", ",\"tool_calls\":[" CALL("c1", "echo", "") "]", "stop"), TEXT("ok")},
     .last = "assistant: null c1=echo({}) | tool: (c1) {}", .answer = "ok<stop>{6+10=16}",
     .rounds = 1, .calls = 1},
    {.name = "tool_calls without any", .request = "{" HI "}",
     .turns = {SAYS("\"hm\"", ",\"tool_calls\":[]", "tool_calls")}, .last = "",
     .answer = "hm<stop>{3+5=8}"},
    {.name = "JSON is the last turn's alone",
     .request = "{" HI ",\"response_format\":{\"type\":\"json_object\"}}",
     .turns = {SAYS("\"{}\"", ",\"tool_calls\":[" CALL("c1", "echo", "{}") "]", "tool_calls"),
               TEXT("[1]")},
     .last = "assistant: {} c1=echo({}) | tool: (c1) {}", .answer = "[1]<stop>{6+10=16}",
     .rounds = 1, .calls = 1},
    {.name = "the upstream dies in the second turn", .request = "{" HI "}",
     .turns = {CALLS(CALL("c1", "echo", "{}")), "!500"}, .status = AGW_EUPSTREAM,
     .last = "assistant: null c1=echo({}) | tool: (c1) {}",
     .answer = "upstream u0: it answered with status 500", .rounds = 1, .calls = 1},
    {.name = "the client has left", .request = "{" HI "}",
     .turns = {CALLS(CALL("c1", "gone", "{}"))}, .status = AGW_EGONE, .last = "",
     .answer = "the client hung up while the tool gone ran", .rounds = 1, .calls = 1},

    {.name = "a stream without calls", .request = "{" HI "}", .streaming = true,
     .turns = {CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null") WORD("hel") WORD("lo")
               END("stop")},
     .last = "", .answer = "hello<stop>{3+5=8}"},
    {.name = "a stream with a call", .request = "{" HI "}", .streaming = true,
     .turns = {WORD("First.") FIRST("0", "c1", "echo", "") MORE("0", "{\\\"a\\\"") MORE("0", ":1}")
               END("tool_calls"), WORD("do") WORD("ne") END("stop")},
     .last = "assistant: First. c1=echo({\"a\":1}) | tool: (c1) {\"a\":1}",
     .answer = "First.\n\ndone<stop>{6+10=16}", .rounds = 1, .calls = 1},
    {.name = "a stream with mixed calls, in pieces", .request = "{" HI "," OWN_TOOL "}",
     .streaming = true,
     .turns = {FIRST("0", "c1", "echo", "{}") FIRST("1", "c2", "mine", "{\\\"b\\\"")
               MORE("1", ":2}") FIRST("2", "c3", "mine", "{}") END("tool_calls")},
     .last = "", .answer = "[0 c2 mine {\"b\"][0   :2}][1 c3 mine {}]<tool_calls>{3+5=8}"},
    {.name = "a stream whose calls have one index", .request = "{" HI "}", .streaming = true,
     .turns = {FIRST("0", "c1", "echo", "{}") FIRST("0", "c2", "echo", "{\\\"b\\\":1}")
               END("tool_calls"), WORD("ok") END("stop")},
     .last = "assistant: null c1=echo({}) c2=echo({\"b\":1}) | tool: (c1) {} |"
             " tool: (c2) {\"b\":1}",
     .answer = "ok<stop>{6+10=16}", .rounds = 1, .calls = 2},
    {.name = "a stream of JSON", .streaming = true,
     .request = "{" HI ",\"response_format\":{\"type\":\"json_schema\"}}",
     .turns = {WORD("{}") FIRST("0", "c1", "echo", "{}") END("tool_calls"),
               WORD("[1") WORD("]") END("stop")},
     .last = "assistant: {} c1=echo({}) | tool: (c1) {}", .answer = "[1]<stop>{6+10=16}",
     .rounds = 1, .calls = 1},
    {.name = "a stream that is cut in the second turn", .request = "{" HI "}", .streaming = true,
     .turns = {WORD("First.") FIRST("0", "c1", "echo", "{}") END("tool_calls"), WORD("se")},
     .status = AGW_EUPSTREAM, .last = "assistant: First. c1=echo({}) | tool: (c1) {}",
     .answer = "upstream u0: the stream ended without [DONE]", .rounds = 1, .calls = 1},
};

/* An answer that is not a stream, in the same words. */
static const char *whole(const struct loop_scene *s)
{
    static char text[4096];
    const json_t *choice = json_array_get(json_object_get(s->completion, "choices"), 0);
    const json_t *message = json_object_get(choice, "message");
    const json_t *usage = json_object_get(s->completion, "usage");
    const char *content = json_string_value(json_object_get(message, "content"));
    size_t used, i;
    json_t *call;

    used = (size_t)snprintf(text, sizeof text, "%s", content == NULL ? "" : content);
    json_array_foreach(json_object_get(message, "tool_calls"), i, call)
        used += (size_t)snprintf(
            text + used, sizeof text - used, "[%s %s %s]",
            json_string_value(json_object_get(call, "id")),
            json_string_value(json_object_get(json_object_get(call, "function"), "name")),
            json_string_value(json_object_get(json_object_get(call, "function"), "arguments")));
    snprintf(text + used, sizeof text - used, "<%s>{%d+%d=%d}",
             json_string_value(json_object_get(choice, "finish_reason")),
             (int)json_integer_value(json_object_get(usage, "prompt_tokens")),
             (int)json_integer_value(json_object_get(usage, "completion_tokens")),
             (int)json_integer_value(json_object_get(usage, "total_tokens")));
    return text;
}

static void each_request_goes_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct loop_case *c = &cases[i];
        struct loop_scene s = {.agent = c->agent, .request = c->request, .turns = c->turns,
                               .streaming = c->streaming};
        const char *seen;

        if (strstr(c->name, "not the agent's") != NULL)
            s.tools = "[echo, fail]";
        loop_scene_run(&s);
        if (s.status != c->status)
            fail_msg("%s: %d %s", c->name, s.status, s.e.message);
        seen = c->status != 0 ? s.e.message : c->streaming ? loop_scene_stream(&s) : whole(&s);
        if (strcmp(seen, c->answer) != 0)
            fail_msg("%s: answered %s", c->name, seen);
        if (c->last != NULL) {
            seen = loop_scene_messages(&s, json_array_size(s.sent) - 1, 1);
            if (strcmp(seen, c->last) != 0)
                fail_msg("%s: the model was told %s", c->name, seen);
        } else {
            assert_int_equal(json_array_size(s.sent), 0);
        }
        if (s.hops.rounds != c->rounds || s.hops.calls != c->calls)
            fail_msg("%s: %d rounds, %d calls", c->name, s.hops.rounds, s.hops.calls);
        loop_scene_clear(&s);
    }
}


/* ---- many calls ---- */

/* A turn of `count` calls of `name`. */
static char *many_calls(size_t count, const char *name)
{
    char *text = calloc(1, 512 + count * 128);
    size_t used = (size_t)snprintf(text, 512, "{\"id\":\"c\",\"choices\":[{\"index\":0,"
                                              "\"message\":{\"content\":null,\"tool_calls\":[");

    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, 128,
                                 "%s{\"id\":\"c%zu\",\"type\":\"function\",\"function\":"
                                 "{\"name\":\"%s\",\"arguments\":\"{\\\"n\\\":%zu}\"}}",
                                 i == 0 ? "" : ",", i, name, i);
    snprintf(text + used, 128, "]},\"finish_reason\":\"tool_calls\"}]}");
    return text;
}

static void calls_run_side_by_side_but_not_all_at_once(void **state)
{
    char *many = many_calls(20, "nap");
    const char *turns[] = {many, TEXT("ok"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns, .meet = 8};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.called, 20);
    assert_int_equal(s.peak, 8);
    loop_scene_clear(&s);
    free(many);
}

static void one_after_the_other_where_that_is_asked_for(void **state)
{
    char *many = many_calls(5, "nap");
    const char *turns[] = {many, TEXT("ok"), NULL};
    struct loop_scene s = {.request = "{" HI ",\"parallel_tool_calls\":false}", .turns = turns};

    (void)state;
    for (int streams = 0; streams < 2; streams++) {
        s.tick_ms = streams * 1000;
        loop_scene_run(&s);
        assert_int_equal(s.status, 0);
        assert_int_equal(s.peak, 1);
        assert_true(json_is_false(
            json_object_get(json_array_get(s.sent, 0), "parallel_tool_calls")));
        loop_scene_clear(&s);
    }
    assert_int_equal(s.called, 10);
    free(many);
}

static void of_a_hundred_calls_some_are_made(void **state)
{
    char *many = many_calls(100, "echo");
    const char *turns[] = {many, TEXT("ok"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns};
    json_t *messages;

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.called, 32);
    messages = json_object_get(json_array_get(s.sent, 1), "messages");
    assert_int_equal(json_array_size(messages), 2 + 100);
    for (size_t i = 0; i < 100; i++) {
        const json_t *message = json_array_get(messages, 2 + i);
        char id[16];

        snprintf(id, sizeof id, "c%zu", i);
        assert_string_equal(json_string_value(json_object_get(message, "tool_call_id")), id);
        assert_int_equal(strncmp(json_string_value(json_object_get(message, "content")),
                                 i < 32 ? "{\"n\":" : "This call was not made: at most 32",
                                 5), 0);
    }
    loop_scene_clear(&s);
    free(many);
}

static void too_many_calls_are_no_answer(void **state)
{
    char *many = many_calls(129, "echo");
    const char *turns[] = {many, NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EUPSTREAM);
    assert_non_null(strstr(s.e.message, "more than 128 calls"));
    assert_int_equal(s.called, 0);
    loop_scene_clear(&s);
    free(many);
}

/* ---- time ---- */

static void pings_go_on_while_tools_run(void **state)
{
    static const char *const turns[] = {FIRST("0", "c1", "hang", "{}") END("tool_calls"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns, .streaming = true,
                           .tick_ms = 20, .total_ms = 2000};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_ETIMEOUT); /* the tool had all the time that was left */
    assert_true(s.ticks >= 3);
    assert_int_equal(s.called, 1);
    assert_int_equal(json_array_size(s.sent), 1);
    loop_scene_clear(&s);
}

static void the_deadline_is_the_whole_requests(void **state)
{
    static const char *const turns[] = {CALLS(CALL("c1", "hang", "{}")), TEXT("late"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns, .total_ms = 2000};
    int64_t before = clock_mono_ms();

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_ETIMEOUT);
    assert_true(clock_mono_ms() - before < 30000);
    assert_int_equal(s.hops.rounds, 1);
    loop_scene_clear(&s);
}

static void a_client_that_leaves_ends_the_tools(void **state)
{
    static const char *const leaves[] = {
        CALLS(CALL("c1", "hang", "{}") "," CALL("c2", "leave", "{}") ","
              CALL("c3", "hang", "{}")), NULL};
    static const char *const hangs[] = {
        FIRST("0", "c1", "hang", "{}") FIRST("1", "c2", "hang", "{}") END("tool_calls"), NULL};
    int64_t before = clock_mono_ms();

    (void)state;
    for (int streams = 0; streams < 2; streams++) {
        struct loop_scene s = {.request = "{" HI "}", .turns = streams ? hangs : leaves,
                               .streaming = streams, .tick_ms = streams * 50,
                               .tick_code = streams ? AGW_EGONE : 0};
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        s.watch_fd = pair[0];
        s.peer_fd = pair[1];
        loop_scene_run(&s);
        assert_int_equal(s.status, AGW_EGONE);
        assert_int_equal(json_array_size(s.sent), 1);
        loop_scene_clear(&s);
        close(pair[0]);
    }
    assert_true(clock_mono_ms() - before < 30000);
}

static void pings_go_on_while_a_call_is_written(void **state)
{
    static const char *const turns[] = {
        FIRST("0", "c1", "echo", "{") "\1" MORE("0", " ") "\1" MORE("0", " ") "\1"
        MORE("0", " ") "\1" MORE("0", " ") "\1" MORE("0", "}") END("tool_calls"),
        WORD("ok") END("stop"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns, .streaming = true};

    (void)state;
    /* longer than between two pieces: only the loop knows that nothing flows; and shorter */
    for (int64_t ms = 60; ms > 0; ms -= 50) {
        s.tick_ms = ms;
        s.ticks = 0;
        loop_scene_run(&s);
        assert_int_equal(s.status, 0);
        assert_true(s.ticks >= 1);
        assert_string_equal(loop_scene_stream(&s), "ok<stop>{6+10=16}");
        loop_scene_clear(&s);
    }
}

/* ---- bounds ---- */

static void what_turns_add_is_bounded(void **state)
{
    static const char *const results[] = {
        CALLS(CALL("c1", "big", "{}")), CALLS(CALL("c2", "big", "{}")), TEXT("no"), NULL};
    static const char *const arguments[] = {CALLS(CALL("c1", "echo", "{\\\"a\\\":1}")), NULL};
    static const char *const both[] = {
        CALLS(CALL("c1", "echo", "{\\\"a\\\":1}") "," CALL("c2", "echo", "{\\\"a\\\":1}")), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = results, .added_max = 100000};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EAGENT);
    assert_true(s.e.is_public);
    assert_non_null(strstr(s.e.message, "limits.body_bytes"));
    assert_int_equal(json_array_size(s.sent), 2);
    loop_scene_clear(&s);

    s = (struct loop_scene){.request = "{" HI "}", .turns = both, .added_max = 8};
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EAGENT); /* twice 7 bytes of arguments */
    assert_int_equal(s.called, 0);
    loop_scene_clear(&s);

    s = (struct loop_scene){.request = "{" HI "}", .turns = arguments, .added_max = 8};
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EAGENT); /* 7 bytes of arguments, as many of the result */
    loop_scene_clear(&s);

    s.added_max = 6;
    s.e = (struct err){0};
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EUPSTREAM);
    assert_non_null(strstr(s.e.message, "6 bytes of arguments"));
    loop_scene_clear(&s);
}

static void text_beside_calls_counts_but_an_answer_may_be_long(void **state)
{
    static const char *const calls[] = {
        SAYS("\"0123456789\"", ",\"tool_calls\":[" CALL("c1", "echo", "{}") "]", "stop"), NULL};
    static const char *const streamed[] = {
        WORD("0123456789") FIRST("0", "c1", "echo", "{}") END("tool_calls"), NULL};
    static const char *const answer[] = {TEXT("0123456789"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = calls, .added_max = 9};

    (void)state;
    for (int i = 0; i < 3; i++) {
        s.turns = i == 0 ? calls : i == 1 ? streamed : answer;
        s.streaming = i == 1;
        loop_scene_run(&s);
        assert_int_equal(s.status, i == 2 ? 0 : AGW_EAGENT);
        loop_scene_clear(&s);
    }
    assert_int_equal(s.called, 0);
}

/* ---- what is sent ---- */

static const struct choice_case {
    const char *sent, *first, *second; /* JSON */
} choices[] = {
    {"\"required\"", "\"required\"", "\"auto\""},
    {"\"auto\"", "\"auto\"", "\"auto\""},
    {"\"none\"", "\"none\"", "\"none\""},
    {"{\"type\":\"function\",\"function\":{\"name\":\"echo\"}}",
     "{\"type\":\"function\",\"function\":{\"name\":\"echo\"}}", "\"auto\""},
    {"{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\",\"tools\":[]}}",
     "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\",\"tools\":[]}}",
     "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[]}}"},
};

static void assert_json(const json_t *value, const char *wanted)
{
    json_t *other = json_loads(wanted, JSON_DECODE_ANY, NULL);
    char *text = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    if (!json_equal(value, other))
        fail_msg("%s instead of %s", text == NULL ? "nothing" : text, wanted);
    free(text);
    json_decref(other);
}

static void a_forced_choice_is_obeyed_once(void **state)
{
    static const char *const turns[] = {CALLS(CALL("c1", "echo", "{}")), TEXT("ok"), NULL};

    (void)state;
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        char request[512];
        struct loop_scene s = {.request = request, .turns = turns};

        snprintf(request, sizeof request, "{" HI ",\"tool_choice\":%s}", choices[i].sent);
        loop_scene_run(&s);
        assert_int_equal(s.status, 0);
        assert_json(json_object_get(json_array_get(s.sent, 0), "tool_choice"),
                    choices[i].first);
        assert_json(json_object_get(json_array_get(s.sent, 1), "tool_choice"),
                    choices[i].second);
        loop_scene_clear(&s);
    }
}

static void the_agents_choice_is_a_default(void **state)
{
    static const char *const turns[] = {CALLS(CALL("c1", "echo", "{}")), TEXT("ok"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns,
                           .agent = "metadata: {tool_choice: required}"};

    (void)state;
    loop_scene_run(&s);
    assert_json(json_object_get(json_array_get(s.sent, 0), "tool_choice"), "\"required\"");
    assert_json(json_object_get(json_array_get(s.sent, 1), "tool_choice"), "\"auto\"");
    loop_scene_clear(&s);
}

static void definitions_are_what_policy_allows_then_the_clients(void **state)
{
    static const char *const turns[] = {TEXT("ok"), NULL};
    struct loop_scene s = {.request = "{" HI "," OWN_TOOL "}", .turns = turns,
                           .tools = "[strict, secret, echo]"};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, 0);
    assert_json(json_object_get(json_array_get(s.sent, 0), "tools"),
                "[{\"type\":\"function\",\"function\":{\"name\":\"strict\",\"parameters\":"
                "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},"
                "\"required\":[\"city\"]}}},"
                "{\"type\":\"function\",\"function\":{\"name\":\"echo\",\"description\":"
                "\"Says it again.\",\"parameters\":{\"type\":\"object\"}}},"
                "{\"type\":\"function\",\"function\":{\"name\":\"mine\"}}]");
    loop_scene_clear(&s);
}

static void without_an_allowed_tool_none_is_sent(void **state)
{
    static const char *const turns[] = {TEXT("ok"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns, .tools = "[secret]",
                           .agent = "metadata: {tool_choice: auto}"};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, 0);
    assert_null(json_object_get(json_array_get(s.sent, 0), "tools"));
    assert_null(json_object_get(json_array_get(s.sent, 0), "tool_choice"));
    loop_scene_clear(&s);
}

/* ---- calls that are not by the book ---- */

static void ids_are_made_good(void **state)
{
    char turn[2048], longest[300];
    const char *turns[] = {turn, TEXT("ok"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns};
    json_t *calls, *messages;

    (void)state;
    memset(longest, 'x', 257);
    longest[257] = '\0';
    snprintf(turn, sizeof turn,
             "{\"choices\":[{\"index\":0,\"finish_reason\":\"tool_calls\",\"message\":{"
             "\"tool_calls\":[7,{\"function\":{\"name\":\"echo\"}},{\"id\":7,\"function\":"
             "{\"name\":\"echo\",\"arguments\":{\"a\":[]}}},{\"id\":\"%s\",\"function\":{}},"
             "{\"id\":\"%s\"},{\"id\":\"%s\"}]}}]}", longest, longest + 1, longest + 1);
    loop_scene_run(&s);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.hops.calls, 5);
    messages = json_object_get(json_array_get(s.sent, 1), "messages");
    calls = json_object_get(json_array_get(messages, 1), "tool_calls");
    assert_int_equal(json_array_size(calls), 5);
    for (size_t i = 0; i < 5; i++) {
        const char *id = json_string_value(json_object_get(json_array_get(calls, i), "id"));

        assert_string_equal(id, json_string_value(json_object_get(
                                    json_array_get(messages, 2 + i), "tool_call_id")));
        assert_string_equal(json_string_value(json_object_get(json_array_get(calls, i),
                                                              "type")), "function");
        if (i == 3)
            assert_string_equal(id, longest + 1);
        else
            assert_true(strncmp(id, "call_", 5) == 0 && strlen(id) == 29);
    }
    assert_json(json_object_get(json_array_get(calls, 1), "function"),
                "{\"name\":\"echo\",\"arguments\":\"{\\\"a\\\":[]}\"}");
    assert_json(json_object_get(json_array_get(calls, 2), "function"),
                "{\"name\":\"unnamed\",\"arguments\":\"{}\"}");
    loop_scene_clear(&s);
}

static void what_else_comes_with_a_call_goes_back(void **state)
{
    static const char *const turns[] = {
        CHUNK("{\"reasoning_content\":\"Hm.\"}", "null")
        PIECE("{\"index\":0,\"id\":\"c1\",\"extra\":{\"sign\":\"x\"},\"custom\":null}")
        PIECE("{\"index\":0,\"function\":{\"name\":\"echo\"}}")
        PIECE("{\"index\":0,\"id\":\"another\",\"function\":{\"arguments\":\"{}\"}}")
        END("tool_calls"),
        WORD("ok") END("stop"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns, .streaming = true};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, 0);
    assert_json(json_array_get(json_object_get(json_array_get(s.sent, 1), "messages"), 1),
                "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"Hm.\","
                "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"extra\":{\"sign\":\"x\"},"
                "\"function\":{\"name\":\"echo\",\"arguments\":\"{}\"}}]}");
    assert_string_equal(loop_scene_stream(&s), "ok<stop>{6+10=16}");
    loop_scene_clear(&s);
}

static void custom_tools_are_the_clients(void **state)
{
    static const char *const streamed[] = {
        PIECE("{\"index\":0,\"id\":\"c1\",\"type\":\"custom\",\"custom\":{\"name\":\"free\","
              "\"input\":\"a\"}}")
        PIECE("{\"index\":0,\"custom\":{\"input\":\"b\"}}") END("tool_calls"), NULL};
    static const char *const at_once[] = {
        CALLS("{\"id\":\"c1\",\"type\":\"custom\",\"custom\":{\"name\":\"free\","
              "\"input\":\"ab\"}}"), NULL};
    struct loop_scene s = {
        .request = "{" HI ",\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"free\"}},"
                   "{\"type\":\"other\"}]}",
        .turns = streamed, .streaming = true};

    (void)state;
    loop_scene_run(&s);
    assert_string_equal(loop_scene_stream(&s), "[0 c1 free a][0   b]<tool_calls>{3+5=8}");
    loop_scene_clear(&s);
    s.turns = at_once;
    s.streaming = false;
    loop_scene_run(&s);
    assert_json(json_object_get(json_object_get(json_array_get(json_object_get(
                    s.completion, "choices"), 0), "message"), "tool_calls"),
                "[{\"id\":\"c1\",\"type\":\"custom\",\"custom\":{\"name\":\"free\","
                "\"input\":\"ab\"}}]");
    loop_scene_clear(&s);
}

static void an_upstream_may_send_odd_chunks(void **state)
{
    static const char *const turns[] = {
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n\n"
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,"
        "\"total_tokens\":2}}\n\n"
        CHUNK("{\"content\":\"\",\"tool_calls\":null}", "null")
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":{\"content\":[]}}]}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ok\"}}],\"usage\":{"
        "\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n"
        "data: [DONE]\n\n", NULL};
    static const char *const none[] = {
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n\ndata: [DONE]\n\n",
        NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns, .streaming = true};

    (void)state;
    loop_scene_run(&s);
    assert_string_equal(loop_scene_stream(&s), "ok<stop>{1+2=3}"); /* counted along, not summed */
    assert_int_equal(s.usage.completion_tokens, 2);
    loop_scene_clear(&s);
    s.turns = none;
    loop_scene_run(&s);
    assert_int_equal(s.status, 0);
    assert_string_equal(loop_scene_stream(&s), "<stop>");
    loop_scene_clear(&s);
}

static void a_completion_needs_its_first_choice(void **state)
{
    static const char *const turns[] = {
        "{\"choices\":[{\"index\":1,\"message\":{\"content\":\"no\"}}]}", NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EUPSTREAM);
    loop_scene_clear(&s);
}

static void what_the_client_side_says_ends_it(void **state)
{
    static const char *const streamed[] = {
        WORD("a") FIRST("0", "c1", "echo", "{}") END("tool_calls"), NULL};
    static const char *const two[] = {
        WORD("a") FIRST("0", "c1", "echo", "{}") END("tool_calls"), WORD("b") END("stop"), NULL};
    static const char *const whole_answer[] = {TEXT("a"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = streamed, .streaming = true,
                           .sink_code = AGW_EGONE};

    (void)state;
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EGONE);
    assert_int_equal(json_array_size(s.chunks), 1);
    assert_int_equal(s.called, 0);
    loop_scene_clear(&s);
    s.turns = two;
    s.sink_after = 1; /* the gap between them */
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EGONE);
    assert_int_equal(json_array_size(s.chunks), 2);
    assert_int_equal(s.called, 1);
    loop_scene_clear(&s);
    s.turns = whole_answer;
    s.streaming = false;
    loop_scene_run(&s);
    assert_int_equal(s.status, AGW_EGONE);
    loop_scene_clear(&s);
}

/* The last one: permits are for the whole process from then on. */
static void one_permit_is_enough_for_all(void **state)
{
    char *many = many_calls(10, "echo");
    const char *turns[] = {many, many, TEXT("ok"), NULL};
    struct loop_scene s = {.request = "{" HI "}", .turns = turns};

    (void)state;
    permit_init(1);
    permit_take();
    for (int streams = 0; streams < 2; streams++) {
        s.tick_ms = streams * 1000;
        loop_scene_run(&s);
        assert_int_equal(s.status, 0);
        loop_scene_clear(&s);
    }
    permit_drop();
    assert_int_equal(s.called, 40);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_goes_as_the_table_says),
        cmocka_unit_test(calls_run_side_by_side_but_not_all_at_once),
        cmocka_unit_test(one_after_the_other_where_that_is_asked_for),
        cmocka_unit_test(of_a_hundred_calls_some_are_made),
        cmocka_unit_test(too_many_calls_are_no_answer),
        cmocka_unit_test(pings_go_on_while_tools_run),
        cmocka_unit_test(pings_go_on_while_a_call_is_written),
        cmocka_unit_test(the_deadline_is_the_whole_requests),
        cmocka_unit_test(a_client_that_leaves_ends_the_tools),
        cmocka_unit_test(what_turns_add_is_bounded),
        cmocka_unit_test(text_beside_calls_counts_but_an_answer_may_be_long),
        cmocka_unit_test(a_forced_choice_is_obeyed_once),
        cmocka_unit_test(the_agents_choice_is_a_default),
        cmocka_unit_test(definitions_are_what_policy_allows_then_the_clients),
        cmocka_unit_test(without_an_allowed_tool_none_is_sent),
        cmocka_unit_test(ids_are_made_good),
        cmocka_unit_test(what_else_comes_with_a_call_goes_back),
        cmocka_unit_test(custom_tools_are_the_clients),
        cmocka_unit_test(an_upstream_may_send_odd_chunks),
        cmocka_unit_test(a_completion_needs_its_first_choice),
        cmocka_unit_test(what_the_client_side_says_ends_it),
        cmocka_unit_test(one_permit_is_enough_for_all),
    };

    http_client_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_goes_as_the_table_says),
    };

    http_client_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

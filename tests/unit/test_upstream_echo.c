/* SPDX-License-Identifier: MIT */
/* The builtin-echo provider through chat_call(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "chat_fixture.h"
#include "net/http_client.h"

#define ASK(text) "\"model\":\"echo-1\",\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"

static const struct {
    const char *body, *text, *reason;
    int prompt, completion; /* tokens */
    int status;             /* 400: refused, `text` is the parameter */
} cases[] = {
    {"{" ASK("hello there") "}", "echo: hello there", "stop", 2, 3, 0},
    {"{" ASK("") "}", "echo: ", "stop", 0, 1, 0},
    {"{" ASK(" a  b\\n") "}", "echo:  a  b\n", "stop", 2, 3, 0},
    {"{" ASK("a b c d") ",\"max_tokens\":3}", "echo: a b", "length", 4, 3, 0},
    {"{" ASK("a b c d") ",\"max_completion_tokens\":2,\"max_tokens\":4}", "echo: a", "length", 4,
     2, 0},
    {"{" ASK("a b") ",\"max_tokens\":3}", "echo: a b", "stop", 2, 3, 0},
    {"{" ASK("a b ") ",\"max_tokens\":3}", "echo: a b ", "stop", 2, 3, 0},
    {"{" ASK("one two three") ",\"stop\":\"two\"}", "echo: one ", "stop", 3, 2, 0},
    {"{" ASK("one two three") ",\"stop\":[\"three\",\"two\"],\"max_tokens\":9}", "echo: one ",
     "stop", 3, 2, 0},
    {"{" ASK("a b") ",\"n\":3}", "echo: a b", "stop", 2, 9, 0},
    {"{" ASK("a b") ",\"n\":null,\"stop\":null,\"max_tokens\":null}", "echo: a b", "stop", 2, 3,
     0},
    {"{" ASK("[1]") ",\"response_format\":{\"type\":\"json_schema\"}}", "[1]", "stop", 1, 1, 0},
    {"{" ASK("{}") ",\"response_format\":{\"type\":\"json_object\"}}", "{}", "stop", 1, 1, 0},
    {"{" ASK("{}") ",\"response_format\":{\"type\":\"text\"}}", "echo: {}", "stop", 1, 2, 0},
    {"{" ASK("a") ",\"tools\":[{}],\"temperature\":2}", "echo: a", "stop", 1, 2, 0},
    {"{\"model\":\"echo-1\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"
     "{\"role\":\"user\",\"content\":\"first\"},{\"role\":\"assistant\",\"content\":\"x\"},"
     "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"last\"},"
     "{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}},"
     "{\"type\":\"text\",\"text\":\"one\"}]}]}",
     "echo: last\none", "stop", 6, 3, 0},
    {"{\"model\":\"echo-1\",\"messages\":[]}", "messages", NULL, 0, 0, 400},
    {"{\"model\":\"echo-1\"}", "messages", NULL, 0, 0, 400},
    {"{" ASK("a") ",\"n\":0}", "n", NULL, 0, 0, 400},
    {"{" ASK("a") ",\"n\":17}", "n", NULL, 0, 0, 400},
    {"{" ASK("a") ",\"max_tokens\":0}", "max_tokens", NULL, 0, 0, 400},
    {"{" ASK("a") ",\"max_tokens\":\"9\"}", "max_tokens", NULL, 0, 0, 400},
    {"{" ASK("a") ",\"stop\":7}", "stop", NULL, 0, 0, 400},
    {"{" ASK("a") ",\"stop\":[7]}", "stop", NULL, 0, 0, 400},
};

static void check(struct fixture *f, size_t i, bool stream)
{
    json_t *body = json_loads(cases[i].body, JSON_REJECT_DUPLICATES, NULL);
    int code;

    json_object_set_new(body, "stream", json_boolean(stream));
    if (stream) /* its choices come one after the other: take the first one's text only */
        json_object_del(body, "n");
    code = fixture_call_body(f, NULL, json_copy(body));
    json_decref(body);
    if (cases[i].status != 0) {
        if (stream && strcmp(cases[i].text, "n") == 0)
            return;
        assert_int_equal(code, AGW_EUPSTREAMREQ);
        assert_int_equal(f->e.status, 400);
        assert_true(f->e.is_public);
        assert_string_equal(f->e.param, cases[i].text);
        return;
    }
    if (code != 0 || strcmp(f->sink.text, cases[i].text) != 0 ||
        strcmp(f->sink.finish_reason, cases[i].reason) != 0)
        fail_msg("%s: code %d '%s' %s", cases[i].body, code, f->sink.text,
                 f->sink.finish_reason);
    if (f->usage.prompt_tokens != cases[i].prompt ||
        (f->usage.completion_tokens != cases[i].completion && !stream))
        fail_msg("%s: %lld and %lld tokens", cases[i].body, (long long)f->usage.prompt_tokens,
                 (long long)f->usage.completion_tokens);
}

static void echo_scene(struct fixture *f)
{
    fixture_init(f, 1, (int[]){1});
    f->definitions[0].provider = PROVIDER_ECHO;
    f->definitions[0].base_url = NULL;
    fixture_apply(f);
}

static void table(void **state)
{
    struct fixture f;

    (void)state;
    echo_scene(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(&f, i, false);
        check(&f, i, true);
    }
    fixture_free(&f);
}

/* ---- calls of tools ---- */

#define TOOL(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}"
#define TOOLS ",\"tools\":[" TOOL("add") "," TOOL("read_file") "]"
#define RESULTS                                                                                \
    "\"model\":\"echo-1\",\"messages\":[{\"role\":\"user\",\"content\":\"call add {}\"},"           \
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]},"                               \
    "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"one\"},"                              \
    "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"two\"}"

static const struct {
    const char *body, *text;
    const char *calls; /* "name(arguments)" of each, NULL = none */
} tool_cases[] = {
    {"{" ASK("call add {\\\"a\\\":1}") TOOLS "}", "", "add({\"a\":1})"},
    {"{" ASK("call add") TOOLS "}", "", "add({})"},
    {"{" ASK("call add not json") TOOLS "}", "", "add(not json)"},
    {"{" ASK("call add 1\\ncall read_file   2\\n") TOOLS "}", "", "add(1)read_file(2)"},
    {"{" ASK("call add 1 2 3") TOOLS ",\"stop\":\"2\",\"max_tokens\":1}", "", "add(1 2 3)"},
    {"{" ASK("call other {}") TOOLS "}", "echo: call other {}", NULL},
    {"{" ASK("call add {}") "}", "echo: call add {}", NULL},
    {"{" ASK("call add {}") TOOLS ",\"tool_choice\":\"none\"}", "echo: call add {}", NULL},
    {"{" ASK("call add 1\\nplease") TOOLS "}", "echo: call add 1\nplease", NULL},
    {"{" ASK("please call add {}") TOOLS "}", "echo: please call add {}", NULL},
    {"{" ASK("call  ") TOOLS "}", "echo: call  ", NULL},
    {"{" ASK("call") TOOLS "}", "echo: call", NULL},
    {"{" RESULTS "]" TOOLS "}", "echo: one\ntwo", NULL},
    {"{" RESULTS ",{\"role\":\"user\",\"content\":\"more\"}]" TOOLS "}", "echo: more", NULL},
};

static json_t *all_chunks;

static int keep_chunk(void *arg, json_t *chunk)
{
    (void)arg;
    return json_array_append(all_chunks, json_copy(chunk));
}

static void put(char text[200], const char *more)
{
    snprintf(text + strlen(text), 200 - strlen(text), "%s", more);
}

static void join(char text[200], const json_t *value)
{
    if (json_is_string(value))
        put(text, json_string_value(value));
}

/* The calls of a completion's message, or the deltas of a stream laid together. */
static void join_calls(char text[200], const json_t *chunk)
{
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0), *call;
    const json_t *message = json_object_get(choice, "message");
    size_t i;

    if (message == NULL)
        message = json_object_get(choice, "delta");
    json_array_foreach(json_object_get(message, "tool_calls"), i, call) {
        const json_t *function = json_object_get(call, "function");
        bool begins = json_object_get(function, "name") != NULL;

        if (begins && text[0] != '\0')
            put(text, ")");
        join(text, json_object_get(function, "name"));
        if (begins) {
            assert_string_equal(json_string_value(json_object_get(call, "type")), "function");
            assert_int_equal(strncmp(json_string_value(json_object_get(call, "id")), "call_", 5),
                             0);
            put(text, "(");
        }
        join(text, json_object_get(function, "arguments"));
    }
}

static void check_calls(struct fixture *f, size_t i, bool stream)
{
    json_t *body = json_loads(tool_cases[i].body, JSON_REJECT_DUPLICATES, NULL), *chunk;
    const char *reason = tool_cases[i].calls == NULL ? "stop" : "tool_calls";
    char text[200] = "";
    size_t n;

    assert_non_null(body);
    json_object_set_new(body, "stream", json_boolean(stream));
    all_chunks = json_array();
    f->sink.sink.chunk = stream ? keep_chunk : f->sink.sink.chunk;
    assert_int_equal(fixture_call_body(f, NULL, body), 0);
    if (!stream) {
        assert_string_equal(f->sink.text, tool_cases[i].text);
        assert_string_equal(f->sink.finish_reason, reason);
        join_calls(text, f->sink.last);
    }
    json_array_foreach(all_chunks, n, chunk) {
        join_calls(text, chunk);
        json_decref(chunk);
    }
    json_decref(all_chunks);
    if (text[0] != '\0')
        put(text, ")");
    if (strcmp(text, "") == 0 ? tool_cases[i].calls != NULL
                              : tool_cases[i].calls == NULL) {
        fail_msg("%s: %s", tool_cases[i].body, text);
    } else if (tool_cases[i].calls != NULL) {
        assert_string_equal(text, tool_cases[i].calls);
    }
}

static void it_calls_tools_when_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tool_cases / sizeof tool_cases[0]; i++)
        for (int stream = 0; stream < 2; stream++) {
            struct fixture f;

            echo_scene(&f);
            check_calls(&f, i, stream == 1);
            fixture_free(&f);
        }
}

static void stream_shape(void **state)
{
    struct fixture f;
    json_t *chunk, *first, *last;
    size_t i;

    (void)state;
    echo_scene(&f);
    all_chunks = json_array();
    f.sink.sink.chunk = keep_chunk;
    assert_int_equal(
        fixture_call_body(&f, NULL, json_loads("{" ASK("a b") ",\"stream\":true,\"n\":2}", 0, NULL)),
        0);
    /* per choice: role, three words, end; then usage */
    assert_int_equal(json_array_size(all_chunks), 2 * 5 + 1);
    first = json_array_get(all_chunks, 0);
    json_array_foreach(all_chunks, i, chunk) {
        assert_true(json_equal(json_object_get(chunk, "id"), json_object_get(first, "id")));
        assert_string_equal(json_string_value(json_object_get(chunk, "object")),
                            "chat.completion.chunk");
        assert_string_equal(json_string_value(json_object_get(chunk, "model")), "echo-1");
        assert_true(json_is_integer(json_object_get(chunk, "created")));
        if (i < 10) {
            assert_true(json_is_null(json_object_get(chunk, "usage")));
            assert_int_equal(json_array_size(json_object_get(chunk, "choices")), 1);
        }
    }
    last = json_array_get(all_chunks, 10);
    assert_int_equal(json_array_size(json_object_get(last, "choices")), 0);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(last, "usage"), "total_tokens")),
        2 + 2 * 3);
    json_array_foreach(all_chunks, i, chunk)
        json_decref(chunk);
    json_decref(all_chunks);
    fixture_free(&f);
}

static void seed_fixes_the_id(void **state)
{
    static const char *const bodies[] = {"{" ASK("a") ",\"seed\":1}", "{" ASK("a") ",\"seed\":2}",
                                         "{" ASK("a") "}"};
    char ids[6][64];
    struct fixture f;

    (void)state;
    echo_scene(&f);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(fixture_call_body(&f, NULL, json_loads(bodies[i / 2], 0, NULL)), 0);
        snprintf(ids[i], sizeof ids[i], "%s",
                 json_string_value(json_object_get(f.sink.last, "id")));
    }
    assert_string_equal(ids[0], ids[1]);
    assert_string_equal(ids[2], ids[3]);
    assert_string_not_equal(ids[0], ids[2]);
    assert_string_not_equal(ids[4], ids[5]);
    fixture_free(&f);
}

static void never_steps_in_for_a_provider(void **state)
{
    struct fixture f;

    (void)state;
    echo_scene(&f);
    assert_int_equal(fixture_call(&f, NULL, false), AGW_EUNAVAILABLE);
    assert_int_equal(fixture_call(&f, "u0", false), 0);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(it_calls_tools_when_told),
        cmocka_unit_test(stream_shape),
        cmocka_unit_test(seed_fixes_the_id),
        cmocka_unit_test(never_steps_in_for_a_provider),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("upstream/echo", tests, NULL, NULL);
}

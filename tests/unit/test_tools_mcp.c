/* SPDX-License-Identifier: MIT */
/* What MCP servers say, and what is made of it: the tables of tests/cases/mcp/, and memory that
 * runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"
#include "tools/mcp_content.h"
#include "tools/mcp_era.h"
#include "tools/mcp_headers.h"
#include "tools/mcp_lines.h"
#include "tools/mcp_message.h"
#include "tools/mcp_tools.h"
#include "util/json_memory.h"

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static void each_row(const char *file, size_t least, void (*check)(const json_t *row))
{
    char path[300];
    json_error_t problem;
    json_t *rows, *row;
    size_t i;

    snprintf(path, sizeof path, AGW_SOURCE_DIR "/tests/cases/mcp/%s.json", file);
    rows = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (rows == NULL)
        fail_msg("%s:%d: %s", path, problem.line, problem.text);
    assert_true(json_array_size(rows) >= least);
    json_array_foreach(rows, i, row)
    {
        check(row);
    }
    json_decref(rows);
}

/* ---- messages ---- */

static void check_message(const json_t *row)
{
    static const char *const kinds[] = {"result", "error", "request", "notification"};
    const char *name = text_of(row, "name"), *text = text_of(row, "text");
    const char *refused = text_of(row, "refused"), *reply = text_of(row, "reply");
    const json_t *answers = json_object_get(row, "answers");
    struct mcp_message message;
    struct err e = {0};
    int code = mcp_message_parse(text, strlen(text), &message, &e);

    if (refused != NULL) {
        if (code != AGW_EINVALID || strstr(e.message, refused) == NULL || message.whole != NULL)
            fail_msg("%s: %d %s", name, code, e.message);
        return;
    }
    if (code != 0 || strcmp(kinds[message.kind], text_of(row, "kind")) != 0)
        fail_msg("%s: %d %s", name, code, e.message);
    for (json_int_t id = 0; id < 10; id++)
        assert_int_equal(mcp_message_answers(&message, id),
                         answers != NULL && json_integer_value(answers) == id);
    if (message.kind == MCP_ERROR) {
        assert_int_equal(message.code, json_integer_value(json_object_get(row, "code")));
        assert_string_equal(message.text, text_of(row, "says"));
    }
    if (reply != NULL) {
        char *made = mcp_message_reply(&message);

        assert_string_equal(made, reply);
        json_memory_free(made);
    }
    mcp_message_clear(&message);
}

static void messages(void **state)
{
    (void)state;
    each_row("messages", 25, check_message);
}

static void messages_that_are_too_much(void **state)
{
    struct mcp_message message;
    struct err e = {0};
    struct buf deep;
    char *huge = malloc(MCP_MESSAGE_MAX + 1);

    (void)state;
    buf_init(&deep, 1 << 20);
    buf_puts(&deep, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":");
    for (int i = 0; i < 100000; i++)
        buf_puts(&deep, "{\"a\":");
    assert_int_equal(mcp_message_parse(deep.data, deep.length, &message, &e), AGW_EINVALID);
    assert_non_null(strstr(e.message, "deep"));
    memset(huge, ' ', MCP_MESSAGE_MAX + 1);
    assert_int_equal(mcp_message_parse(huge, MCP_MESSAGE_MAX + 1, &message, &e), AGW_EINVALID);
    assert_non_null(strstr(e.message, "exceeds"));
    assert_int_equal(mcp_message_parse("\xff\xfe", 2, &message, &e), AGW_EINVALID);
    buf_free(&deep);
    free(huge);
}

static void what_we_write_is_one_line(void **state)
{
    json_t *params = json_pack("{s:s}", "a", "line\nline");
    char *request = mcp_message_request(7, "tools/call", params);
    char *note = mcp_message_notify("notifications/initialized", NULL);

    (void)state;
    assert_string_equal(request, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\","
                                 "\"params\":{\"a\":\"line\\nline\"}}");
    assert_string_equal(note, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    json_memory_free(request);
    json_memory_free(note);
}

/* ---- content ---- */

static void check_content(const json_t *row)
{
    const json_t *max = json_object_get(row, "max"), *wanted = json_object_get(row, "structured");
    struct tool_result result = {0};

    mcp_content_take(json_object_get(row, "answer"),
                     max == NULL ? 1000 : (size_t)json_integer_value(max), &result);
    if (strcmp(tool_status_name(result.status), text_of(row, "status")) != 0 ||
        strcmp(result.content, text_of(row, "text")) != 0 ||
        result.truncated != json_is_true(json_object_get(row, "truncated")) ||
        (wanted == NULL) != (result.structured == NULL) ||
        (wanted != NULL && !json_equal(wanted, result.structured)))
        fail_msg("%s: %s '%s'", text_of(row, "name"), tool_status_name(result.status),
                 result.content);
    assert_int_equal(result.length, strlen(result.content));
    tool_result_clear(&result);
}

static void contents(void **state)
{
    (void)state;
    each_row("content", 25, check_content);
}

/* ---- headers ---- */

static void check_headers(const json_t *row)
{
    const char *name = text_of(row, "name"), *refused = text_of(row, "problem");
    const json_t *lines = json_object_get(row, "lines");
    struct mcp_headers headers = {0};
    char problem[MCP_HEADERS_PROBLEM];
    json_t *declared = mcp_headers_declared(json_object_get(row, "schema"), problem);

    if (refused != NULL) {
        if (declared != NULL || strstr(problem, refused) == NULL)
            fail_msg("%s: '%s'", name, problem);
        return;
    }
    assert_non_null(declared);
    mcp_headers_params(&headers, declared, json_object_get(row, "arguments"));
    assert_false(headers.failed);
    if (headers.count != json_array_size(lines))
        fail_msg("%s: %zu lines", name, headers.count);
    for (size_t i = 0; i < headers.count; i++)
        assert_string_equal(headers.lines[i], json_string_value(json_array_get(lines, i)));
    mcp_headers_free(&headers);
    json_decref(declared);
}

static void headers_of_arguments(void **state)
{
    (void)state;
    each_row("headers", 20, check_headers);
}

/* A schema of 64 levels with a keyword at each of them is looked at once, not 2^64 times. */
static void deep_schemas_cost_little(void **state)
{
    char problem[MCP_HEADERS_PROBLEM];
    json_t *schema = json_object(), *declared;

    (void)state;
    for (int i = 0; i < 60; i++)
        schema = json_pack("{s:{s:o}}", i % 2 ? "items" : "$defs", "items", schema);
    declared = mcp_headers_declared(schema, problem);
    assert_non_null(declared);
    json_decref(declared);
    json_decref(schema);
}

static void a_line_is_never_two(void **state)
{
    struct mcp_headers headers = {0};

    (void)state;
    mcp_headers_add(&headers, "A", "x\r\nB: y");
    assert_int_equal(headers.count, 0);
    mcp_headers_encode(&headers, "A", "x\r\nB: y");
    assert_int_equal(headers.count, 1);
    assert_string_equal(headers.lines[0], "A: =?base64?eA0KQjogeQ==?=");
    assert_null(headers.lines[1]);
    mcp_headers_free(&headers);
}

/* ---- eras ---- */

static void take_answer(const json_t *row, struct mcp_answer *answer)
{
    json_t *message = json_deep_copy(json_object_get(row, "message"));
    const char *session = text_of(row, "session");
    struct err e = {0};
    char *text;

    memset(answer, 0, sizeof *answer);
    answer->status = (int)json_integer_value(json_object_get(row, "status"));
    snprintf(answer->session_id, sizeof answer->session_id, "%s", session ? session : "");
    if (message == NULL)
        return;
    json_object_set_new(message, "jsonrpc", json_string("2.0"));
    text = json_dumps(message, 0);
    assert_int_equal(mcp_message_parse(text, strlen(text), &answer->message, &e), 0);
    json_memory_free(text);
    json_decref(message);
}

static void check_agreement(const json_t *row, int code, const struct mcp_peer *peer,
                            const struct err *e)
{
    const char *name = text_of(row, "name"), *refused = text_of(row, "refused");
    const char *version = text_of(row, "version"), *server = text_of(row, "server");
    char both[220];

    if (refused != NULL) {
        if (code != AGW_EUPSTREAM || strstr(e->message, refused) == NULL)
            fail_msg("%s: %d %s", name, code, e->message);
        return;
    }
    if (code != 0)
        fail_msg("%s: %d %s", name, code, e->message);
    assert_int_equal(peer->era, strcmp(text_of(row, "era"), "modern") == 0 ? MCP_MODERN
                                                                           : MCP_LEGACY);
    assert_string_equal(peer->version, version ? version : "");
    snprintf(both, sizeof both, "%s %s", peer->name, peer->release);
    if (server != NULL)
        assert_string_equal(both, server);
}

static void check_era(const json_t *row)
{
    static const char *const agreements[] = {"kept", "doubted", "lost"};
    const char *asked = text_of(row, "asked"), *session = text_of(row, "session");
    struct mcp_answer answer;
    struct mcp_peer peer = {0};
    struct err e = {0};

    take_answer(row, &answer);
    if (strcmp(asked, "server/discover") == 0) {
        check_agreement(row, mcp_era_discovered(&answer, &peer, &e), &peer, &e);
    } else if (strcmp(asked, "initialize") == 0) {
        check_agreement(row, mcp_era_initialized(&answer, &peer, &e), &peer, &e);
        assert_string_equal(peer.session_id, peer.version[0] != '\0' && session ? session : "");
    } else {
        peer.era = strcmp(asked, "modern") == 0 ? MCP_MODERN : MCP_LEGACY;
        snprintf(peer.session_id, sizeof peer.session_id, "%s", session ? session : "");
        if (strcmp(agreements[mcp_era_agreement(&peer, &answer)], text_of(row, "agreement")) != 0)
            fail_msg("%s", text_of(row, "name"));
    }
    mcp_message_clear(&answer.message);
}

static void eras(void **state)
{
    (void)state;
    each_row("eras", 30, check_era);
}

static void modern_requests_say_all(void **state)
{
    struct mcp_peer modern = {.era = MCP_MODERN, .version = MCP_MODERN_VERSION};
    struct mcp_peer legacy = {.era = MCP_LEGACY, .version = "2025-06-18", .session_id = "s1"};
    struct mcp_headers headers = {0};
    json_t *own = json_pack("{s:s}", "name", "echo"), *params = mcp_era_params(&modern, own, 7);
    const json_t *meta = json_object_get(params, "_meta");

    (void)state;
    assert_string_equal(text_of(params, "name"), "echo");
    assert_string_equal(text_of(meta, "io.modelcontextprotocol/protocolVersion"), "2026-07-28");
    assert_true(json_is_object(
        json_object_get(meta, "io.modelcontextprotocol/clientCapabilities")));
    assert_int_equal(json_integer_value(json_object_get(meta, "progressToken")), 7);
    assert_null(json_object_get(own, "_meta"));
    json_decref(params);
    params = mcp_era_params(&legacy, NULL, 0);
    assert_int_equal(json_object_size(params), 0);
    json_decref(params);
    json_decref(own);
    mcp_era_session_headers(&modern, &headers);
    mcp_era_request_headers(&modern, "tools/call", "gr\xc3\xbc\xc3\x9f", &headers);
    assert_int_equal(headers.count, 3);
    assert_string_equal(headers.lines[0], "MCP-Protocol-Version: 2026-07-28");
    assert_string_equal(headers.lines[1], "Mcp-Method: tools/call");
    assert_string_equal(headers.lines[2], "Mcp-Name: =?base64?Z3LDvMOf?=");
    mcp_headers_free(&headers);
    mcp_era_session_headers(&legacy, &headers);
    mcp_era_request_headers(&legacy, "tools/call", "echo", &headers);
    assert_int_equal(headers.count, 2);
    assert_string_equal(headers.lines[1], "Mcp-Session-Id: s1");
    mcp_headers_free(&headers);
}

/* ---- lists ---- */

static void check_offers(const json_t *row, const struct mcp_tools *tools,
                         const struct tool_offers *offers)
{
    const json_t *names = json_object_get(row, "tools"), *known;
    const json_t *repeatable = json_object_get(row, "repeatable");
    const char *name = text_of(row, "name"), *notes = text_of(row, "notes");
    size_t repeatables = 0;

    if (offers->count != json_array_size(names))
        fail_msg("%s: %zu tools", name, offers->count);
    for (size_t i = 0; i < offers->count; i++) {
        assert_string_equal(offers->list[i].name, json_string_value(json_array_get(names, i)));
        known = json_object_get(tools->known, offers->list[i].name);
        if (json_is_true(json_object_get(known, "repeatable")))
            assert_string_equal(offers->list[i].name, json_string_value(json_array_get(
                                                          repeatable, repeatables++)));
    }
    assert_int_equal(repeatables, json_array_size(repeatable));
    assert_string_equal(buf_text(&tools->notes), notes ? notes : "");
}

static void check_list(const json_t *row)
{
    const json_t *pages = json_object_get(row, "pages");
    const char *refused = text_of(row, "refused"), *cursor;
    struct tool_offers offers = {0};
    struct mcp_tools tools;
    struct err e = {0};
    int code = 1;

    assert_int_equal(mcp_tools_begin(&tools, &offers), 0);
    for (size_t i = 0; code == 1; i++)
        code = mcp_tools_page(&tools, json_array_get(pages, i), &cursor, &e);
    if (refused != NULL) {
        if (code != AGW_EUPSTREAM || strstr(e.message, refused) == NULL)
            fail_msg("%s: %d %s", text_of(row, "name"), code, e.message);
    } else {
        assert_int_equal(code, 0);
        check_offers(row, &tools, &offers);
    }
    mcp_tools_clear(&tools);
    tool_offers_clear(&offers);
}

static void lists(void **state)
{
    (void)state;
    each_row("lists", 10, check_list);
}

/* With pages of `size` tools, none of which is the last: how many pages are asked for. */
static int pages_until_the_end(size_t size, int *code, struct mcp_tools *tools)
{
    char text[32];
    int pages = 0, number = 0;

    do {
        json_t *list = json_array(), *page;
        const char *cursor;
        struct err e = {0};

        for (size_t i = 0; i < size; i++) {
            snprintf(text, sizeof text, "tool-%d", number++);
            json_array_append_new(list, json_pack("{s:s}", "name", text));
        }
        page = json_pack("{s:o,s:s+}", "tools", list, "nextCursor", "page ", text);
        pages++;
        *code = mcp_tools_page(tools, page, &cursor, &e);
        json_decref(page);
    } while (*code == 1);
    return pages;
}

static void lists_have_an_end(void **state)
{
    struct tool_offers offers = {0};
    struct mcp_tools tools;
    int code;

    (void)state;
    assert_int_equal(mcp_tools_begin(&tools, &offers), 0);
    assert_true(pages_until_the_end(1, &code, &tools) < 1000);
    assert_int_equal(code, AGW_EUPSTREAM);
    mcp_tools_clear(&tools);
    tool_offers_clear(&offers);
    assert_int_equal(mcp_tools_begin(&tools, &offers), 0);
    assert_int_equal(pages_until_the_end(100, &code, &tools), 11);
    assert_int_equal(code, 0);
    assert_int_equal(offers.count, TOOL_OFFERS_MAX);
    assert_non_null(strstr(buf_text(&tools.notes), "more than 1024 tools"));
    mcp_tools_clear(&tools);
    tool_offers_clear(&offers);
}

/* ---- lines ---- */

static int note_line(void *arg, const char *line, size_t length)
{
    struct buf *seen = arg;

    buf_append(seen, line, length);
    return buf_puts(seen, "|") == 0 ? 0 : AGW_ENOMEM;
}

static void lines_are_the_same_however_they_are_cut(void **state)
{
    static const char text[] = "one\ntwo\r\n\n\r\nlast one\nthis is begun";

    (void)state;
    for (size_t step = 1; step <= sizeof text; step++) {
        struct mcp_lines lines;
        struct buf seen;

        mcp_lines_init(&lines, 8);
        buf_init(&seen, 1000);
        for (size_t at = 0; at < sizeof text - 10; at += step) {
            size_t length = sizeof text - 10 - at;

            assert_int_equal(mcp_lines_feed(&lines, text + at, length < step ? length : step,
                                            note_line, &seen), 0);
        }
        assert_string_equal(buf_text(&seen), "one|two|||last one|");
        mcp_lines_free(&lines);
        buf_free(&seen);
    }
}

static void long_lines_are_refused(void **state)
{
    static const char *const texts[] = {"123456789\n", "123456789", "123456789\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t step = 1; step < 12; step += 10) {
            struct mcp_lines lines;
            struct buf seen;
            int code = 0;

            mcp_lines_init(&lines, 7);
            buf_init(&seen, 1000);
            for (size_t at = 0; at < strlen(texts[i]) && code == 0; at += step) {
                size_t length = strlen(texts[i]) - at;

                code = mcp_lines_feed(&lines, texts[i] + at, length < step ? length : step,
                                      note_line, &seen);
            }
            assert_int_equal(code, AGW_EUPSTREAM);
            assert_int_equal(seen.length, 0);
            mcp_lines_free(&lines);
            buf_free(&seen);
        }
}

/* ---- memory ---- */

/* All of it once, with whatever fails. */
static void use_all(void *arg)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\"}";
    const json_t *page = arg;
    struct mcp_peer modern = {.era = MCP_MODERN, .version = MCP_MODERN_VERSION};
    struct tool_offers offers = {0};
    struct tool_result result = {0};
    struct mcp_headers headers = {0};
    struct mcp_message message;
    struct mcp_tools tools;
    const char *cursor;
    struct err e = {0};

    if (mcp_message_parse(text, sizeof text - 1, &message, &e) == 0)
        json_memory_free(mcp_message_reply(&message));
    mcp_message_clear(&message);
    json_memory_free(mcp_message_request(1, "x", mcp_era_params(&modern, page, 1)));
    json_decref(mcp_era_initialize());
    mcp_era_session_headers(&modern, &headers);
    mcp_era_request_headers(&modern, "tools/call", "gr\xc3\xbc\xc3\x9f", &headers);
    if (mcp_tools_begin(&tools, &offers) == 0 &&
        mcp_tools_page(&tools, page, &cursor, &e) == 0)
        mcp_headers_params(&headers, json_object_get(json_object_get(tools.known, "a"),
                                                     "headers"), page);
    mcp_tools_clear(&tools);
    tool_offers_clear(&offers);
    mcp_headers_free(&headers);
    mcp_content_take(page, 100, &result);
    tool_result_clear(&result);
}

static void whatever(void *arg)
{
    (void)arg;
}

static void memory_may_run_out(void **state)
{
    json_t *page = json_pack(
        "{s:[{s:s,s:s,s:{s:{s:{s:s,s:s}}}}],s:s,s:[{s:s,s:s}],s:{s:i}}", "tools", "name", "a",
        "description", "d", "inputSchema", "properties", "q", "type", "string", "x-mcp-header",
        "Q", "q", "\xc3\xbc", "content", "type", "text", "text", "hello", "structuredContent",
        "a", 1);

    (void)state;
    assert_non_null(page);
    assert_true(inject_each(INJECT_MEMORY, use_all, whatever, page) > 20);
    json_decref(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(messages_that_are_too_much),
        cmocka_unit_test(what_we_write_is_one_line),
        cmocka_unit_test(contents),
        cmocka_unit_test(headers_of_arguments),
        cmocka_unit_test(deep_schemas_cost_little),
        cmocka_unit_test(a_line_is_never_two),
        cmocka_unit_test(eras),
        cmocka_unit_test(modern_requests_say_all),
        cmocka_unit_test(lists),
        cmocka_unit_test(lists_have_an_end),
        cmocka_unit_test(lines_are_the_same_however_they_are_cut),
        cmocka_unit_test(long_lines_are_refused),
        cmocka_unit_test(memory_may_run_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* http_template.c and http_answer.c against the tables of tests/cases/tools_http/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/http_answer.h"
#include "tools/http_template.h"

enum { ROOM = 4096, HEADERS = 8 };

static json_t *table(const char *name)
{
    char path[512];
    json_error_t error;
    json_t *cases;

    snprintf(path, sizeof path, "%s/tests/cases/tools_http/%s", AGW_SOURCE_DIR, name);
    cases = json_load_file(path, 0, &error);
    if (cases == NULL)
        fail_msg("%s:%d: %s", name, error.line, error.text);
    return cases;
}

static const char *text(const json_t *entry, const char *name)
{
    return json_string_value(json_object_get(entry, name));
}

static void check_text(const json_t *entry, const char *got, const char *wanted)
{
    if (wanted != NULL && strcmp(got, wanted) != 0)
        fail_msg("%s: got %s, not %s", text(entry, "name"), got, wanted);
}

/* ---- requests ---- */

/* A value that begins with "$pre" stands for one of the environment. */
static size_t read_headers(const json_t *entry, struct config_header headers[HEADERS])
{
    size_t count = 0;
    const char *name;
    json_t *value;

    json_object_foreach(json_object_get(entry, "headers"), name, value)
    {
        const char *is = json_string_value(value);

        headers[count++] = (struct config_header){name, is, strncmp(is, "$pre", 4) == 0};
    }
    return count;
}

static int expand_headers(const json_t *entry, const struct config_tool *tool,
                          const json_t *arguments, char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    const json_t *wanted = json_object_get(entry, "expect_headers");
    size_t seen = 0;
    int code = 0;

    for (size_t i = 0; i < tool->header_count && code == 0; i++) {
        struct buf line;

        buf_init(&line, ROOM);
        code = http_template_header(&tool->headers[i], arguments, &line, problem);
        if (code == 0 && line.length > 0)
            check_text(entry, line.data, json_string_value(json_array_get(wanted, seen++)));
        buf_free(&line);
    }
    if (code == 0 && seen != json_array_size(wanted))
        fail_msg("%s: %zu headers", text(entry, "name"), seen);
    return code;
}

static void check_request(const json_t *entry)
{
    const json_t *arguments = json_object_get(entry, "arguments");
    struct config_header headers[HEADERS];
    struct config_tool tool = {.url = text(entry, "url"), .method = text(entry, "method"),
                               .headers = headers, .header_count = read_headers(entry, headers)};
    char problem[HTTP_TEMPLATE_PROBLEM_SIZE] = "";
    struct buf url, body;
    int code;

    buf_init(&url, ROOM);
    buf_init(&body, ROOM);
    code = http_template_url(&tool, arguments, &url, problem);
    if (code == 0)
        code = expand_headers(entry, &tool, arguments, problem);
    if (code == 0)
        code = http_template_body(&tool, arguments, &body, problem);
    if (code != (text(entry, "problem") == NULL ? 0 : AGW_EINVALID))
        fail_msg("%s: %d %s", text(entry, "name"), code, problem);
    check_text(entry, problem, text(entry, "problem"));
    if (code == 0) {
        check_text(entry, url.data, text(entry, "expect_url"));
        check_text(entry, body.data, text(entry, "expect_body"));
    }
    buf_free(&url);
    buf_free(&body);
}

static void requests(void **state)
{
    json_t *cases = table("requests.json"), *entry;
    size_t i;

    (void)state;
    json_array_foreach(cases, i, entry) check_request(entry);
    assert_in_range(json_array_size(cases), 30, 1000);
    json_decref(cases);
}

static void what_is_too_long_is_refused(void **state)
{
    struct config_header header = {"X-A", "{a}", false};
    struct config_tool tool = {.url = "http://x/{a}", .method = "GET"};
    char problem[HTTP_TEMPLATE_PROBLEM_SIZE], *long_text = calloc(1, ROOM + 1);
    json_t *arguments;
    struct buf out;

    (void)state;
    memset(long_text, 'x', ROOM);
    arguments = json_pack("{s:s}", "a", long_text);
    buf_init(&out, ROOM);
    assert_int_equal(http_template_url(&tool, arguments, &out, problem), AGW_EINVALID);
    assert_string_equal(problem, "The arguments are too much: the URL may have 4096 bytes.");
    buf_reset(&out);
    tool.url = "http://x/";
    assert_int_equal(http_template_url(&tool, arguments, &out, problem), AGW_EINVALID);
    buf_reset(&out);
    assert_int_equal(http_template_header(&header, arguments, &out, problem), AGW_EINVALID);
    buf_reset(&out);
    assert_int_equal(http_template_body(&tool, arguments, &out, problem), AGW_EINVALID);
    buf_free(&out);
    json_decref(arguments);
    free(long_text);
}

/* ---- answers ---- */

static size_t read_body(const json_t *entry, char body[ROOM])
{
    const char *plain = text(entry, "body"), *hex = text(entry, "hex");
    json_int_t times = json_integer_value(json_object_get(entry, "times"));
    size_t length = 0;

    for (; hex != NULL && hex[0] != '\0'; hex += 2) {
        unsigned byte;

        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        body[length++] = (char)byte;
    }
    if (plain != NULL)
        do {
            length += (size_t)snprintf(body + length, ROOM - length, "%s", plain);
        } while (--times > 0);
    return length;
}

static void check_answer(const json_t *entry)
{
    struct http_result head = {
        .status = (int)json_integer_value(json_object_get(entry, "status")),
        .encoded = json_is_true(json_object_get(entry, "encoded"))};
    json_int_t max = json_integer_value(json_object_get(entry, "max"));
    json_int_t wanted = json_integer_value(json_object_get(entry, "length"));
    struct tool_result result = {0};
    char body[ROOM];
    size_t length = read_body(entry, body);
    const char *begins = text(entry, "begins"), *charset = text(entry, "charset");

    snprintf(head.content_type, sizeof head.content_type, "%s", text(entry, "type"));
    snprintf(head.charset, sizeof head.charset, "%s", charset == NULL ? "" : charset);
    http_answer_take("t", &head, body, length, max == 0 ? ROOM : (size_t)max, &result);
    check_text(entry, tool_status_name(result.status), text(entry, "expect"));
    check_text(entry, result.content, text(entry, "content"));
    if (result.length != strlen(result.content) ||
        (wanted > 0 && result.length != (size_t)wanted) ||
        (begins != NULL && strncmp(result.content, begins, strlen(begins)) != 0))
        fail_msg("%s: %zu bytes: %s", text(entry, "name"), result.length, result.content);
    if (result.truncated != json_is_true(json_object_get(entry, "truncated")))
        fail_msg("%s: truncated?", text(entry, "name"));
    tool_result_clear(&result);
}

static void answers(void **state)
{
    json_t *cases = table("answers.json"), *entry;
    size_t i;

    (void)state;
    json_array_foreach(cases, i, entry) check_answer(entry);
    assert_in_range(json_array_size(cases), 15, 1000);
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(answers),
    };

    return cmocka_run_group_tests_name("tools/http_text", tests, NULL, NULL);
}

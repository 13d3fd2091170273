/* SPDX-License-Identifier: MIT */
/* json_text: escapes by table, every byte pair against jansson, no escape is ever split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/json_text.h"

#define REPLACEMENT "\xEF\xBF\xBD"

static const struct {
    const char *text, *escaped;
} cases[] = {
    {"", ""},
    {"plain /text", "plain /text"},
    {"\"\\", "\\\"\\\\"},
    {"a\nb\rc\td", "a\\nb\\rc\\td"},
    {"\x01\x1b[31m\x7f", "\\u0001\\u001b[31m\\u007f"},
    {"\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA", "\\u2028\\u2029\xE2\x80\xAA"},
    {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"\xC0\x80", REPLACEMENT REPLACEMENT},                    /* overlong */
    {"\xE0\x9F\xBF", REPLACEMENT REPLACEMENT REPLACEMENT},    /* overlong */
    {"\xED\xA0\x80", REPLACEMENT REPLACEMENT REPLACEMENT},    /* surrogate */
    {"\xF4\x90\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT},
    {"\xF8\x88\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT},
    {"\xE2\x82", REPLACEMENT REPLACEMENT},                    /* cut */
    {"a\x80z", "a" REPLACEMENT "z"},
    {"\xC3\"", REPLACEMENT "\\\""},
};

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64];
        size_t used, n;

        n = json_text_escape(out, sizeof out - 1, cases[i].text, strlen(cases[i].text), &used);
        out[n] = '\0';
        assert_string_equal(out, cases[i].escaped);
        assert_int_equal(used, strlen(cases[i].text));
    }
}

/* jansson decodes UTF-8 strictly, so what it takes must be exactly what passes through. */
static void sequences_agree_with_jansson(void **state)
{
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char text[5] = {0};
        size_t length = 1 + (size_t)rand_r(&seed) % 4, at = 0, n;
        json_t *value;

        for (size_t i = 0; i < length; i++)
            text[i] = (char)(0x80 | rand_r(&seed));
        while (at < length && (n = json_text_utf8(text + at, length - at)) != 0)
            at += n;
        value = json_stringn(text, length);
        if ((value != NULL) != (at == length))
            fail_msg("%02x%02x%02x%02x/%zu", (unsigned char)text[0], (unsigned char)text[1],
                     (unsigned char)text[2], (unsigned char)text[3], length);
        json_decref(value);
    }
}

static void whatever_comes_the_result_is_one_json_line(void **state)
{
    unsigned seed = 11;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[40], line[512];
        size_t length = (size_t)rand_r(&seed) % sizeof text, used, n;
        json_t *value;

        for (size_t i = 0; i < length; i++)
            text[i] = (char)rand_r(&seed);
        line[0] = '[';
        line[1] = '"';
        n = json_text_escape(line + 2, sizeof line - 4, text, length, &used);
        assert_int_equal(used, length);
        line[n + 2] = '"';
        line[n + 3] = ']';
        for (size_t i = 0; i < n + 4; i++)
            assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
        value = json_loadb(line, n + 4, JSON_ALLOW_NUL, NULL);
        assert_non_null(value);
        json_decref(value);
    }
}

static void an_escape_is_never_split(void **state)
{
    static const char text[] = "a\n\x01\xE2\x80\xA8\xF0\x9F\x98\x80\xFF";
    char whole[64];
    size_t used, all = json_text_escape(whole, sizeof whole, text, sizeof text - 1, &used);

    (void)state;
    for (size_t room = 0; room <= all; room++) {
        char out[64], rest[64];
        size_t n, more, used_rest;

        memset(out, '#', sizeof out);
        n = json_text_escape(out, room, text, sizeof text - 1, &used);
        assert_true(n <= room);
        assert_int_equal(out[room], '#');
        assert_memory_equal(out, whole, n);
        more = json_text_escape(rest, sizeof rest, text + used, sizeof text - 1 - used,
                                &used_rest);
        assert_int_equal(n + more, all);
        assert_memory_equal(rest, whole + n, more);
    }
}

static void repair_leaves_utf8_alone_and_marks_the_rest(void **state)
{
    char whole[] = "a\u00e9\u2028\U0001f600", cut[] = "x\xef\xbb'\xff\xc3", empty[] = "";

    (void)state;
    json_text_repair(whole);
    assert_string_equal(whole, "a\u00e9\u2028\U0001f600");
    json_text_repair(cut);
    assert_string_equal(cut, "x?" "?'?" "?");
    json_text_repair(empty);
    assert_string_equal(empty, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repair_leaves_utf8_alone_and_marks_the_rest),
        cmocka_unit_test(table),
        cmocka_unit_test(sequences_agree_with_jansson),
        cmocka_unit_test(whatever_comes_the_result_is_one_json_line),
        cmocka_unit_test(an_escape_is_never_split),
    };

    return cmocka_run_group_tests_name("util/json_text", tests, NULL, NULL);
}

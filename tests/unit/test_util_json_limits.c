/* SPDX-License-Identifier: MIT */
/* json_limits: what is refused, why, and at what cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/buf.h"
#include "util/json_limits.h"

static const struct {
    const char *text;
    int status;
    const char *says; /* part of the message */
} cases[] = {
    {"{}", 0, NULL},
    {" [1, 2.5, \"x\", null, true] \n", 0, NULL},
    {"{\"a\": {\"b\": [[]]}}", 0, NULL},
    {"[\"]]]]}}}}{{{{[[[[,,,,::::\"]", 0, NULL},
    {"[\"\\\"[[[[[[[[[[[\"]", 0, NULL},
    {"[\"\\\\\", 1]", 0, NULL},
    {"[\"\xE2\x82\xAC\"]", 0, NULL},
    {"", AGW_EINVALID, "line 1"},
    {"{", AGW_EINVALID, "line 1"},
    {"{\n\n  \"a\": }", AGW_EINVALID, "line 3"},
    {"{} x", AGW_EINVALID, "end of file"},
    {"1", AGW_EINVALID, "line 1"},
    {"\"text\"", AGW_EINVALID, "line 1"},
    {"{\"a\": 1, \"a\": 2}", AGW_EINVALID, "duplicate"},
    {"[\"\xFF\"]", AGW_EINVALID, "line 1"},
    {"[\"\xED\xA0\x80\"]", AGW_EINVALID, "line 1"},
    {"[\"\\ud800\"]", AGW_EINVALID, "line 1"},
    {"[\"\\u0000\"]", AGW_EINVALID, "NUL"},
    {"[1e400]", AGW_EINVALID, "overflow"},
    {"[99999999999999999999]", AGW_EINVALID, "big"},
    {"[NaN]", AGW_EINVALID, "line 1"},
    {"[\"abc", AGW_EINVALID, "line 1"},
    {"[\"abc\\", AGW_EINVALID, "line 1"},
    {"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", AGW_EINVALID, "line 1"},
    {"[[[[[[[[[]]]]]]]]]", AGW_EINVALID, "more than 8 deep"},
    {"[{\"a\":[{\"b\":[{\"c\":[{\"d\":[]}]}]}]}]", AGW_EINVALID, "more than 8 deep"},
    {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]", AGW_EINVALID, "more than 20"},
};

static void table(void **state)
{
    const struct json_limits limits = {.depth = 8, .tokens = 20};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        json_t *value;
        int status = json_limits_parse(cases[i].text, strlen(cases[i].text), &limits, &value, &e);

        if (status != cases[i].status)
            fail_msg("%s: status %d (%s)", cases[i].text, status, e.message);
        if (status != 0) {
            assert_null(value);
            assert_true(e.is_public);
            if (strstr(e.message, cases[i].says) == NULL)
                fail_msg("%s: says '%s'", cases[i].text, e.message);
        }
        json_decref(value);
    }
}

static void a_nul_byte_in_the_text_is_not_its_end(void **state)
{
    static const char text[] = "{}\0{}";
    struct err e;
    json_t *value;

    (void)state;
    assert_int_equal(
        json_limits_parse(text, sizeof text - 1, &json_limits_default, &value, &e),
        AGW_EINVALID);
}

static void limits_are_exact(void **state)
{
    static const char four_values[] = "[1,{\"a\":2}]"; /* [ 1 { a 2 */
    struct err e;
    json_t *value;
    struct json_limits limits = {.depth = 2, .tokens = 5};

    (void)state;
    assert_int_equal(
        json_limits_parse(four_values, strlen(four_values), &limits, &value, &e), 0);
    json_decref(value);
    limits.depth = 1;
    assert_int_equal(
        json_limits_parse(four_values, strlen(four_values), &limits, &value, &e),
        AGW_EINVALID);
    limits = (struct json_limits){.depth = 2, .tokens = 4};
    assert_int_equal(
        json_limits_parse(four_values, strlen(four_values), &limits, &value, &e),
        AGW_EINVALID);
}

static void T16_bombs_are_refused_fast(void **state)
{
    static const char *const units[] = {"[", "{},", "{\"a\":", "[],", "\"\",", "1,", ":", "]"};
    const size_t size = 10 << 20;
    char *bomb = malloc(size);

    (void)state;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t unit = strlen(units[i]);
        struct err e;
        json_t *value;
        int64_t before = clock_mono_ms();

        bomb[0] = '[';
        for (size_t at = 1; at < size; at++)
            bomb[at] = units[i][(at - 1) % unit];
        assert_int_equal(json_limits_parse(bomb, size, &json_limits_default, &value, &e),
                         AGW_EINVALID);
        assert_null(value);
        assert_true(clock_mono_ms() - before < 5000);
    }
    free(bomb);
}

static size_t asked;

static void *count(size_t size)
{
    asked += size;
    return malloc(size);
}

/* What counts is that nothing small on the wire is light that is heavy in memory. */
static void a_weight_is_near_the_memory_that_it_tells_of(void **state)
{
    static const char *const pieces[] = {"{}", "[]", "\"\"", "1", "1.5", "{\"a\":1}", "[[[]]]",
                                         "\"0123456789012345678901234567890123456789\"",
                                         "{\"a\":{\"b\":{\"c\":[]}}}"};

    (void)state;
    json_set_alloc_funcs(count, free);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct buf text;
        json_t *value;

        buf_init(&text, 1 << 20);
        assert_int_equal(buf_puts(&text, "[null"), 0);
        for (int n = 0; n < 1000; n++)
            assert_int_equal(buf_printf(&text, ",%s", pieces[i]), 0);
        assert_int_equal(buf_puts(&text, "]"), 0);
        asked = 0;
        value = json_loadb(text.data, text.length, 0, NULL);
        assert_non_null(value);
        assert_true(json_limits_weight(value) > asked / 3);
        assert_true(json_limits_weight(value) < asked * 3);
        json_decref(value);
        buf_free(&text);
    }
    json_set_alloc_funcs(malloc, free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(a_nul_byte_in_the_text_is_not_its_end),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(a_weight_is_near_the_memory_that_it_tells_of),
        cmocka_unit_test(T16_bombs_are_refused_fast),
    };

    return cmocka_run_group_tests_name("util/json_limits", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* json_write: jansson's compact spelling, without what breaks lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "util/json_write.h"

static const struct {
    const char *text;
    int precision;
    const char *written; /* NULL: as it is */
} cases[] = {
    {"{}", 17, NULL},
    {"[]", 17, NULL},
    {"{\"a\":[1,-2,0,null,true,false],\"b\":{\"c\":\"d\"}}", 17, NULL},
    {"[9223372036854775807,-9223372036854775808]", 17, NULL},
    {"[0.5,-1.25]", 17, NULL},
    {"[0.1]", 15, NULL},
    {"[0.7]", 17, "[0.69999999999999996]"},
    {"[1.0]", 17, NULL},
    {"[\"\\\"\\\\\\b\\f\\n\\r\\t\"]", 17, NULL},
    {"[\"\\u0001\\u000B\\u001F\"]", 17, NULL},
    {"[\"a/b\\u007f\"]", 17, "[\"a/b\x7f\"]"},
    {"[\"\xe2\x80\xa8x\xe2\x80\xa9\"]", 17, "[\"\\u2028x\\u2029\"]"},
    {"[\"\xe2\x80\xa7\xe2\x80\xaa\xe2\x82\xac\xf0\x9f\x98\x80\"]", 17, NULL},
    {"{\"\xe2\x80\xa8\\n\":1}", 17, "{\"\\u2028\\n\":1}"},
};

static void spelling(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *wanted = cases[i].written != NULL ? cases[i].written : cases[i].text;
        json_t *value = json_loads(cases[i].text, 0, NULL);
        struct buf out;

        assert_non_null(value);
        buf_init(&out, 1000);
        assert_int_equal(json_write(value, cases[i].precision, &out), 0);
        assert_string_equal(buf_text(&out), wanted);
        buf_free(&out);
        json_decref(value);
    }
}

/* Pieces of every length around that of the internal chunk come out whole and in order. */
static void long_values(void **state)
{
    (void)state;
    for (size_t length = 990; length < 1060; length++) {
        char *text = malloc(length + 1);
        json_t *array = json_array(), *back;
        struct buf out;

        memset(text, 'x', length);
        text[length / 2] = '\n';
        text[length] = '\0';
        for (int i = 0; i < 5; i++)
            json_array_append_new(array, json_string(text + i * 100));
        buf_init(&out, 10000);
        assert_int_equal(json_write(array, 17, &out), 0);
        back = json_loadb(out.data, out.length, 0, NULL);
        assert_true(json_equal(array, back));
        json_decref(back);
        json_decref(array);
        buf_free(&out);
        free(text);
    }
}

static void the_buffer_has_an_end(void **state)
{
    json_t *value = json_loads("[\"0123456789\"]", 0, NULL);
    struct buf out;

    (void)state;
    buf_init(&out, 14);
    assert_int_equal(json_write(value, 17, &out), 0);
    buf_free(&out);
    buf_init(&out, 13);
    assert_int_equal(json_write(value, 17, &out), -1);
    buf_free(&out);
    json_decref(value);
}

static void a_loop_ends(void **state)
{
    json_t *outer = json_array(), *inner = json_array();
    struct buf out;

    (void)state;
    json_array_append(outer, inner);
    json_array_append(inner, outer);
    buf_init(&out, 1 << 20);
    assert_int_equal(json_write(outer, 17, &out), -1);
    buf_free(&out);
    json_array_clear(inner);
    json_decref(inner);
    json_decref(outer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spelling),
        cmocka_unit_test(long_values),
        cmocka_unit_test(the_buffer_has_an_end),
        cmocka_unit_test(a_loop_ends),
    };

    return cmocka_run_group_tests_name("util/json_write", tests, NULL, NULL);
}

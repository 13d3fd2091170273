/* SPDX-License-Identifier: MIT */
/* json_read: whatever it accepts is what jansson would have made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "util/json_read.h"

static const char *const ordinary[] = {
    "{}", "[]", " { } ", "[[],{}]", "{\"a\":1,\"b\":[true,false,null]}\r\n\t",
    "[0,-0,1,-1,999999999999999999,-999999999999999999]",
    "[0.5,-1.25e3,1E-2,1e+2,0.1,123456789.123456789]",
    "[\"\",\"plain\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"a\\u0041\\u00e9\\u20ac\\ud83d\\ude00z\"]",
    "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8\"]",
    "{\"k\\u0041\":1,\"\xc3\xa9\":{\"\":\"\"}}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\\n\"}],\"stream\":true}",
};

/* Refused here, whether or not jansson accepts them. */
static const char *const left_to_jansson[] = {
    "", " ", "1", "\"text\"", "null", "{", "[", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}",
    "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}", "{} x", "[] []", "[01]", "[-]", "[1.]", "[.5]",
    "[1e]", "[+1]", "[0x1]", "[tru]", "[nul]", "[NaN]", "[Infinity]", "[1e400]",
    "[1000000000000000000]", "[99999999999999999999]", "{\"a\":1,\"a\":2}",
    "{\"a\":1,\"\\u0061\":2}", "[\"\\u0000\"]", "[\"\\ud800\"]", "[\"\\ud800x\"]",
    "[\"\\ud800\\u0041\"]", "[\"\\udc00\"]", "[\"\\u12\"]", "[\"\\u12g4\"]", "[\"\\x\"]",
    "[\"\\", "[\"\\\"", "[\"abc", "[\"\x01\"]", "[\"a\nb\"]", "[\"\xff\"]", "[\"\xc3\"]",
    "[\"\xed\xa0\x80\"]", "[\"\xc0\x80\"]", "[\"\xf4\x90\x80\x80\"]", "[\"\\n\xff\"]", "[1 2]",
    "{\"a\" 1}", "[\x0b]", "\xef\xbb\xbf{}",
};

static json_t *jansson(const char *text, size_t length)
{
    return json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
}

static void ordinary_texts_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ordinary / sizeof ordinary[0]; i++) {
        json_t *mine = json_read(ordinary[i], strlen(ordinary[i]));
        json_t *theirs = jansson(ordinary[i], strlen(ordinary[i]));

        if (mine == NULL || !json_equal(mine, theirs))
            fail_msg("%s is read differently", ordinary[i]);
        json_decref(mine);
        json_decref(theirs);
    }
}

static void doubtful_texts_are_left_to_jansson(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof left_to_jansson / sizeof left_to_jansson[0]; i++) {
        json_t *mine = json_read(left_to_jansson[i], strlen(left_to_jansson[i]));

        if (mine != NULL)
            fail_msg("%s was read", left_to_jansson[i]);
    }
}

static void the_length_is_heeded(void **state)
{
    (void)state;
    assert_null(json_read("{}\0", 3));
    assert_null(json_read("[1]", 2));
    assert_null(json_read("[\"ab\"]", 4));
    assert_null(json_read("[true]", 4));
}

/* Cut, spliced and spoilt texts: never anything that jansson refuses or reads otherwise. The
 * copy is exactly as long as the text, so that a sanitizer sees every step too far. */
static void spoilt_texts_are_judged_alike(void **state)
{
    static const char spice[] = "\"\\{}[],:0129.eE+-untrfl \n\t\x80\xc3\xe2\xf0\xff";
    const size_t texts = sizeof ordinary / sizeof ordinary[0];

    (void)state;
    srandom(1);
    for (int round = 0; round < 200000; round++) {
        const char *from = ordinary[(size_t)random() % texts];
        size_t length = strlen(from);
        char *text = malloc(length + 1);
        json_t *mine, *theirs;

        assert_non_null(text);
        memcpy(text, from, length);
        for (long n = random() % 4; n > 0; n--)
            text[(size_t)random() % length] = spice[(size_t)random() % (sizeof spice - 1)];
        if (random() % 8 == 0)
            length = (size_t)random() % (length + 1);
        text = realloc(text, length == 0 ? 1 : length);
        mine = json_read(text, length);
        theirs = mine == NULL ? NULL : jansson(text, length);
        if (mine != NULL && !json_equal(mine, theirs))
            fail_msg("%.*s is read differently", (int)length, text);
        json_decref(mine);
        json_decref(theirs);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_texts_are_read),
        cmocka_unit_test(doubtful_texts_are_left_to_jansson),
        cmocka_unit_test(the_length_is_heeded),
        cmocka_unit_test(spoilt_texts_are_judged_alike),
    };

    return cmocka_run_group_tests_name("util/json_read", tests, NULL, NULL);
}

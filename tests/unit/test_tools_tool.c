/* SPDX-License-Identifier: MIT */
/* Results for models: text, caps, characters; offers of a source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tools/tool.h"

static void results_are_text_that_fits(void **state)
{
    static const struct {
        const char *bytes;
        size_t length, max;
        const char *content;
        bool truncated;
    } rows[] = {
        {"", 0, 10, "", false},
        {"hello", 5, 5, "hello", false},
        {"hello", 5, 4, "hell", true},
        {"hello", 5, 0, "", true},
        {"gr\xc3\xbc\xc3\x9f", 6, 5, "gr\xc3\xbc", true}, /* no character is cut in two */
        {"a\xff" "b", 3, 10, "a\xef\xbf\xbd" "b", false},
        {"a\xff" "b", 3, 3, "a", true},
        {"a\0b", 3, 10, "a\xef\xbf\xbd" "b", false},
        {"\xed\xa0\x80", 3, 20, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false}, /* surrogate */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tool_result result = {0};

        assert_true(tool_result_put(&result, TOOL_FAILED, rows[i].bytes, rows[i].length,
                                    rows[i].max));
        assert_int_equal(result.status, TOOL_FAILED);
        assert_string_equal(result.content, rows[i].content);
        assert_int_equal(result.length, strlen(rows[i].content));
        assert_int_equal(result.truncated, rows[i].truncated);
        tool_result_clear(&result);
        assert_null(result.content);
    }
}

static void a_new_text_takes_the_place_of_the_old(void **state)
{
    struct tool_result result = {0};

    (void)state;
    assert_true(tool_result_put(&result, TOOL_OK, "first", 5, 2));
    result.structured = json_object();
    assert_true(tool_result_say(&result, TOOL_TIMEOUT, "after %d s: %.2s", 5, "\xc3\xbc\xbc"));
    assert_int_equal(result.status, TOOL_TIMEOUT);
    assert_string_equal(result.content, "after 5 s: \xc3\xbc");
    assert_int_equal(result.length, strlen(result.content));
    assert_null(result.structured);
    assert_false(result.truncated);
    assert_true(tool_result_say(&result, TOOL_OK, "%.1s", "\xc3\xbc"));
    assert_string_equal(result.content, "?");
    tool_result_clear(&result);
}

static void offers_have_an_end(void **state)
{
    struct tool_offers offers = {0};

    (void)state;
    for (int i = 0; i < TOOL_OFFERS_MAX; i++)
        assert_int_equal(tool_offers_add(&offers, "read", i % 2 ? "reads" : NULL, json_object()),
                         0);
    assert_int_equal(tool_offers_add(&offers, "one", NULL, json_object()), -1);
    assert_int_equal(offers.count, TOOL_OFFERS_MAX);
    assert_string_equal(offers.list[1].description, "reads");
    tool_offers_clear(&offers);
    assert_int_equal(offers.count, 0);
}

static void every_status_has_a_word(void **state)
{
    (void)state;
    for (int i = 0; i < TOOL_STATUSES; i++)
        assert_true(strlen(tool_status_name((enum tool_status)i)) > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_text_that_fits),
        cmocka_unit_test(a_new_text_takes_the_place_of_the_old),
        cmocka_unit_test(offers_have_an_end),
        cmocka_unit_test(every_status_has_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

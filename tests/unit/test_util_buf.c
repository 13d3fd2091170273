/* SPDX-License-Identifier: MIT */
/* buf: growth, the maximum, a failed append leaves everything as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"

static void an_empty_one_reads_as_empty_text(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(b.length, 0);
    buf_consume(&b, 3);
    buf_reset(&b);
    assert_string_equal(buf_text(&b), "");
    buf_free(&b);
}

static void appends_add_up(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_puts(&b, "one"), 0);
    assert_int_equal(buf_append(&b, "\0two", 4), 0);
    assert_int_equal(buf_printf(&b, "%c%d", '-', 3), 0);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(b.length, 9);
    assert_memory_equal(b.data, "one\0two-3", 10);
    buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.max, 1000);
}

static void growth_keeps_every_byte(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf_append(&b, &(char){(char)(i % 251)}, 1), 0);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(b.data[i], (char)(i % 251));
    assert_int_equal(buf_append(&b, "x", 1), -1);
    buf_free(&b);
}

static void the_maximum_is_exact_and_a_refusal_changes_nothing(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    assert_int_equal(buf_puts(&b, "12345678"), 0);
    assert_int_equal(buf_puts(&b, ""), 0);
    assert_false(b.failed);
    assert_int_equal(buf_puts(&b, "9"), -1);
    assert_true(b.failed);
    assert_string_equal(buf_text(&b), "12345678");
    assert_int_equal(buf_printf(&b, "%s", "long enough"), -1);
    assert_string_equal(buf_text(&b), "12345678");
    buf_reset(&b);
    assert_false(b.failed);
    assert_int_equal(buf_append(&b, "x", SIZE_MAX), -1);
    assert_int_equal(buf_puts(&b, "again"), 0);
    assert_string_equal(buf_text(&b), "again");
    buf_free(&b);
}

static void a_format_that_fails_is_a_failure(void **state)
{
    static const wchar_t broken[] = {0x110000, 0};
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_puts(&b, "kept"), 0);
    assert_int_equal(buf_printf(&b, "%ls", broken), -1);
    assert_true(b.failed);
    assert_string_equal(buf_text(&b), "kept");
    buf_free(&b);
}

static void consume_removes_from_the_front(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_puts(&b, "abcdef");
    buf_consume(&b, 0);
    assert_string_equal(buf_text(&b), "abcdef");
    buf_consume(&b, 2);
    assert_string_equal(buf_text(&b), "cdef");
    buf_puts(&b, "gh");
    assert_string_equal(buf_text(&b), "cdefgh");
    buf_consume(&b, 1000);
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(b.length, 0);
    buf_free(&b);
}

static void take_gives_the_text_away(void **state)
{
    struct buf b;
    char *text;

    (void)state;
    buf_init(&b, 100);
    text = buf_take(&b);
    assert_string_equal(text, "");
    free(text);
    buf_puts(&b, "mine");
    text = buf_take(&b);
    assert_string_equal(text, "mine");
    assert_null(b.data);
    assert_int_equal(b.length, 0);
    assert_int_equal(buf_puts(&b, "next"), 0);
    assert_string_equal(text, "mine");
    free(text);
    buf_free(&b);
}

static void take_of_a_failed_one_is_null_and_resets(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4);
    buf_puts(&b, "1234");
    buf_puts(&b, "5");
    assert_null(buf_take(&b));
    assert_false(b.failed);
    assert_int_equal(buf_puts(&b, "ok"), 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_reads_as_empty_text),
        cmocka_unit_test(appends_add_up),
        cmocka_unit_test(growth_keeps_every_byte),
        cmocka_unit_test(the_maximum_is_exact_and_a_refusal_changes_nothing),
        cmocka_unit_test(a_format_that_fails_is_a_failure),
        cmocka_unit_test(consume_removes_from_the_front),
        cmocka_unit_test(take_gives_the_text_away),
        cmocka_unit_test(take_of_a_failed_one_is_null_and_resets),
    };

    return cmocka_run_group_tests_name("util/buf", tests, NULL, NULL);
}

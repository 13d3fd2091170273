/* SPDX-License-Identifier: MIT */
/* template.c: what is a name in braces and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "util/buf.h"
#include "util/template.h"

/* Pieces as "<name>" and "literal|". */
static void check(const char *text, const char *wanted)
{
    const char *at = text;
    struct template_piece piece;
    struct buf got;

    buf_init(&got, 1000);
    while (template_next(&at, NULL, &piece))
        buf_printf(&got, piece.is_name ? "<%.*s>" : "%.*s|", (int)piece.length, piece.text);
    assert_string_equal(buf_text(&got), wanted);
    assert_int_equal(*at, '\0');
    buf_free(&got);
}

static void pieces(void **state)
{
    (void)state;
    check("", "");
    check("plain", "plain|");
    check("{a}", "<a>");
    check("{a}{B-9._}", "<a><B-9._>");
    check("x{a}y{b}z", "x|<a>y|<b>z|");
    check("{{a}}", "{|<a>}|");
    check("{", "{|");
    check("{a", "{a|");
    check("}{", "}{|");
    check("{}", "{}|");
    check("{a b}{\xc3\xa4}", "{a b}{\xc3\xa4}|");
    check("{\"a\": {b}}", "{\"a\": |<b>}|");
}

static void up_to_an_end(void **state)
{
    static const char text[] = "ab{cd}";
    struct template_piece piece;
    const char *at = text;

    (void)state;
    assert_true(template_next(&at, text + 5, &piece)); /* the brace that closes is beyond */
    assert_false(piece.is_name);
    assert_int_equal(piece.length, 5);
    assert_false(template_next(&at, text + 5, &piece));
    at = text + 2;
    assert_true(template_next(&at, text + 6, &piece));
    assert_true(piece.is_name);
    assert_memory_equal(piece.text, "cd", piece.length);
}

static void names(void **state)
{
    (void)state;
    assert_true(template_names("/{a}/{bc}", "a"));
    assert_true(template_names("/{a}/{bc}", "bc"));
    assert_false(template_names("/{a}/{bc}", "b"));
    assert_false(template_names("/{a}/{bc}", "bcd"));
    assert_false(template_names("/a", "a"));
    assert_false(template_names("", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces),
        cmocka_unit_test(up_to_an_end),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests_name("util/template", tests, NULL, NULL);
}

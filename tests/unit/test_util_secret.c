/* SPDX-License-Identifier: MIT */
/* secret: wiping, comparing, randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "util/secret.h"

static void wipe_leaves_zeros_and_touches_nothing_else(void **state)
{
    char text[] = "xxsecretxx";

    (void)state;
    secret_wipe(text + 2, 6);
    assert_memory_equal(text, "xx\0\0\0\0\0\0xx", 11);
    secret_wipe(text, 0);
    assert_int_equal(text[0], 'x');
}

static void free_nulls(void **state)
{
    char *text = strdup("secret");

    (void)state;
    secret_free(&text);
    assert_null(text);
    secret_free(&text);
    assert_null(text);
}

static void equal_sees_every_bit(void **state)
{
    unsigned char a[32], b[32];

    (void)state;
    memset(a, 0x5a, sizeof a);
    memcpy(b, a, sizeof b);
    assert_true(secret_equal(a, b, sizeof a));
    assert_true(secret_equal(a, b, 0));
    for (size_t bit = 0; bit < sizeof a * 8; bit++) {
        b[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_false(secret_equal(a, b, sizeof a));
        b[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void random_hex_has_the_asked_length(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes <= 100; bytes++) {
        char hex[2 * 100 + 2];

        memset(hex, '#', sizeof hex);
        assert_int_equal(secret_random_hex(hex, bytes), 0);
        assert_int_equal(strlen(hex), 2 * bytes);
        assert_int_equal(strspn(hex, "0123456789abcdef"), 2 * bytes);
        assert_int_equal(hex[2 * bytes + 1], '#');
    }
}

static void random_hex_does_not_repeat(void **state)
{
    char seen[200][33];

    (void)state;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(secret_random_hex(seen[i], 16), 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(seen[i], seen[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wipe_leaves_zeros_and_touches_nothing_else),
        cmocka_unit_test(free_nulls),
        cmocka_unit_test(equal_sees_every_bit),
        cmocka_unit_test(random_hex_has_the_asked_length),
        cmocka_unit_test(random_hex_does_not_repeat),
    };

    return cmocka_run_group_tests_name("util/secret", tests, NULL, NULL);
}

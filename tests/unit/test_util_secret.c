/* SPDX-License-Identifier: MIT */
/* secret: wiping, comparing, randomness; and that buffers and arenas of secrets give no memory
 * back before it is wiped. Linked with --wrap=free, to look at what is given back, and of malloc
 * and realloc, so that all of it has been written to and valgrind lets us look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"
#include "util/buf.h"
#include "util/secret.h"

static const char secret[] = "correct horse battery staple";
/* Blocks given back with the secret in them, and all. Volatile, because gcc knows that free() changes
 * no variable. */
static volatile int leaks, frees;

void __real_free(void *block);
void __wrap_free(void *block);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);

void *__wrap_malloc(size_t size)
{
    void *block = __real_malloc(size);

    if (block != NULL)
        memset(block, 0, malloc_usable_size(block));
    return block;
}

void *__wrap_realloc(void *block, size_t size)
{
    size_t before = block == NULL ? 0 : malloc_usable_size(block);
    char *grown = __real_realloc(block, size);

    if (grown != NULL && malloc_usable_size(grown) > before)
        memset(grown + before, 0, malloc_usable_size(grown) - before);
    return grown;
}

void __wrap_free(void *block)
{
    if (block != NULL) {
        frees++;
        leaks += memmem(block, malloc_usable_size(block), secret, strlen(secret)) != NULL;
    }
    __real_free(block);
}

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

static void what_is_freed_as_a_secret_is_wiped(void **state)
{
    char *text = strdup(secret);
    char *volatile careless = strdup(secret); /* volatile: gcc removes pairs of strdup and free */

    (void)state;
    leaks = 0;
    free(careless); /* this is noticed */
    assert_int_equal(leaks, 1);
    secret_free(&text);
    assert_int_equal(leaks, 1);
}

static void a_buffer_of_secrets_wipes_what_it_grows_out_of(void **state)
{
    struct buf b;
    char *taken;

    (void)state;
    leaks = frees = 0;
    buf_init_secret(&b, 100000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(i % 2 == 0 ? buf_puts(&b, secret) : buf_printf(&b, "%s", secret), 0);
    assert_int_equal(b.length, 1000 * strlen(secret));
    for (int i = 0; i < 1000; i++)
        assert_memory_equal(b.data + (size_t)i * strlen(secret), secret, strlen(secret));
    buf_reset(&b); /* what is behind the length counts, too */
    buf_free(&b);
    assert_true(frees > 5);
    assert_int_equal(leaks, 0);

    buf_puts(&b, secret); /* it stays one */
    taken = buf_take(&b);
    assert_string_equal(taken, secret);
    secret_free(&taken);
    buf_puts(&b, secret);
    buf_free(&b);
    assert_int_equal(leaks, 0);
}

static void an_arena_of_secrets_wipes_every_block(void **state)
{
    struct arena *arena = arena_new(1 << 20);

    (void)state;
    leaks = frees = 0;
    arena_keep_secret(arena);
    for (int i = 0; i < 1000; i++)
        assert_string_equal(arena_strdup(arena, secret), secret);
    arena_free(&arena);
    assert_true(frees > 5);
    assert_int_equal(leaks, 0);
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
        cmocka_unit_test(what_is_freed_as_a_secret_is_wiped),
        cmocka_unit_test(a_buffer_of_secrets_wipes_what_it_grows_out_of),
        cmocka_unit_test(an_arena_of_secrets_wipes_every_block),
        cmocka_unit_test(equal_sees_every_bit),
        cmocka_unit_test(random_hex_has_the_asked_length),
        cmocka_unit_test(random_hex_does_not_repeat),
    };

    return cmocka_run_group_tests_name("util/secret", tests, NULL, NULL);
}

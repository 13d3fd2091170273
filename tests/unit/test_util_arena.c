/* SPDX-License-Identifier: MIT */
/* arena: alignment, limits, cleanups in reverse order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdalign.h>
#include <string.h>

#include "util/arena.h"

static char order[8];

static void note(void *arg)
{
    size_t length = strlen(order);

    order[length] = *(const char *)arg;
    order[length + 1] = '\0';
}

static void allocations_are_zeroed_aligned_and_apart(void **state)
{
    static const size_t sizes[] = {1, 3, 8, 17, 100, 4095, 4096, 4097, 100000};
    struct arena *arena = arena_new(1 << 20);
    unsigned char *given[sizeof sizes / sizeof sizes[0]];

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        given[i] = arena_alloc(arena, sizes[i]);
        assert_non_null(given[i]);
        assert_int_equal((uintptr_t)given[i] % alignof(max_align_t), 0);
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal(given[i][at], 0);
        memset(given[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal(given[i][at], i + 1);
    arena_free(&arena);
    assert_null(arena);
}

static void the_maximum_holds_and_small_ones_still_fit(void **state)
{
    struct arena *arena = arena_new(10000);
    size_t total = 0;

    (void)state;
    assert_null(arena_alloc(arena, 10001));
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_non_null(arena_alloc(arena, 8000));
    assert_null(arena_alloc(arena, 8000));
    while (arena_alloc(arena, 16) != NULL)
        total += 16;
    assert_in_range(total, 1000, 2000);
    arena_free(&arena);
}

static void an_arena_smaller_than_a_block_works(void **state)
{
    struct arena *arena = arena_new(64);

    (void)state;
    assert_non_null(arena_alloc(arena, 48));
    assert_null(arena_alloc(arena, 48));
    arena_free(&arena);
}

static void texts_are_copied(void **state)
{
    struct arena *arena = arena_new(1 << 20);
    char big[9000], *copy;

    (void)state;
    assert_string_equal(arena_strdup(arena, ""), "");
    assert_string_equal(arena_strdup(arena, "labs/planner"), "labs/planner");
    assert_string_equal(arena_strndup(arena, "labs/planner", 4), "labs");
    assert_string_equal(arena_printf(arena, "%s-%d", "a", 7), "a-7");
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    copy = arena_printf(arena, "%s", big);
    assert_string_equal(copy, big);
    arena_free(&arena);
}

static void texts_over_the_maximum_are_null(void **state)
{
    struct arena *arena = arena_new(32);

    (void)state;
    assert_null(arena_strdup(arena, "0123456789012345678901234567890123456789"));
    assert_null(arena_printf(arena, "%100d", 1));
    assert_string_equal(arena_strdup(arena, "fits"), "fits");
    arena_free(&arena);
}

static void cleanups_run_last_first_before_memory_goes(void **state)
{
    struct arena *arena = arena_new(4096);
    char *in_arena = arena_strdup(arena, "c");

    (void)state;
    order[0] = '\0';
    assert_int_equal(arena_cleanup(arena, note, (char[]){"a"}), 0);
    assert_int_equal(arena_cleanup(arena, note, (char[]){"b"}), 0);
    assert_int_equal(arena_cleanup(arena, note, in_arena), 0);
    assert_string_equal(order, "");
    arena_free(&arena);
    assert_string_equal(order, "cba");
}

static void a_refused_cleanup_is_called_at_once(void **state)
{
    struct arena *arena = arena_new(16);

    (void)state;
    order[0] = '\0';
    assert_int_equal(arena_cleanup(arena, note, (char[]){"x"}), -1);
    assert_string_equal(order, "x");
    arena_free(&arena);
    assert_string_equal(order, "x");
}

static void freeing_nothing_is_fine(void **state)
{
    struct arena *arena = NULL;

    (void)state;
    arena_free(&arena);
    assert_null(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_zeroed_aligned_and_apart),
        cmocka_unit_test(the_maximum_holds_and_small_ones_still_fit),
        cmocka_unit_test(an_arena_smaller_than_a_block_works),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(texts_over_the_maximum_are_null),
        cmocka_unit_test(cleanups_run_last_first_before_memory_goes),
        cmocka_unit_test(a_refused_cleanup_is_called_at_once),
        cmocka_unit_test(freeing_nothing_is_fine),
    };

    return cmocka_run_group_tests_name("util/arena", tests, NULL, NULL);
}

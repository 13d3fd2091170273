/* SPDX-License-Identifier: MIT */
/* json_memory: jansson's allocator and its reserve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/json_memory.h"

enum { VALUES = 200 };

static void T32_the_reserve_is_finite_and_comes_back(void **state)
{
    static void *taken[JSON_MEMORY_RESERVE];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < JSON_MEMORY_RESERVE; i++) {
            taken[i] = json_memory_reserve();
            assert_non_null(taken[i]);
            assert_int_equal((uintptr_t)taken[i] % sizeof(max_align_t), 0);
            memset(taken[i], i, JSON_MEMORY_SMALL);
        }
        assert_null(json_memory_reserve());
        for (int i = 0; i < JSON_MEMORY_RESERVE; i++) {
            assert_int_equal(((unsigned char *)taken[i])[JSON_MEMORY_SMALL - 1], i & 255);
            json_memory_free(taken[i]);
        }
    }
    json_memory_free(malloc(100));
    json_memory_free(NULL);
}

static void jansson_uses_it(void **state)
{
    json_malloc_t before, after;
    json_t *value;
    char *text;

    (void)state;
    json_get_alloc_funcs(&before, NULL);
    json_memory_init();
    json_get_alloc_funcs(&after, NULL);
    assert_true(before != after);
    value = json_loads("{\"a\":[1,\"two\",null]}", 0, NULL);
    assert_non_null(value);
    text = json_dumps(value, JSON_COMPACT);
    assert_string_equal(text, "{\"a\":[1,\"two\",null]}");
    json_memory_free(text);
    json_decref(value);
}

/* What one thread made another may free, and threads end with what they keep. */
static void *free_and_make(void *arg)
{
    json_t **values = arg;

    for (int i = 0; i < VALUES; i++)
        json_decref(values[i]);
    for (int i = 0; i < VALUES; i++)
        values[i] = json_pack("{s:i,s:[s,f]}", "number", i, "list", "a text of some length", 0.5);
    return NULL;
}

static void values_pass_from_thread_to_thread(void **state)
{
    static json_t *values[VALUES];
    pthread_t thread;

    (void)state;
    json_memory_init(); /* once more changes nothing */
    for (int round = 0; round < 20; round++) {
        if (round % 2 == 0)
            free_and_make(values);
        assert_int_equal(pthread_create(&thread, NULL, free_and_make, values), 0);
        pthread_join(thread, NULL);
        for (int i = 0; i < VALUES; i++)
            assert_int_equal(json_integer_value(json_object_get(values[i], "number")), i);
    }
    for (int i = 0; i < VALUES; i++)
        json_decref(values[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T32_the_reserve_is_finite_and_comes_back),
        cmocka_unit_test(jansson_uses_it),
        cmocka_unit_test(values_pass_from_thread_to_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

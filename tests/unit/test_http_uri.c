/* SPDX-License-Identifier: MIT */
/* Request targets against tests/cases/http/targets.txt, and query values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/uri.h"

static void check(const char *target, const char *path, const char *query, int line)
{
    struct arena *arena = arena_new(1 << 20);
    const char *got_path = "400", *got_query = "";
    struct err e = {0};
    int rc = uri_split(arena, target, "/v1/models/", 1024, 8192, &got_path, &got_query, &e);

    if (rc != 0 && (rc != AGW_EINVALID || !e.is_public))
        fail_msg("line %d: code %d", line, rc);
    if (strcmp(got_path, path) != 0 || strcmp(got_query, query) != 0)
        fail_msg("line %d: '%s' became '%s' and '%s' (%s)", line, target, got_path, got_query,
                 e.message);
    arena_free(&arena);
}

static void targets(void **state)
{
    FILE *file = fopen(AGW_SOURCE_DIR "/tests/cases/http/targets.txt", "r");
    char text[1024];
    int line = 0, checked = 0;

    (void)state;
    assert_non_null(file);
    while (fgets(text, sizeof text, file) != NULL) {
        char *rest = text, *target, *path, *query;

        line++;
        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '#' || text[0] == '\0')
            continue;
        target = strsep(&rest, "\t");
        path = strsep(&rest, "\t");
        query = strsep(&rest, "\t");
        assert_non_null(path);
        check(target, path, query == NULL ? "" : query, line);
        checked++;
    }
    fclose(file);
    assert_true(checked > 60);
}

static void lengths(void **state)
{
    char target[5000];

    (void)state;
    memset(target, 'a', sizeof target - 1);
    target[0] = '/';
    target[1024] = '\0';
    check(target, target, "", 0);
    target[1024] = 'a';
    target[1025] = '\0';
    check(target, "400", "", 0);
    target[1025] = 'a';
    target[sizeof target - 1] = '\0';
    check(target, "400", "", 0);
}

static void query_values(void **state)
{
    static const struct {
        const char *query, *name, *value;
    } cases[] = {
        {"limit=5", "limit", "5"},         {"limit=5&limit=6", "limit", "5"},
        {"a=1&limit=5", "limit", "5"},     {"limits=5", "limit", NULL},
        {"", "limit", NULL},               {"limit", "limit", ""},
        {"limit=", "limit", ""},           {"a=b%26limit%3D7", "limit", NULL},
        {"li%6dit=5", "limit", "5"},       {"x=a+b%20c%2B", "x", "a b c+"},
        {"x=a=b", "x", "a=b"},             {"&&x=1", "x", "1"},
        {"=1", "x", NULL},
    };
    struct arena *arena = arena_new(1 << 20);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = uri_query_value(arena, cases[i].query, cases[i].name);

        if (got == NULL ? cases[i].value != NULL
                        : cases[i].value == NULL || strcmp(got, cases[i].value) != 0)
            fail_msg("'%s' of '%s': '%s'", cases[i].name, cases[i].query, got);
    }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets),
        cmocka_unit_test(lengths),
        cmocka_unit_test(query_values),
    };

    return cmocka_run_group_tests_name("http/uri", tests, NULL, NULL);
}

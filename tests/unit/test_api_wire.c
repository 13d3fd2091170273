/* SPDX-License-Identifier: MIT */
/* The wire rules of tests/cases/wire: which requests pass, and what answers look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/chat_request.h"
#include "api/chat_shape.h"

static json_t *load(const char *name)
{
    char path[512];
    json_error_t problem;
    json_t *cases;

    snprintf(path, sizeof path, "%s/tests/cases/wire/%s", AGW_SOURCE_DIR, name);
    cases = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (cases == NULL)
        fail_msg("%s:%d: %s", path, problem.line, problem.text);
    assert_true(json_array_size(cases) > 4);
    return cases;
}

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void requests(void **state)
{
    json_t *cases = load("requests.json"), *one;
    size_t i;

    (void)state;
    json_array_foreach(cases, i, one)
    {
        struct err e;
        int status, wanted = text(one, "param") == NULL ? 0 : AGW_EINVALID;

        err_reset(&e);
        status = chat_request_check(json_object_get(one, "body"), &e);
        if (status != wanted)
            fail_msg("%s: %d %s", text(one, "name"), status, e.message);
        if (wanted != 0 && (strcmp(e.param, text(one, "param")) != 0 || !e.is_public))
            fail_msg("%s: param %s", text(one, "name"), e.param);
    }
    json_decref(cases);
}

/* id and created are ours; everything else is compared whole. */
static void compare(const char *name, const struct chat_shape *shape, json_t *got,
                    const json_t *wanted)
{
    char *dump;

    if (json_is_null(wanted)) {
        if (got != NULL)
            fail_msg("%s: should be refused", name);
        return;
    }
    assert_non_null(got);
    assert_string_equal(text(got, "id"), shape->id);
    assert_true(json_integer_value(json_object_get(got, "created")) > 1700000000);
    json_object_del(got, "id");
    json_object_del(got, "created");
    dump = json_dumps(got, JSON_SORT_KEYS);
    if (!json_equal(got, wanted))
        fail_msg("%s: %s", name, dump);
    free(dump);
}

static void shapes(const char *file, json_t *(*build)(struct chat_shape *, const json_t *))
{
    json_t *cases = load(file), *one;
    size_t i;

    json_array_foreach(cases, i, one)
    {
        struct chat_shape shape;
        json_t *got;

        chat_shape_init(&shape, "default/assistant");
        shape.with_usage = json_is_true(json_object_get(one, "with_usage"));
        got = build(&shape, json_object_get(one, "upstream"));
        compare(text(one, "name"), &shape, got, json_object_get(one, "expect"));
        json_decref(got);
    }
    json_decref(cases);
}

static void completions(void **state)
{
    (void)state;
    shapes("completions.json", chat_shape_completion);
}

static void chunks(void **state)
{
    (void)state;
    shapes("chunks.json", chat_shape_chunk);
}

static void first_and_last_chunk(void **state)
{
    struct chat_shape shape;
    json_t *role, *usage, *numbers, *wanted;

    (void)state;
    chat_shape_init(&shape, "default/assistant");
    shape.with_usage = true;
    role = chat_shape_role_chunk(&shape, 1);
    wanted = json_pack("{s:s,s:s,s:[{s:i,s:{s:s,s:s},s:n}],s:n}", "object",
                       "chat.completion.chunk", "model", "default/assistant", "choices",
                       "index", 1, "delta", "role", "assistant", "content", "",
                       "finish_reason", "usage");
    compare("role", &shape, role, wanted);
    json_decref(wanted);
    numbers = json_pack("{s:i,s:i,s:i}", "prompt_tokens", 1, "completion_tokens", 2,
                        "total_tokens", 3);
    usage = chat_shape_usage_chunk(&shape, numbers);
    wanted = json_pack("{s:s,s:s,s:[],s:O}", "object", "chat.completion.chunk", "model",
                       "default/assistant", "choices", "usage", numbers);
    compare("usage", &shape, usage, wanted);
    assert_null(chat_shape_usage_chunk(&shape, NULL));
    json_decref(wanted);
    json_decref(numbers);
    json_decref(usage);
    json_decref(role);
}

static void content_starts_the_clock(void **state)
{
    json_t *silent = json_loads("{\"choices\":[{\"delta\":{\"role\":\"assistant\","
                                "\"content\":\"\"}}]}", 0, NULL);
    json_t *speaking = json_loads("{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}", 0, NULL);

    (void)state;
    assert_false(chat_shape_has_content(silent));
    assert_true(chat_shape_has_content(speaking));
    json_decref(silent);
    json_decref(speaking);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(completions),
        cmocka_unit_test(chunks),
        cmocka_unit_test(first_and_last_chunk),
        cmocka_unit_test(content_starts_the_clock),
    };

    return cmocka_run_group_tests_name("api/wire", tests, NULL, NULL);
}

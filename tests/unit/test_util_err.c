/* SPDX-License-Identifier: MIT */
/* err: every row of the table is sound; filling, nesting, cutting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <string.h>

#include "util/err.h"
#include "util/json_text.h"

static const int codes[] = {
#define X(name, status, type, code, retry, text) AGW_##name,
    AGW_ERR_TABLE(X)
#undef X
};

static void every_row_can_be_shown_to_a_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const struct err_info *info = err_info(codes[i]);

        assert_true(codes[i] < 0);
        assert_int_equal(info->name[0], 'E');
        assert_in_range(info->status, 400, 599);
        assert_true(strlen(info->type) > 0 && strlen(info->text) > 10);
        assert_int_equal(info->text[strlen(info->text) - 1], '.');
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes[i], codes[j]);
            assert_string_not_equal(info->name, err_info(codes[j])->name);
        }
    }
}

static void rows_that_clients_depend_on(void **state)
{
    static const struct {
        int code, status;
        const char *type, *openai_code;
    } expected[] = {
        {AGW_ENOCRED, 401, "invalid_request_error", NULL},
        {AGW_EBADKEY, 401, "invalid_request_error", "invalid_api_key"},
        {AGW_EINVALID, 400, "invalid_request_error", NULL},
        {AGW_EMODEL, 404, "invalid_request_error", "model_not_found"},
        {AGW_EDENIED, 403, "permission_error", "agent_denied"},
        {AGW_ETOOLARGE, 413, "invalid_request_error", "request_too_large"},
        {AGW_ERATE, 429, "requests", "rate_limit_exceeded"},
        {AGW_EOVERLOAD, 503, "server_error", "overloaded"},
        {AGW_EAUDIT, 503, "server_error", "audit_unavailable"},
        {AGW_ETIMEOUT, 504, "server_error", "upstream_timeout"},
        {AGW_EUPSTREAM, 502, "server_error", "upstream_error"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const struct err_info *info = err_info(expected[i].code);

        assert_int_equal(info->status, expected[i].status);
        assert_string_equal(info->type, expected[i].type);
        if (expected[i].openai_code == NULL)
            assert_null(info->code);
        else
            assert_string_equal(info->code, expected[i].openai_code);
    }
}

static void unknown_codes_are_internal(void **state)
{
    static const int unknown[] = {1, INT_MAX, INT_MIN, -AGW_ORD_COUNT, -9999};

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_string_equal(err_info(unknown[i])->name, "EINTERNAL");
    assert_int_equal(err_info(AGW_OK)->status, 200);
}

static void filling(void **state)
{
    struct err e = {.status = 7, .retry_after_s = 8};

    (void)state;
    assert_int_equal(err_set(&e, AGW_ESTORE, "disk %d", 3), AGW_ESTORE);
    assert_int_equal(e.code, AGW_ESTORE);
    assert_false(e.is_public);
    assert_int_equal(e.status, 0);
    assert_int_equal(e.retry_after_s, 0);
    assert_string_equal(e.message, "disk 3");
    assert_string_equal(e.param, "");
    assert_int_equal(err_set_public(&e, AGW_EINVALID, "n", "only %d", 1), AGW_EINVALID);
    assert_true(e.is_public);
    assert_string_equal(e.param, "n");
    assert_string_equal(e.message, "only 1");
    assert_int_equal(err_set_public(&e, AGW_EINVALID, NULL, "x"), AGW_EINVALID);
    assert_string_equal(e.param, "");
    err_reset(&e);
    assert_int_equal(e.code, AGW_OK);
    assert_string_equal(e.message, "");
    assert_int_equal(err_set(NULL, AGW_EAGENT, "nobody listens"), AGW_EAGENT);
    assert_int_equal(err_set_public(NULL, AGW_EAGENT, "p", "nobody"), AGW_EAGENT);
}

static void context_may_be_put_before_the_own_message(void **state)
{
    struct err e;

    (void)state;
    err_set_public(&e, AGW_EINVALID, "messages", "is missing");
    err_set_public(&e, e.code, e.param, "request: %s: %s", e.param, e.message);
    assert_string_equal(e.message, "request: messages: is missing");
    assert_string_equal(e.param, "messages");
}

static void cutting_leaves_whole_characters(void **state)
{
    static const char *const letters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    struct err e;

    (void)state;
    for (size_t l = 0; l < 4; l++)
        for (int shift = 0; shift < 4; shift++) {
            char text[3000] = "";
            size_t used = (size_t)shift, size = strlen(letters[l]);

            memset(text, '.', used);
            for (; used + size < sizeof text; used += size)
                memcpy(text + used, letters[l], size);
            text[used] = '\0';
            err_set_public(&e, AGW_EINVALID, text, "%s", text);
            assert_in_range(strlen(e.message), sizeof e.message - 4, sizeof e.message - 1);
            assert_in_range(strlen(e.param), sizeof e.param - 4, sizeof e.param - 1);
            for (size_t at = 0; at < strlen(e.message);) {
                size_t n = json_text_utf8(e.message + at, strlen(e.message) - at);

                assert_int_not_equal(n, 0);
                at += n;
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_can_be_shown_to_a_client),
        cmocka_unit_test(rows_that_clients_depend_on),
        cmocka_unit_test(unknown_codes_are_internal),
        cmocka_unit_test(filling),
        cmocka_unit_test(context_may_be_put_before_the_own_message),
        cmocka_unit_test(cutting_leaves_whole_characters),
    };

    return cmocka_run_group_tests_name("util/err", tests, NULL, NULL);
}

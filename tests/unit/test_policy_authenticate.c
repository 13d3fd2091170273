/* SPDX-License-Identifier: MIT */
/* authenticate(): exactly one good credential, and silence about everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "build_config.h"
#include "policy/authenticate.h"
#include "util/buf.h"

/* One key known by a hash alone, one in plain text, one that expires. */
static const char security[] =
    "version: 1\n"
    "api_keys:\n"
    "  - id: a\n"
    "    hashed_key: "
    "\"sha256:8ddb72a77b33b33d0f3a21f0be2cf6e1a2e7f1b66ad5d53ee65b7b5bc5a1c4a0\"\n"
    "  - {id: plain, key: secret-plain}\n"
    "  - {id: late, key: secret-late, expires_at: 2026-01-01T00:00:00Z}\n";

#define NEAR_KEY                                                                               \
    "version: 1\napi_keys:\n  - {id: near, hashed_key: \"sha256:"                              \
    "6b7f13942cd5dbe976053b2f876dad466bca0d9232fc590bba7b8b8df01e1a65\"}\n"

static const int64_t before = 1767225599999, at = 1767225600000; /* around that moment */

static const struct {
    const char *authorization, *x_api_key;
    int64_t now;
    int status;
    const char *key;
} cases[] = {
    {NULL, NULL, 0, AGW_ENOCRED, NULL},
    {"Bearer secret-plain", NULL, 0, 0, "plain"},
    {"bearer secret-plain", NULL, 0, 0, "plain"},
    {"BEARER   secret-plain", NULL, 0, 0, "plain"},
    {NULL, "secret-plain", 0, 0, "plain"},
    {"Bearer secret-plain", "secret-plain", 0, AGW_EINVALID, NULL},
    {"Bearer secret-plain, Bearer secret-plain", NULL, 0, AGW_EINVALID, NULL},
    {NULL, "secret-plain, secret-plain", 0, AGW_EINVALID, NULL},
    {NULL, "secret-plain,secret-plain", 0, AGW_EINVALID, NULL},
    {NULL, "", 0, AGW_EINVALID, NULL},
    {NULL, "secret plain", 0, AGW_EINVALID, NULL},
    {NULL, "secret\x7f", 0, AGW_EINVALID, NULL},
    {NULL, "secret-plain\n", 0, AGW_EINVALID, NULL},
    {"Bearer", NULL, 0, AGW_EINVALID, NULL},
    {"Bearer ", NULL, 0, AGW_EINVALID, NULL},
    {"Basic c2VjcmV0", NULL, 0, AGW_EINVALID, NULL},
    {"secret-plain", NULL, 0, AGW_EINVALID, NULL},
    {"", NULL, 0, AGW_EINVALID, NULL},
    {"Bearer secret-plaiN", NULL, 0, AGW_EBADKEY, NULL},
    {"Bearer secret-plai", NULL, 0, AGW_EBADKEY, NULL},
    {"Bearer plain", NULL, 0, AGW_EBADKEY, NULL},
    {"Bearer ' OR 1=1--", NULL, 0, AGW_EINVALID, NULL},
    {"Bearer 'OR'1'='1", NULL, 0, AGW_EBADKEY, NULL},
    {"Bearer sha256:8ddb72a77b33b33d0f3a21f0be2cf6e1a2e7f1b66ad5d53ee65b7b5bc5a1c4a0", NULL, 0,
     AGW_EBADKEY, NULL},
};

static void table(void **state)
{
    struct config *config = build_config(security, NULL);
    struct key_index *index = authenticate_index_new(&config->security, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct config_key *key;
        struct err e;
        int status = authenticate(index, cases[i].authorization, cases[i].x_api_key,
                                  cases[i].now, &key, &e);

        if (status != cases[i].status ||
            (cases[i].key != NULL && strcmp(key->id, cases[i].key) != 0))
            fail_msg("%s / %s: %d", cases[i].authorization, cases[i].x_api_key, status);
        if (status != 0 && strstr(e.message, "secret") != NULL)
            fail_msg("the error tells the key: %s", e.message);
    }
    authenticate_index_free(&index);
    config_release(&config);
}

static void expiry_is_to_the_millisecond(void **state)
{
    struct config *config = build_config(security, NULL);
    struct key_index *index = authenticate_index_new(&config->security, NULL);
    const struct config_key *key;
    struct err e;

    (void)state;
    assert_int_equal(authenticate(index, NULL, "secret-late", before, &key, &e), 0);
    assert_int_equal(authenticate(index, NULL, "secret-late", at, &key, &e), AGW_EBADKEY);
    assert_string_equal(key->id, "late"); /* for the audit */
    authenticate_index_free(&index);
    config_release(&config);
}

/* A hash that begins like a known one is still another. */
static void the_whole_hash_counts(void **state)
{
    /* sha256("secret-near") with its last bit turned */
    struct config *config = build_config(NEAR_KEY, NULL);
    struct key_index *index = authenticate_index_new(&config->security, NULL);
    const struct config_key *key;
    struct err e;

    (void)state;
    assert_int_equal(authenticate(index, NULL, "secret-near", 0, &key, &e), AGW_EBADKEY);
    assert_null(key);
    authenticate_index_free(&index);
    config_release(&config);
}

static void a_very_long_key_is_just_wrong(void **state)
{
    struct config *config = build_config(security, NULL);
    struct key_index *index = authenticate_index_new(&config->security, NULL);
    const struct config_key *key;
    char text[4096];
    struct err e;

    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(authenticate(index, NULL, text, 0, &key, &e), AGW_EBADKEY);
    authenticate_index_free(&index);
    config_release(&config);
}

static void every_one_of_many_keys_is_found(void **state)
{
    enum { KEYS = 1000 };
    struct config *config;
    struct key_index *index;
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_puts(&text, "version: 1\napi_keys:\n");
    for (int i = 0; i < KEYS; i++)
        buf_printf(&text, "  - {id: k%d, key: secret-%d}\n", i, i);
    config = build_config(buf_text(&text), NULL);
    index = authenticate_index_new(&config->security, NULL);
    for (int i = 0; i < KEYS; i++) {
        const struct config_key *key;
        char secret[32], id[32];
        struct err e;

        snprintf(secret, sizeof secret, "secret-%d", i);
        snprintf(id, sizeof id, "k%d", i);
        assert_int_equal(authenticate(index, NULL, secret, 0, &key, &e), 0);
        assert_string_equal(key->id, id);
    }
    authenticate_index_free(&index);
    config_release(&config);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(expiry_is_to_the_millisecond),
        cmocka_unit_test(the_whole_hash_counts),
        cmocka_unit_test(a_very_long_key_is_just_wrong),
        cmocka_unit_test(every_one_of_many_keys_is_found),
    };

    return cmocka_run_group_tests_name("policy/authenticate", tests, NULL, NULL);
}

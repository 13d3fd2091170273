/* SPDX-License-Identifier: MIT */
/* sha: the vectors of FIPS 180-4, also when memory is out, and hex both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/sha.h"

static const struct {
    const char *text, *hex;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

/* OpenSSL's memory, and the lookup of algorithms (linked with --wrap=EVP_MD_fetch). */
static bool no_memory, no_algorithm;
static long asked;

static void *give(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    asked++;
    return no_memory ? NULL : malloc(size);
}

static void *give_again(void *block, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    asked++;
    return no_memory ? NULL : realloc(block, size);
}

static void take_back(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    free(block);
}

EVP_MD *__real_EVP_MD_fetch(OSSL_LIB_CTX *library, const char *name, const char *properties);
EVP_MD *__wrap_EVP_MD_fetch(OSSL_LIB_CTX *library, const char *name, const char *properties);

EVP_MD *__wrap_EVP_MD_fetch(OSSL_LIB_CTX *library, const char *name, const char *properties)
{
    return no_algorithm ? NULL : __real_EVP_MD_fetch(library, name, properties);
}

/* A key must not be unknown, nor a process end, because memory is short. */
static void it_digests_without_memory(void **state)
{
    char hex[SHA_HEX_SIZE];

    (void)state;
    asked = 0;
    no_memory = no_algorithm = true;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        sha_256_hex(vectors[i].text, strlen(vectors[i].text), hex);
        assert_string_equal(hex, vectors[i].hex);
    }
    no_memory = no_algorithm = false;
    assert_int_equal(asked, 0);
}

static void a_failed_lookup_is_not_kept(void **state)
{
    EVP_MD *algorithm;

    (void)state;
    no_algorithm = true;
    assert_null(sha_algorithm());
    no_algorithm = false;
    algorithm = sha_algorithm();
    assert_non_null(algorithm);
    assert_true(asked > 0); /* or the test before this one proves nothing */
    no_algorithm = true;
    assert_ptr_equal(sha_algorithm(), algorithm);
    no_algorithm = false;
}

static void published_vectors(void **state)
{
    char hex[SHA_HEX_SIZE], *million = malloc(1000000);

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        sha_256_hex(vectors[i].text, strlen(vectors[i].text), hex);
        assert_string_equal(hex, vectors[i].hex);
    }
    memset(million, 'a', 1000000);
    sha_256_hex(million, 1000000, hex);
    assert_string_equal(hex,
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
    sha_256_hex(NULL, 0, hex);
    assert_string_equal(hex, vectors[0].hex);
}

static void hex_and_back(void **state)
{
    unsigned char data[256], back[256];
    char hex[513];

    (void)state;
    for (int i = 0; i < 256; i++)
        data[i] = (unsigned char)i;
    sha_hex(data, sizeof data, hex);
    assert_int_equal(strlen(hex), 512);
    assert_int_equal(sha_unhex(hex, back, sizeof back), 0);
    assert_memory_equal(data, back, sizeof data);
    sha_hex(data, 0, hex);
    assert_string_equal(hex, "");
    assert_int_equal(sha_unhex("", back, 0), 0);
    assert_int_equal(sha_unhex("aBCdEF", back, 3), 0);
    assert_memory_equal(back, "\xab\xcd\xef", 3);
}

static void what_is_not_hex(void **state)
{
    static const char *const bad[] = {"", "ab", "abc", "abcde", "abc ", " abc", "abcg",
                                      "0x12", "ab-1", "@@@@", "````", "GGGG", "//::"};
    unsigned char data[2];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (sha_unhex(bad[i], data, sizeof data) != -1)
            fail_msg("'%s' was taken", bad[i]);
}

static void a_byte_of_hex(void **state)
{
    static const struct {
        const char *hex;
        int byte;
    } rows[] = {{"00", 0}, {"7f", 0x7f}, {"fF", 0xff}, {"a09", 0xa0}, /* what follows is not its */
                {"", -1},  {"a", -1},    {"g0", -1},   {"0g", -1},    {"%4", -1}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *exact = strdup(rows[i].hex); /* sanitizers and valgrind see what is read too far */

        if (sha_unhex_byte(exact) != rows[i].byte)
            fail_msg("'%s' is %d", exact, sha_unhex_byte(exact));
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_digests_without_memory), /* first: nothing is prepared yet */
        cmocka_unit_test(a_failed_lookup_is_not_kept),
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(hex_and_back),
        cmocka_unit_test(what_is_not_hex),
        cmocka_unit_test(a_byte_of_hex),
    };

    if (CRYPTO_set_mem_functions(give, give_again, take_back) != 1)
        return 1;
    return cmocka_run_group_tests_name("util/sha", tests, NULL, NULL);
}

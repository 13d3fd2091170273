/* SPDX-License-Identifier: MIT */
/* sha: the vectors of FIPS 180-4, and hex both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(hex_and_back),
        cmocka_unit_test(what_is_not_hex),
    };

    return cmocka_run_group_tests_name("util/sha", tests, NULL, NULL);
}

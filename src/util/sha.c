/* SPDX-License-Identifier: MIT */
/* Digests bytes and spells them in hex. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "util/sha.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <string.h>

/* EVP_sha256() would be looked up by its name with every digest. A failure is not kept. */
struct evp_md_st *sha_algorithm(void)
{
    static _Atomic(EVP_MD *) kept;
    EVP_MD *algorithm = atomic_load(&kept), *first = NULL;

    if (algorithm != NULL)
        return algorithm;
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (algorithm == NULL || atomic_compare_exchange_strong(&kept, &first, algorithm))
        return algorithm;
    EVP_MD_free(algorithm);
    return first;
}

/* The EVP functions take memory for each digest, and that may fail: a key must not be unknown,
 * nor a process end, because memory is short. These work on the stack. */
void sha_256(const void *data, size_t length, unsigned char digest[SHA_SIZE])
{
    SHA256_CTX context;

    SHA256_Init(&context);
    SHA256_Update(&context, data, length);
    SHA256_Final(digest, &context);
}

void sha_256_hex(const void *data, size_t length, char hex[SHA_HEX_SIZE])
{
    unsigned char digest[SHA_SIZE];

    sha_256(data, length, digest);
    sha_hex(digest, sizeof digest, hex);
}

void sha_hex(const unsigned char *data, size_t length, char *hex)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < length; i++) {
        hex[2 * i] = digits[data[i] >> 4];
        hex[2 * i + 1] = digits[data[i] & 15];
    }
    hex[2 * length] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int sha_unhex_byte(const char *hex)
{
    int high = nibble(hex[0]), low = high < 0 ? -1 : nibble(hex[1]);

    return low < 0 ? -1 : high << 4 | low;
}

int sha_unhex(const char *hex, unsigned char *data, size_t length)
{
    if (strnlen(hex, 2 * length + 1) != 2 * length)
        return -1;
    for (size_t i = 0; i < length; i++) {
        int byte = sha_unhex_byte(hex + 2 * i);

        if (byte < 0)
            return -1;
        data[i] = (unsigned char)byte;
    }
    return 0;
}

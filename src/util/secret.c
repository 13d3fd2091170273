/* SPDX-License-Identifier: MIT */
/* Keeps secrets short-lived and comparisons silent. */
#include "util/secret.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "util/sha.h"

void secret_wipe(void *data, size_t length)
{
    explicit_bzero(data, length);
}

void secret_free(char **text)
{
    if (*text != NULL)
        secret_wipe(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

bool secret_equal(const void *a, const void *b, size_t length)
{
    return CRYPTO_memcmp(a, b, length) == 0;
}

int secret_random_hex(char *hex, size_t bytes)
{
    unsigned char chunk[32];

    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < sizeof chunk ? bytes - done : sizeof chunk;

        if (getrandom(chunk, part, 0) != (ssize_t)part)
            return -1;
        sha_hex(chunk, part, hex + 2 * done);
        done += part;
    }
    secret_wipe(chunk, sizeof chunk);
    hex[2 * bytes] = '\0';
    return 0;
}

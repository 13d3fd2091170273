/* SPDX-License-Identifier: MIT */
/* Makes the secrets of run-time keys. */
#include "policy/key_secret.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "util/secret.h"
#include "util/sha.h"

enum { PREFIX = 4, RANDOM = 30, CHECK = 6, BASE = 62, DRAWN = 16 };

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* CRC-32 of zlib and PNG (polynomial 04C11DB7, reflected). */
static uint32_t crc_32(const char *text, size_t length)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < length; i++) {
        crc ^= (unsigned char)text[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
    }
    return ~crc;
}

/* Bytes from 248 on are drawn again: otherwise some letters would be likelier than others. */
static int random_letters(char *text, size_t count)
{
    char hex[2 * DRAWN + 1];
    unsigned char bytes[DRAWN];
    size_t done = 0;

    while (done < count) {
        if (secret_random_hex(hex, DRAWN) != 0)
            return -1;
        sha_unhex(hex, bytes, DRAWN);
        for (size_t i = 0; i < DRAWN && done < count; i++)
            if (bytes[i] < 4 * BASE)
                text[done++] = letters[bytes[i] % BASE];
    }
    secret_wipe(hex, sizeof hex);
    secret_wipe(bytes, sizeof bytes);
    return 0;
}

int key_secret_new(char secret[KEY_SECRET_SIZE])
{
    uint32_t crc;

    memcpy(secret, "agw_", PREFIX);
    if (random_letters(secret + PREFIX, RANDOM) != 0)
        return -1;
    crc = crc_32(secret + PREFIX, RANDOM);
    for (int i = PREFIX + RANDOM + CHECK - 1; i >= PREFIX + RANDOM; i--) {
        secret[i] = letters[crc % BASE];
        crc /= BASE;
    }
    secret[PREFIX + RANDOM + CHECK] = '\0';
    return 0;
}

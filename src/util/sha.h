/* SPDX-License-Identifier: MIT */
/* SHA-256 through OpenSSL, and hex. Any thread. */
#ifndef AGW_UTIL_SHA_H
#define AGW_UTIL_SHA_H

#include <stddef.h>

enum { SHA_SIZE = 32, SHA_HEX_SIZE = 65 };

/* OpenSSL's EVP_MD of SHA-256, looked up once; never to be freed. NULL: out of memory. */
struct evp_md_st *sha_algorithm(void);

/* Never fails, takes no memory. */
void sha_256(const void *data, size_t length, unsigned char digest[SHA_SIZE]);
void sha_256_hex(const void *data, size_t length, char hex[SHA_HEX_SIZE]);

/* 2*length lower-case digits plus NUL. */
void sha_hex(const unsigned char *data, size_t length, char *hex);

/* The byte that the two hex digits at `hex` stand for, of either case; -1 when they are not two.
 * What follows a character that is none is not read. */
int sha_unhex_byte(const char *hex);

/* Exactly 2*length hex digits of either case; -1 otherwise. */
int sha_unhex(const char *hex, unsigned char *data, size_t length);

#endif

/* SPDX-License-Identifier: MIT */
/* Handling of secrets: wipe, compare in constant time, make random ones. Any thread. */
#ifndef AGW_UTIL_SECRET_H
#define AGW_UTIL_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Overwrites; the compiler may not drop it. */
void secret_wipe(void *data, size_t length);

/* Wipes a malloc'ed string, frees it and nulls the pointer. */
void secret_free(char **text);

/* Time depends on `length` alone. */
bool secret_equal(const void *a, const void *b, size_t length);

/* `bytes` random bytes as 2*bytes lower-case hex digits plus NUL; -1 when the system has
 * no randomness. */
int secret_random_hex(char *hex, size_t bytes);

#endif

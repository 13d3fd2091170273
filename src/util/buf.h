/* SPDX-License-Identifier: MIT */
/* A growing byte buffer with a maximum; always NUL-terminated once it holds bytes.
 *
 * A failed append leaves the buffer as it was and sets `failed`, so a chain of
 * appends may be checked once at its end. Not shared between threads.
 */
#ifndef AGW_UTIL_BUF_H
#define AGW_UTIL_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;         /* NULL while empty and never grown */
    size_t length;      /* bytes without the NUL */
    size_t capacity;
    size_t max;         /* length never exceeds it */
    bool failed;        /* an append was refused: out of memory or over max */
    bool secret;        /* memory is wiped before it is given back */
};

void buf_init(struct buf *b, size_t max);

/* For what holds a credential: no copy of it stays behind, but what buf_take() hands out. */
void buf_init_secret(struct buf *b, size_t max);

/* Empties but keeps the memory; clears `failed`. */
void buf_reset(struct buf *b);
void buf_free(struct buf *b);

/* 0, or -1 and `failed`. */
int buf_append(struct buf *b, const void *data, size_t length);
int buf_puts(struct buf *b, const char *text);
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes the first `length` bytes. */
void buf_consume(struct buf *b, size_t length);

/* The text, "" when empty; valid until the next change. */
const char *buf_text(const struct buf *b);

/* The malloc'ed text, now the caller's (NULL when `failed` or out of memory); resets b. */
char *buf_take(struct buf *b);

#endif

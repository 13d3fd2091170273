/* SPDX-License-Identifier: MIT */
/* Collects bytes up to a limit. */
#include "util/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/secret.h"

/* Few buffers stay smaller, and so few grow more than once. */
enum { FIRST = 224 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_init_secret(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max, .secret = true};
}

void buf_reset(struct buf *b)
{
    b->length = 0;
    b->failed = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
    if (b->secret && b->data != NULL)
        secret_wipe(b->data, b->capacity);
    free(b->data);
    *b = (struct buf){.max = b->max, .secret = b->secret};
}

/* realloc(), but one that leaves nothing where the bytes were. */
static char *grow_secret(const struct buf *b, size_t room)
{
    char *grown = malloc(room);

    if (grown == NULL || b->data == NULL)
        return grown;
    memcpy(grown, b->data, b->length);
    secret_wipe(b->data, b->capacity);
    free(b->data);
    return grown;
}

static int reserve(struct buf *b, size_t more)
{
    size_t need, room;
    char *grown;

    if (more > b->max - b->length) {
        b->failed = true;
        return -1;
    }
    need = b->length + more + 1;
    if (need <= b->capacity)
        return 0;
    room = b->capacity * 2 > need ? b->capacity * 2 : need + FIRST;
    grown = b->secret ? grow_secret(b, room) : realloc(b->data, room);
    if (grown == NULL) {
        b->failed = true;
        return -1;
    }
    b->data = grown;
    b->capacity = room;
    return 0;
}

int buf_append(struct buf *b, const void *data, size_t length)
{
    if (reserve(b, length) != 0)
        return -1;
    if (length > 0)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = '\0';
    return 0;
}

int buf_puts(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    int length, status = -1;

    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        b->failed = true;
    } else if (reserve(b, (size_t)length) == 0) {
        vsnprintf(b->data + b->length, (size_t)length + 1, format, again);
        b->length += (size_t)length;
        status = 0;
    }
    va_end(again);
    return status;
}

void buf_consume(struct buf *b, size_t length)
{
    if (length >= b->length) {
        b->length = 0;
    } else {
        memmove(b->data, b->data + length, b->length - length);
        b->length -= length;
    }
    if (b->data != NULL)
        b->data[b->length] = '\0';
}

const char *buf_text(const struct buf *b)
{
    return b->data == NULL ? "" : b->data;
}

char *buf_take(struct buf *b)
{
    char *text = NULL;

    if (!b->failed && (b->data != NULL || reserve(b, 0) == 0)) {
        text = b->data;
        text[b->length] = '\0';
        b->data = NULL;
    }
    buf_free(b);
    return text;
}

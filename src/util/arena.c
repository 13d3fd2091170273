/* SPDX-License-Identifier: MIT */
/* Hands out memory that lives exactly as long as its request. */
#include "util/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/secret.h"

/* Most requests fit in the first block, so one malloc serves them. */
enum { BLOCK_SIZE = 4096 };

struct block {
    struct block *next;
    size_t size, used;
    alignas(max_align_t) char data[];
};

struct cleanup {
    struct cleanup *next;
    void (*fn)(void *);
    void *arg;
};

struct arena {
    struct block *blocks;
    struct cleanup *cleanups;
    size_t total, max;
    bool secret;
};

struct arena *arena_new(size_t max)
{
    struct arena *arena = calloc(1, sizeof *arena);

    if (arena != NULL)
        arena->max = max;
    return arena;
}

void arena_keep_secret(struct arena *arena)
{
    arena->secret = true;
}

void arena_free(struct arena **arena)
{
    if (*arena == NULL)
        return;
    for (struct cleanup *c = (*arena)->cleanups; c != NULL; c = c->next)
        c->fn(c->arg);
    for (struct block *b = (*arena)->blocks, *next; b != NULL; b = next) {
        next = b->next;
        if ((*arena)->secret)
            secret_wipe(b->data, b->size);
        free(b);
    }
    free(*arena);
    *arena = NULL;
}

static struct block *add_block(struct arena *arena, size_t size)
{
    size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    struct block *block;

    if (room > arena->max - arena->total && size <= arena->max - arena->total)
        room = size;
    if (room > arena->max - arena->total)
        return NULL;
    block = malloc(sizeof *block + room);
    if (block == NULL)
        return NULL;
    block->size = room;
    block->used = 0;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->total += room;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    struct block *block = arena->blocks;
    void *result;

    if (size > arena->max)
        return NULL;
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (block == NULL || block->size - block->used < size)
        block = add_block(arena, size);
    if (block == NULL)
        return NULL;
    result = block->data + block->used;
    block->used += size;
    return memset(result, 0, size);
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);

    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    char *text;
    int length;

    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

int arena_cleanup(struct arena *arena, void (*fn)(void *), void *arg)
{
    struct cleanup *c = arena_alloc(arena, sizeof *c);

    if (c == NULL) {
        fn(arg);
        return -1;
    }
    c->fn = fn;
    c->arg = arg;
    c->next = arena->cleanups;
    arena->cleanups = c;
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Per-request memory: everything is freed at once, registered cleanups first.
 *
 * An arena belongs to one thread at a time. Allocation returns NULL when memory
 * is out or the arena's maximum is reached; nothing already given out is lost.
 */
#ifndef AGW_UTIL_ARENA_H
#define AGW_UTIL_ARENA_H

#include <stddef.h>

struct arena;

/* `max` bytes at most in all; NULL when memory is out. */
struct arena *arena_new(size_t max);

/* arena_free() will wipe what was handed out. */
void arena_keep_secret(struct arena *arena);

/* Runs the cleanups (last registered first), frees all, nulls the pointer. */
void arena_free(struct arena **arena);

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Calls fn(arg) in arena_free(). On failure (-1) fn(arg) has been called already. */
int arena_cleanup(struct arena *arena, void (*fn)(void *), void *arg);

#endif

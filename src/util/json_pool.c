/* SPDX-License-Identifier: MIT */
/* Hands a thread's freed blocks out to it again. */
#include "util/json_pool.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Blocks hold what malloc() made of multiples of 16; larger ones are not kept. A thread that
 * only waits (a stream) holds on to KEEP of each size at most: some 10 KiB in practice. */
enum { STEP = 16, SIZES = 10, KEEP = 24 };

struct block {
    struct block *next;
};

struct shelf {
    struct block *first;
    int count;
};

static _Thread_local struct shelf shelves[SIZES];
static _Thread_local int state; /* 0 = unused yet, 1 = in use, -1 = the thread is ending */
static bool keeps;              /* set once, before threads */
static pthread_key_t key;       /* its destructor empties the shelves */

static void empty(void *arg)
{
    (void)arg;
    state = -1;
    for (int i = 0; i < SIZES; i++)
        while (shelves[i].first != NULL) {
            struct block *block = shelves[i].first;

            shelves[i].first = block->next;
            free(block);
        }
}

void *json_pool_take(size_t size)
{
    size_t i = size == 0 ? 0 : (size - 1) / STEP;
    struct shelf *shelf = &shelves[i < SIZES ? i : 0];
    struct block *block = shelf->first;

    if (i >= SIZES)
        return malloc(size);
    if (block == NULL)
        return malloc((i + 1) * STEP);
    shelf->first = block->next;
    shelf->count--;
    return block;
}

void json_pool_put(void *pointer)
{
    struct block *block = pointer;
    size_t i;

    if (block == NULL)
        return;
    /* At least as much as was asked for, so the block serves every request up to it. */
    i = malloc_usable_size(block) / STEP - 1;
    if (i >= SIZES || state < 0 || !keeps || shelves[i].count >= KEEP) {
        free(block);
        return;
    }
    if (state == 0) {
        state = 1;
        pthread_setspecific(key, &state);
    }
    block->next = shelves[i].first;
    shelves[i].first = block;
    shelves[i].count++;
}

void json_pool_init(void)
{
    bool sanitized = false;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    sanitized = true;
#endif
    if (!sanitized && !keeps)
        keeps = pthread_key_create(&key, empty) == 0;
}

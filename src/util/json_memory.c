/* SPDX-License-Identifier: MIT */
/* Gets memory for a parser that cannot do without. */
#include "util/json_memory.h"

#include <jansson.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

enum { TRIES = 3, PAUSE_US = 1000 };

union cell {
    union cell *next;
    max_align_t align;
    char bytes[JSON_MEMORY_SMALL];
};

static union cell cells[JSON_MEMORY_RESERVE];
static union cell *returned;
static size_t used; /* cells that were ever handed out */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void *json_memory_reserve(void)
{
    union cell *cell;

    pthread_mutex_lock(&lock);
    cell = returned;
    if (cell != NULL)
        returned = cell->next;
    else if (used < JSON_MEMORY_RESERVE)
        cell = &cells[used++];
    pthread_mutex_unlock(&lock);
    return cell;
}

static void give_back(union cell *cell)
{
    pthread_mutex_lock(&lock);
    cell->next = returned;
    returned = cell;
    pthread_mutex_unlock(&lock);
}

static void *insist(size_t size)
{
    static const char words[] = "agent-gateway: out of memory\n";
    void *p = size <= JSON_MEMORY_SMALL ? json_memory_reserve() : NULL;

    for (int i = 0; p == NULL && i < TRIES; i++) {
        usleep(PAUSE_US);
        p = malloc(size);
    }
    if (p != NULL)
        return p;
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    _exit(JSON_MEMORY_EXIT);
}

static void *take(size_t size)
{
    void *p = malloc(size);

    return p != NULL ? p : insist(size);
}

void json_memory_free(void *p)
{
    if ((uintptr_t)p >= (uintptr_t)cells && (uintptr_t)p < (uintptr_t)(cells + JSON_MEMORY_RESERVE))
        give_back(p);
    else
        free(p);
}

void json_memory_init(void)
{
    json_set_alloc_funcs(take, json_memory_free);
}

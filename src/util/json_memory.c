/* SPDX-License-Identifier: MIT */
/* Gets memory for a parser that cannot do without. */
#include "util/json_memory.h"

#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
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

/* Values are many, small and short-lived: each thread keeps those it is done with for its
 * next ones, more of them than the C library would, by size. Sanitizers want to see each. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { KEPT = 0 };
#else
enum { KEPT = 48 };
#endif
enum { SIZE_FIRST = 24, SIZE_STEP = 16, SIZES = 8 }; /* what malloc() really hands out */

struct kept {
    struct kept *next;
};

struct keep {
    struct kept *first[SIZES];
    uint8_t count[SIZES];
    bool is_known; /* to the destructor */
};

static _Thread_local struct keep keep;
static pthread_key_t key;
static bool keeps;

static void empty(void *arg)
{
    struct keep *k = arg;

    for (int i = 0; i < SIZES; i++) {
        while (k->first[i] != NULL) {
            struct kept *p = k->first[i];

            k->first[i] = p->next;
            free(p);
        }
        k->count[i] = 0;
    }
    k->is_known = false; /* should another destructor free values after this one */
}

static void *take(size_t size)
{
    size_t i = size <= SIZE_FIRST ? 0 : (size - SIZE_FIRST + SIZE_STEP - 1) / SIZE_STEP;
    struct kept *kept = i < SIZES ? keep.first[i] : NULL;
    void *p;

    if (kept != NULL) {
        keep.first[i] = kept->next;
        keep.count[i]--;
        return kept;
    }
    p = malloc(i < SIZES ? SIZE_FIRST + i * SIZE_STEP : size);
    return p != NULL ? p : insist(size);
}

/* Whether it is kept. */
static bool put_aside(void *p)
{
    size_t size = malloc_usable_size(p), i = (size - SIZE_FIRST) / SIZE_STEP;
    struct kept *kept = p;

    if (i >= SIZES || size != SIZE_FIRST + i * SIZE_STEP || keep.count[i] + 1 > KEPT)
        return false;
    if (!keep.is_known) {
        if (pthread_setspecific(key, &keep) != 0)
            return false;
        keep.is_known = true;
    }
    kept->next = keep.first[i];
    keep.first[i] = kept;
    keep.count[i]++;
    return true;
}

void json_memory_free(void *p)
{
    if ((uintptr_t)p >= (uintptr_t)cells && (uintptr_t)p < (uintptr_t)(cells + JSON_MEMORY_RESERVE))
        give_back(p);
    else if (p != NULL && (!keeps || !put_aside(p)))
        free(p);
}

void json_memory_init(void)
{
    keeps = KEPT > 0 && (keeps || pthread_key_create(&key, empty) == 0);
    json_set_alloc_funcs(take, json_memory_free);
}

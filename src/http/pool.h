/* SPDX-License-Identifier: MIT */
/* Threads that take tasks: last parked first used, made on demand, gone after idling.
 *
 * A task that is taken has a thread, but begins when there is a run permit for it: a thread
 * that ends one task goes on with the next under the same permit, without any switching. Who
 * gets no thread at once is told so. Any thread may call.
 */
#ifndef AGW_HTTP_POOL_H
#define AGW_HTTP_POOL_H

#include <stdint.h>

#include "util/err.h"

struct pool;

struct pool_options {
    int min_threads; /* once made, so many stay */
    int max_threads;
    int64_t idle_ms; /* a thread above the minimum ends after it */
    int (*run)(void *arg, void *task); /* holding a run permit */
    /* Right after it, with what it returned, when the thread counts as free already: so
     * whoever learns from it that there is room finds room. Must be short. */
    void (*after)(void *arg, void *task, int result);
    void *arg;
};

/* Threads inherit the signal mask of whoever calls pool_give(). NULL: out of memory. */
struct pool *pool_new(const struct pool_options *options);

/* 0, or AGW_EOVERLOAD: every thread is busy and there may be (or can be) no more. */
int pool_give(struct pool *pool, void *task);

/* Waits at most wait_ms for the tasks that were given; no more may be. 0, freed and the
 * pointer nulled, or how many are left (the pool then stays, for they use it). */
int pool_stop(struct pool **pool, int64_t wait_ms);

#endif

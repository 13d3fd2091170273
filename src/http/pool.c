/* SPDX-License-Identifier: MIT */
/* Keeps worker threads warm, and no more of them than are of use. */
#include "http/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>


/* Requests keep their data in arenas and buffers; sanitizers widen every frame. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STACK_SIZE = 1024 << 10 };
#else
enum { STACK_SIZE = 128 << 10 };
#endif

struct thread {
    struct pool *pool;
    struct thread *next, *previous; /* among the parked, or (next) the ended */
    void *task;                     /* given, not yet taken */
    pthread_cond_t wake;
};

struct pool {
    struct pool_options options;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    pthread_attr_t attributes;
    pthread_condattr_t monotonic;
    struct thread *parked; /* the last parked first */
    struct thread *ended_threads; /* somebody may be about to signal one still */
    int count;             /* threads that exist */
    int busy;              /* of them, with a task */
    bool stopping;
};

static struct timespec in_ms(int64_t ms)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += ms / 1000;
    ts.tv_nsec += ms % 1000 * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

struct pool *pool_new(const struct pool_options *options)
{
    struct pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return NULL;
    pool->options = *options;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&pool->monotonic);
    pthread_condattr_setclock(&pool->monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->ended, &pool->monotonic);
    pthread_attr_init(&pool->attributes);
    pthread_attr_setstacksize(&pool->attributes, STACK_SIZE);
    pthread_attr_setdetachstate(&pool->attributes, PTHREAD_CREATE_DETACHED);
    return pool;
}

static void park(struct thread *t)
{
    struct pool *pool = t->pool;

    t->previous = NULL;
    t->next = pool->parked;
    if (t->next != NULL)
        t->next->previous = t;
    pool->parked = t;
}

static void unpark(struct thread *t)
{
    if (t->previous != NULL)
        t->previous->next = t->next;
    else
        t->pool->parked = t->next;
    if (t->next != NULL)
        t->next->previous = t->previous;
}

/* A parked thread waits for a task; false: it shall end. With the lock held. */
static bool await_task(struct thread *t)
{
    struct pool *pool = t->pool;
    struct timespec until = in_ms(pool->options.idle_ms);

    while (t->task == NULL && !pool->stopping) {
        int rc = pthread_cond_timedwait(&t->wake, &pool->lock, &until);

        if (rc == ETIMEDOUT && t->task == NULL) {
            if (pool->count > pool->options.min_threads)
                break;
            until = in_ms(pool->options.idle_ms);
        }
    }
    if (t->task != NULL) /* who gave it has unparked this thread */
        return true;
    unpark(t);
    return false;
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct pool *pool = t->pool;

    pthread_mutex_lock(&pool->lock);
    do {
        void *task = t->task;
        int result;

        t->task = NULL;
        pthread_mutex_unlock(&pool->lock);
        result = pool->options.run(pool->options.arg, task);
        pthread_mutex_lock(&pool->lock);
        pool->busy--;
        park(t);
        pthread_mutex_unlock(&pool->lock);
        pool->options.after(pool->options.arg, task, result);
        pthread_mutex_lock(&pool->lock);
    } while (await_task(t));
    pool->count--;
    t->next = pool->ended_threads;
    pool->ended_threads = t;
    /* pool_stop() may free the pool as soon as the lock is free */
    pthread_cond_broadcast(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int add_thread(struct pool *pool, void *task)
{
    struct thread *t = pool->ended_threads;
    pthread_t id;

    if (t != NULL)
        pool->ended_threads = t->next;
    else if ((t = calloc(1, sizeof *t)) == NULL)
        return AGW_EOVERLOAD;
    else
        pthread_cond_init(&t->wake, &pool->monotonic);
    t->pool = pool;
    t->task = task;
    if (pthread_create(&id, &pool->attributes, thread_main, t) != 0) {
        t->next = pool->ended_threads;
        pool->ended_threads = t;
        return AGW_EOVERLOAD;
    }
    pool->count++;
    pool->busy++;
    return 0;
}

int pool_give(struct pool *pool, void *task)
{
    struct thread *t;
    int rc = AGW_EOVERLOAD;

    pthread_mutex_lock(&pool->lock);
    t = pool->parked;
    if (pool->stopping) {
        ;
    } else if (t != NULL) {
        unpark(t);
        t->task = task;
        pool->busy++;
        rc = 0;
    } else if (pool->count < pool->options.max_threads) {
        rc = add_thread(pool, task);
    }
    pthread_mutex_unlock(&pool->lock);
    /* Not under the lock: the thread would wake only to wait for it. */
    if (rc == 0 && t != NULL)
        pthread_cond_signal(&t->wake);
    return rc;
}

int pool_stop(struct pool **pool_pointer, int64_t wait_ms)
{
    struct pool *pool = *pool_pointer;
    struct timespec until = in_ms(wait_ms);
    int left;

    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    for (struct thread *t = pool->parked; t != NULL; t = t->next)
        pthread_cond_signal(&t->wake);
    while (pool->count > 0 &&
           pthread_cond_timedwait(&pool->ended, &pool->lock, &until) != ETIMEDOUT)
        ;
    left = pool->busy;
    if (pool->count > 0 && left == 0)
        left = pool->count; /* a thread about to end still holds the pool */
    pthread_mutex_unlock(&pool->lock);
    if (left > 0)
        return left;
    *pool_pointer = NULL;
    while (pool->ended_threads != NULL) {
        struct thread *t = pool->ended_threads;

        pool->ended_threads = t->next;
        pthread_cond_destroy(&t->wake);
        free(t);
    }
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    pthread_attr_destroy(&pool->attributes);
    pthread_condattr_destroy(&pool->monotonic);
    free(pool);
    return 0;
}

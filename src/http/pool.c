/* SPDX-License-Identifier: MIT */
/* Keeps worker threads warm, and no more of them than are of use. */
#include "http/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "util/clock.h"
#include "util/futex.h"
#include "util/permit.h"

/* Requests keep their data in arenas and buffers; sanitizers widen every frame. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STACK_SIZE = 1024 << 10 };
#else
enum { STACK_SIZE = 128 << 10 };
#endif

struct thread {
    struct pool *pool;
    struct thread *next, *previous; /* among the parked, or (next) the ended */
    bool granted;                   /* there is a permit and a task for it */
    _Atomic uint32_t wake;
};

struct pool {
    struct pool_options options;
    struct permit_work work; /* one waiting piece for each task that waits for a permit */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    pthread_attr_t attributes;
    struct thread *parked; /* the last parked first */
    struct thread *ended_threads; /* somebody may be about to wake one still */
    int count;             /* threads that exist */
    int running;           /* of them, with a task */
    int queued;            /* tasks that have not begun */
    int granted;           /* of them, with a permit but no thread yet: one is about to park */
    void **queue;          /* a ring of max_threads */
    int head;
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

static void granted(void *arg);

struct pool *pool_new(const struct pool_options *options)
{
    struct pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return NULL;
    pool->options = *options;
    pool->work = (struct permit_work){.granted = granted, .arg = pool};
    pool->queue = calloc((size_t)options->max_threads, sizeof *pool->queue);
    if (pool->queue == NULL) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    clock_condition_init(&pool->ended);
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

/* A task may begin: wakes a thread for it, if there is none that is about to look. */
static void granted(void *arg)
{
    struct pool *pool = arg;
    struct thread *t;

    pthread_mutex_lock(&pool->lock);
    t = pool->parked;
    if (t != NULL) {
        unpark(t);
        t->granted = true;
    } else {
        pool->granted++;
    }
    pthread_mutex_unlock(&pool->lock);
    /* Not under the lock: the thread would wake only to wait for it. */
    if (t != NULL)
        futex_set(&t->wake, 1);
}

/* Every queued task has a thread that waits for it; nobody leaves who is needed. */
static bool may_leave(const struct pool *pool)
{
    return pool->count - pool->running > pool->queued;
}

/* With the lock held. True: there is a task, and the thread holds a permit for it; false: it
 * shall end. */
static bool await_task(struct thread *t)
{
    struct pool *pool = t->pool;
    int64_t idle_us = pool->options.idle_ms * 1000, until = clock_mono_us() + idle_us;

    t->granted = pool->granted > 0;
    if (t->granted)
        pool->granted--;
    else
        park(t);
    while (!t->granted) {
        bool in_time;

        if (pool->stopping && may_leave(pool)) {
            unpark(t);
            return false;
        }
        atomic_store(&t->wake, 0);
        pthread_mutex_unlock(&pool->lock);
        in_time = futex_wait(&t->wake, 0, until);
        pthread_mutex_lock(&pool->lock);
        if (in_time || t->granted)
            continue;
        if (pool->count > pool->options.min_threads && may_leave(pool)) {
            unpark(t);
            return false;
        }
        until = clock_mono_us() + idle_us;
    }
    permit_adopt();
    return true;
}

static void wake_parked(struct pool *pool)
{
    for (struct thread *t = pool->parked; t != NULL; t = t->next)
        futex_set(&t->wake, 1);
}

/* With the lock held. */
static void *take_task(struct pool *pool)
{
    void *task = pool->queue[pool->head];

    pool->head = (pool->head + 1) % pool->options.max_threads;
    pool->queued--;
    pool->running++;
    return task;
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct pool *pool = t->pool;

    pthread_mutex_lock(&pool->lock);
    while (await_task(t)) {
        bool more;

        do {
            void *task = take_task(pool);
            int result;

            pthread_mutex_unlock(&pool->lock);
            result = pool->options.run(pool->options.arg, task);
            pthread_mutex_lock(&pool->lock);
            pool->running--;
            pthread_mutex_unlock(&pool->lock);
            pool->options.after(pool->options.arg, task, result);
            more = permit_next(&pool->work);
            pthread_mutex_lock(&pool->lock);
        } while (more);
        if (pool->stopping && pool->queued == 0)
            wake_parked(pool);
    }
    pool->count--;
    t->next = pool->ended_threads;
    pool->ended_threads = t;
    /* pool_stop() may free the pool as soon as the lock is free */
    pthread_cond_broadcast(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int add_thread(struct pool *pool)
{
    struct thread *t = pool->ended_threads;
    pthread_t id;

    if (t != NULL)
        pool->ended_threads = t->next;
    else if ((t = calloc(1, sizeof *t)) == NULL)
        return AGW_EOVERLOAD;
    t->pool = pool;
    if (pthread_create(&id, &pool->attributes, thread_main, t) != 0) {
        t->next = pool->ended_threads;
        pool->ended_threads = t;
        return AGW_EOVERLOAD;
    }
    pool->count++;
    return 0;
}

/* With the lock held: whether a thread is there for one more task, or could be made. */
static bool has_thread(struct pool *pool)
{
    if (pool->running + pool->queued >= pool->options.max_threads)
        return false;
    return may_leave(pool) || add_thread(pool) == 0;
}

int pool_give(struct pool *pool, void *task)
{
    int rc = AGW_EOVERLOAD;

    pthread_mutex_lock(&pool->lock);
    if (!pool->stopping && has_thread(pool)) {
        pool->queue[(pool->head + pool->queued) % pool->options.max_threads] = task;
        pool->queued++;
        rc = 0;
    }
    pthread_mutex_unlock(&pool->lock);
    if (rc == 0)
        permit_ask(&pool->work);
    return rc;
}

int pool_stop(struct pool **pool_pointer, int64_t wait_ms)
{
    struct pool *pool = *pool_pointer;
    struct timespec until = in_ms(wait_ms);
    int left;

    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    wake_parked(pool);
    while (pool->count > 0 &&
           pthread_cond_timedwait(&pool->ended, &pool->lock, &until) != ETIMEDOUT)
        ;
    left = pool->running + pool->queued;
    if (pool->count > 0 && left == 0)
        left = pool->count; /* a thread about to end still holds the pool */
    pthread_mutex_unlock(&pool->lock);
    if (left > 0)
        return left;
    *pool_pointer = NULL;
    while (pool->ended_threads != NULL) {
        struct thread *t = pool->ended_threads;

        pool->ended_threads = t->next;
        free(t);
    }
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    pthread_attr_destroy(&pool->attributes);
    free(pool->queue);
    free(pool);
    return 0;
}

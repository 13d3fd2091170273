/* SPDX-License-Identifier: MIT */
/* Keeps threads for the next job. */
#include "util/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/clock.h"

struct member {
    void (*job)(void *arg); /* NULL while it waits for one */
    void *arg;
    pthread_cond_t called;
    struct member *next;
};

static struct {
    pthread_mutex_t lock;
    struct member *idle; /* the last that came is the first to go: what it used is still at hand */
    int count;
} crew = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct member *new_member(void (*job)(void *), void *arg)
{
    struct member *m = calloc(1, sizeof *m);

    if (m == NULL)
        return NULL;
    m->job = job;
    m->arg = arg;
    clock_condition_init(&m->called);
    return m;
}

static void free_member(struct member *m)
{
    pthread_cond_destroy(&m->called);
    free(m);
}

/* Under the lock. */
static void step_back(const struct member *m)
{
    struct member **place = &crew.idle;

    while (*place != m)
        place = &(*place)->next;
    *place = m->next;
    crew.count--;
}

/* False: there was none in time, or enough others wait. */
static bool await_job(struct member *m)
{
    struct timespec until = clock_wait_end(CREW_IDLE_MS);
    bool has_job = false;

    pthread_mutex_lock(&crew.lock);
    if (crew.count < CREW_IDLE_MAX) {
        m->job = NULL;
        m->next = crew.idle;
        crew.idle = m;
        crew.count++;
        while (m->job == NULL && pthread_cond_timedwait(&m->called, &crew.lock, &until) !=
                                     ETIMEDOUT)
            ;
        has_job = m->job != NULL;
        if (!has_job)
            step_back(m);
    }
    pthread_mutex_unlock(&crew.lock);
    return has_job;
}

static void *work(void *arg)
{
    struct member *m = arg;

    do
        m->job(m->arg);
    while (await_job(m));
    free_member(m);
    return NULL;
}

static bool call_idle(void (*job)(void *), void *arg)
{
    struct member *m;

    pthread_mutex_lock(&crew.lock);
    m = crew.idle;
    if (m != NULL) {
        step_back(m);
        m->job = job;
        m->arg = arg;
        pthread_cond_signal(&m->called); /* not later: it may be done and gone then */
    }
    pthread_mutex_unlock(&crew.lock);
    return m != NULL;
}

static int start(struct member *m)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int problem;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, CREW_STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    problem = pthread_create(&thread, &attributes, work, m);
    pthread_attr_destroy(&attributes);
    return problem == 0 ? 0 : -1;
}

int crew_do(void (*job)(void *arg), void *arg)
{
    struct member *m;

    if (call_idle(job, arg))
        return 0;
    m = new_member(job, arg);
    if (m == NULL || start(m) == 0)
        return m == NULL ? -1 : 0;
    free_member(m);
    return -1;
}

/* SPDX-License-Identifier: MIT */
/* Lets few threads run so that each runs fast. */
#include "util/permit.h"

#include <errno.h>
#include <semaphore.h>
#include <stdbool.h>

static sem_t permits;
static bool limited; /* false until permit_init(): everybody may run */
static _Thread_local bool holds;
static _Thread_local bool waiting;

void permit_init(int running)
{
    sem_init(&permits, 0, (unsigned)(running < 1 ? 1 : running));
    limited = true;
}

static void acquire(void)
{
    while (sem_wait(&permits) != 0 && errno == EINTR)
        ;
}

void permit_take(void)
{
    if (!limited || holds)
        return;
    acquire();
    holds = true;
}

void permit_drop(void)
{
    if (!holds)
        return;
    holds = false;
    sem_post(&permits);
}

void permit_wait_begin(void)
{
    if (!holds || waiting)
        return;
    waiting = true;
    sem_post(&permits);
}

void permit_wait_end(void)
{
    if (!waiting)
        return;
    acquire();
    waiting = false;
}

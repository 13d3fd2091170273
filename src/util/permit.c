/* SPDX-License-Identifier: MIT */
/* Lets few threads run so that each runs fast. */
#include "util/permit.h"

#include <stddef.h>

#include "util/futex.h"

enum { ASLEEP, AWAKE };

struct permit_sleeper {
    struct permit_sleeper *next;
    _Atomic uint32_t state;
    bool wants; /* a permit with the waking */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards these four */
static int spare;                                        /* then nobody waits */
static struct permit_sleeper *first, **last = &first;
static struct permit_work *first_work, **last_work = &first_work;

static bool limited; /* false until permit_init(): everybody may run */
static _Thread_local bool holds;
static _Thread_local bool waiting;
static _Thread_local bool has_waited; /* since it began what it does */
static _Thread_local struct permit_sleeper self;

void permit_init(int running)
{
    spare = running < 1 ? 1 : running;
    limited = true;
}

static void append(struct permit_sleeper *s)
{
    s->next = NULL;
    *last = s;
    last = &s->next;
}

/* One piece of `work` is taken from those that wait. */
static void take_piece(struct permit_work *work)
{
    struct permit_work **at = &first_work;

    if (--work->waiting > 0)
        return;
    while (*at != work)
        at = &(*at)->next;
    *at = work->next;
    if (work->next == NULL)
        last_work = at;
}

static void release(void)
{
    struct permit_sleeper *s;
    struct permit_work *work = NULL;

    pthread_mutex_lock(&lock);
    s = first;
    if (s != NULL) {
        first = s->next;
        if (first == NULL)
            last = &first;
    } else if (first_work != NULL) {
        work = first_work;
        take_piece(work);
    } else {
        spare++;
    }
    pthread_mutex_unlock(&lock);
    if (s != NULL)
        futex_set(&s->state, AWAKE);
    else if (work != NULL)
        work->granted(work->arg);
}

/* Whether there is one at once; otherwise `s` is in line for it. */
static bool acquire_for(struct permit_sleeper *s)
{
    bool at_once;

    pthread_mutex_lock(&lock);
    at_once = spare > 0;
    if (at_once)
        spare--;
    else
        append(s);
    pthread_mutex_unlock(&lock);
    return at_once;
}

static void acquire(void)
{
    atomic_store(&self.state, ASLEEP);
    if (!acquire_for(&self))
        futex_wait(&self.state, ASLEEP, FUTEX_FOREVER);
}

void permit_take(void)
{
    if (!limited || holds)
        return;
    acquire();
    holds = true;
    has_waited = false;
}

void permit_drop(void)
{
    if (!holds)
        return;
    holds = false;
    release();
}

void permit_wait_begin(void)
{
    if (!holds || waiting)
        return;
    waiting = has_waited = true;
    release();
}

void permit_wait_end(void)
{
    if (!waiting)
        return;
    acquire();
    waiting = false;
}

void permit_lock(pthread_mutex_t *mutex)
{
    if (pthread_mutex_trylock(mutex) == 0)
        return;
    permit_wait_begin();
    pthread_mutex_lock(mutex);
    permit_wait_end();
}

struct permit_sleeper *permit_sleeper(void)
{
    self.wants = holds;
    atomic_store(&self.state, ASLEEP);
    return &self;
}

bool permit_sleep(int64_t until_us)
{
    permit_wait_begin();
    if (!futex_wait(&self.state, ASLEEP, until_us))
        return false;
    waiting = false;
    return true;
}

void permit_wake(struct permit_sleeper *sleeper)
{
    if (!sleeper->wants || acquire_for(sleeper))
        futex_set(&sleeper->state, AWAKE);
}

void permit_ask(struct permit_work *work)
{
    bool at_once = !limited;

    pthread_mutex_lock(&lock);
    if (!at_once && spare > 0) {
        spare--;
        at_once = true;
    } else if (!at_once && work->waiting++ == 0) {
        work->next = NULL;
        *last_work = work;
        last_work = &work->next;
    }
    pthread_mutex_unlock(&lock);
    if (at_once)
        work->granted(work->arg);
}

void permit_adopt(void)
{
    holds = limited;
    has_waited = false;
}

bool permit_next(struct permit_work *work)
{
    bool kept;

    if (!holds)
        return false;
    pthread_mutex_lock(&lock);
    kept = work->waiting > 0 && (first == NULL || has_waited);
    if (kept)
        take_piece(work);
    pthread_mutex_unlock(&lock);
    has_waited = false;
    if (!kept)
        permit_drop();
    return kept;
}

/* SPDX-License-Identifier: MIT */
/* Run permits: many requests may be open, few threads may run at once.
 *
 * More runnable threads than cores only add context switches and tail latency. A worker
 * thread holds a permit while it computes and gives it back around every wait (upstream,
 * commit, slow client). A permit passes from hand to hand: who gives one back wakes the
 * thread it goes to, and nobody wakes only to queue for one. Threads that want to go on come
 * before work that has not begun, but for work that goes on under a permit which was given
 * back meanwhile. A thread that never took one (the audit writer, tests)
 * passes through: give/take do nothing there. Any thread.
 */
#ifndef AGW_UTIL_PERMIT_H
#define AGW_UTIL_PERMIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Sets how many may run at once in this process, >= 1; before the first permit_take(). */
void permit_init(int running);

/* Waits for a permit; the thread holds it until permit_drop(). */
void permit_take(void);
void permit_drop(void);

/* Around a wait: gives the permit back, and takes one again. */
void permit_wait_begin(void);
void permit_wait_end(void);

/* Locks a mutex whose holder may wait (for the database, say), and so for a permit: who kept
 * one while waiting for the mutex would keep it from that holder for ever. */
void permit_lock(pthread_mutex_t *mutex);

/* A wait that another thread ends, in three steps:
 *   s = permit_sleeper();         then let the other know of s, and
 *   permit_sleep(until_us)        gives the permit back; true: woken, holding a permit again.
 * After false (clock_mono_us() has come to until_us) make sure that nobody will call
 * permit_wake() any more and end with permit_wait_end(), or sleep again. */
struct permit_sleeper;
struct permit_sleeper *permit_sleeper(void);
bool permit_sleep(int64_t until_us);

/* Exactly once for each sleep. The sleeper wakes when there is a permit for it. */
void permit_wake(struct permit_sleeper *sleeper);

/* Work that nobody runs yet. */
struct permit_work {
    /* A permit is there for one piece of it: whoever runs it calls permit_adopt(). Called by
     * any thread, with no lock held. */
    void (*granted)(void *arg);
    void *arg;
    int waiting;              /* pieces; this and the rest are permit.c's own */
    struct permit_work *next;
};

/* One more piece of work waits for its permit. */
void permit_ask(struct permit_work *work);
/* The calling thread holds the permit that was granted. */
void permit_adopt(void);
/* Instead of permit_drop(): true = the permit is kept, for a waiting piece of `work`. While
 * threads want to go on, only one that has waited, and so let one of them go on, since
 * it took its permit or the last permit_next() keeps it: nobody starves. */
bool permit_next(struct permit_work *work);

#endif

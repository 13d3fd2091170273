/* SPDX-License-Identifier: MIT */
/* Run permits: many requests may be open, few threads may run at once.
 *
 * More runnable threads than cores only add context switches and tail latency. A worker
 * thread holds a permit while it computes and gives it back around every wait (upstream,
 * commit, slow client). A thread that never took one (the audit writer, tests) passes
 * through: give/take do nothing there. Any thread.
 */
#ifndef AGW_UTIL_PERMIT_H
#define AGW_UTIL_PERMIT_H

/* Sets how many may run at once in this process, >= 1; before the first permit_take(). */
void permit_init(int running);

/* Waits for a permit; the thread holds it until permit_drop(). */
void permit_take(void);
void permit_drop(void);

/* Around a wait: gives the permit back, and takes one again. */
void permit_wait_begin(void);
void permit_wait_end(void);

#endif

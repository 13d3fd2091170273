/* SPDX-License-Identifier: MIT */
/* Threads for jobs that are short and many. To make a thread and end it costs more than many a
 * job, so one that has done its job waits a while for another. Any thread; not in a child that a
 * process forks after its first use, for its threads are not there. Requests have threads of their
 * own (http/pool.h), of which there are only so many.
 */
#ifndef AGW_UTIL_CREW_H
#define AGW_UTIL_CREW_H

/* For a provider's frames, or those of an agent's code; sanitizers widen every frame. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CREW_STACK = 1024 << 10 };
#else
enum { CREW_STACK = 256 << 10 };
#endif

enum {
    CREW_IDLE_MAX = 16,     /* threads that wait; one more ends with its job */
    CREW_IDLE_MS = 2000     /* and each after so long */
};

/* Has a thread do job(arg), side by side with all others. The thread blocks the signals that the
 * caller of the first of its jobs blocks. -1: no thread is to be had. Nobody is told when the job
 * is done but by the job. */
int crew_do(void (*job)(void *arg), void *arg);

#endif

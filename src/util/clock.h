/* SPDX-License-Identifier: MIT */
/* Time: wall clock in UTC milliseconds for records, monotonic for durations. Any thread. */
#ifndef AGW_UTIL_CLOCK_H
#define AGW_UTIL_CLOCK_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { CLOCK_TEXT_SIZE = 32 };

/* Milliseconds since 1970 UTC. */
int64_t clock_wall_ms(void);
/* Milliseconds / microseconds that never step back; the same for all processes of a boot
 * and counting through suspend (CLOCK_BOOTTIME). */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

/* A condition whose waits have an end: it waits by CLOCK_MONOTONIC, as CLOCK_BOOTTIME is none that
 * conditions know. */
void clock_condition_init(pthread_cond_t *condition);
/* The moment `ms` (>= 0) from now, for pthread_cond_timedwait() on such a condition. */
struct timespec clock_wait_end(int64_t ms);

/* "2026-11-25T19:01:17.123Z"; the year is clamped to 0..9999. Returns `text`. */
const char *clock_format(int64_t ms, char text[CLOCK_TEXT_SIZE]);

/* RFC 3339 with Z or a numeric offset, optional fraction; or a bare date (midnight UTC).
 * 0 and *ms, or -1 when it is none of these. */
int clock_parse(const char *text, int64_t *ms);

#endif

/* SPDX-License-Identifier: MIT */
/* The time that never steps back, shared by all processes of a database.
 *
 * One number says it all: the largest (wall - monotonic) any process has seen. The clock is
 * max(wall, monotonic + that), so after the wall clock stepped back it goes on from its
 * highest reading at the speed of real time.
 */
#ifndef AGW_STORE_NOW_H
#define AGW_STORE_NOW_H

#include <stdatomic.h>
#include <stdint.h>

struct now_clock {
    _Atomic int64_t offset;    /* ms, wall minus monotonic; lies in shared memory */
    _Atomic int64_t persisted; /* the highest time known to be in the database */
};

/* The time, given what both clocks say; remembers a new high. */
int64_t now_read(struct now_clock *clock, int64_t wall_ms, int64_t mono_ms);

/* Takes in a high-water mark from the database. */
void now_raise(struct now_clock *clock, int64_t high_ms, int64_t mono_ms);

#endif

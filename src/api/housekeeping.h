/* SPDX-License-Identifier: MIT */
/* What must happen without any request: refreshed policy, expiries, warnings, health checks.
 */
#ifndef AGW_API_HOUSEKEEPING_H
#define AGW_API_HOUSEKEEPING_H

#include <stdbool.h>

#include "api/context.h"

struct housekeeping {
    struct api *api;
    bool warns;          /* one worker of an instance speaks about keys; set it for that one */
    int64_t health_at, uses_at, trim_at; /* clock_mono_ms() of the next turn */
    int64_t warned_day, warned_generation;
};

/* One round; call it every quarter of a second, from one thread a process, without a run
 * permit. Failures are logged, never returned: the next round tries again. */
void housekeeping_tick(struct housekeeping *h);

/* The last round before a process ends: writes what is still only in memory. */
void housekeeping_flush(struct housekeeping *h);

#endif

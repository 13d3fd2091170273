/* SPDX-License-Identifier: MIT */
/* Keeps time from running backwards. */
#include "store/now.h"

static int64_t raise_to(_Atomic int64_t *highest, int64_t value)
{
    int64_t seen = atomic_load_explicit(highest, memory_order_relaxed);

    while (value > seen &&
           !atomic_compare_exchange_weak_explicit(highest, &seen, value, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    return value > seen ? value : seen;
}

int64_t now_read(struct now_clock *clock, int64_t wall_ms, int64_t mono_ms)
{
    return mono_ms + raise_to(&clock->offset, wall_ms - mono_ms);
}

void now_raise(struct now_clock *clock, int64_t high_ms, int64_t mono_ms)
{
    raise_to(&clock->offset, high_ms - mono_ms);
    raise_to(&clock->persisted, high_ms);
}

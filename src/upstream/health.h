/* SPDX-License-Identifier: MIT */
/* What calls and checks teach about an upstream; for this floor only. Any thread. */
#ifndef AGW_UPSTREAM_HEALTH_H
#define AGW_UPSTREAM_HEALTH_H

#include "upstream/entry.h"

enum health_verdict {
    HEALTH_SUCCESS, /* it answered as it should */
    HEALTH_FAILURE, /* it did not; reason says how */
    HEALTH_NOTHING, /* the call ended for other reasons */
};

/* May a call go out? See breaker_enter(). */
enum breaker_verdict health_enter(struct upstream_entry *entry);
/* The end of a call that was let in as `entered`. `hold_ms` > 0: it asked for quiet. */
void health_leave(struct upstream_entry *entry, enum breaker_verdict entered,
                  enum health_verdict verdict, const char *reason, int64_t hold_ms);
/* How long the breaker still refuses, ms. */
int64_t health_wait_ms(struct upstream_entry *entry);

#endif

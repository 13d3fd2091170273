/* SPDX-License-Identifier: MIT */
/* Requests per minute, exact across all processes of the host: a limit of N lets N pass.
 *
 * A window of 60 s starts with the first request after the last window ended; window start
 * and count are one 64-bit atomic in the shared file, so a death at any instruction leaves
 * a right count. At most 4,194,303 a minute can be counted. Any thread.
 */
#ifndef AGW_POLICY_RATE_LIMIT_H
#define AGW_POLICY_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/shm.h"

struct rate_limiter;

int rate_limit_open(struct shm *shm, struct rate_limiter **limiter, struct err *e);
void rate_limit_close(struct rate_limiter **limiter);

struct rate_verdict {
    bool allowed;
    int64_t limit, remaining; /* limit 0 = unlimited */
    int64_t reset_ms;         /* until the window ends */
};

/* Counts one request of `key_id` against `per_minute` (0 = unlimited, always allowed). A
 * refused request is not counted. `now_ms` is clock_mono_ms(). */
void rate_limit_take(struct rate_limiter *limiter, const char *key_id, int64_t per_minute,
                     int64_t now_ms, struct rate_verdict *verdict);

#endif

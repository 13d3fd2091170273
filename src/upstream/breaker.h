/* SPDX-License-Identifier: MIT */
/* Circuit breaker: after consecutive failures nobody calls for a while, then one probe at a
 * time decides. Pure: time is an argument (monotonic ms), locking is the owner's.
 */
#ifndef AGW_UPSTREAM_BREAKER_H
#define AGW_UPSTREAM_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_HOLD_MAX_MS = 60000 };

struct breaker {
    int threshold;        /* consecutive failures that open it, 0 = never opens */
    int64_t open_ms;
    int failures;
    bool tripped;         /* open, or half open once open_until has passed */
    bool probing;         /* a probe is on its way */
    int64_t open_until;
    int64_t held_until;   /* the upstream itself asked for quiet (Retry-After) */
};

enum breaker_verdict { BREAKER_PASS, BREAKER_PROBE, BREAKER_REFUSE };

/* May a call go out now? After PROBE exactly one of success, failure, abandon follows. */
enum breaker_verdict breaker_enter(struct breaker *b, int64_t now);
void breaker_success(struct breaker *b);
void breaker_failure(struct breaker *b, int64_t now);
/* The call ended without saying anything about the upstream (the client left). */
void breaker_abandon(struct breaker *b, enum breaker_verdict entered);
/* The upstream said Retry-After; at most BREAKER_HOLD_MAX_MS. */
void breaker_hold(struct breaker *b, int64_t now, int64_t ms);

/* Whether calls are refused now, and for how much longer at least (0 = not). */
bool breaker_is_open(const struct breaker *b, int64_t now);
int64_t breaker_wait_ms(const struct breaker *b, int64_t now);

#endif

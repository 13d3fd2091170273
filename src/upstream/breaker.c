/* SPDX-License-Identifier: MIT */
/* Leaves an upstream in peace that fails or asks for it. */
#include "upstream/breaker.h"

enum { PROBE_WAIT_MS = 1000 }; /* a guess: when the probe on its way may have an answer */

enum breaker_verdict breaker_enter(struct breaker *b, int64_t now)
{
    if (breaker_is_open(b, now))
        return BREAKER_REFUSE;
    if (!b->tripped)
        return BREAKER_PASS;
    b->probing = true;
    return BREAKER_PROBE;
}

void breaker_success(struct breaker *b)
{
    b->failures = 0;
    b->tripped = b->probing = false;
}

void breaker_failure(struct breaker *b, int64_t now)
{
    if (b->threshold <= 0)
        return;
    if (b->failures < b->threshold)
        b->failures++;
    if (b->failures < b->threshold)
        return;
    b->tripped = true;
    b->probing = false;
    b->open_until = now + b->open_ms;
}

void breaker_abandon(struct breaker *b, enum breaker_verdict entered)
{
    if (entered == BREAKER_PROBE)
        b->probing = false;
}

void breaker_hold(struct breaker *b, int64_t now, int64_t ms)
{
    if (ms > BREAKER_HOLD_MAX_MS)
        ms = BREAKER_HOLD_MAX_MS;
    if (b->threshold > 0 && now + ms > b->held_until)
        b->held_until = now + ms;
}

bool breaker_is_open(const struct breaker *b, int64_t now)
{
    return now < b->held_until || (b->tripped && (b->probing || now < b->open_until));
}

int64_t breaker_wait_ms(const struct breaker *b, int64_t now)
{
    int64_t wait = b->tripped && b->probing ? PROBE_WAIT_MS : 0;

    if (b->tripped && b->open_until - now > wait)
        wait = b->open_until - now;
    if (b->held_until - now > wait)
        wait = b->held_until - now;
    return wait;
}

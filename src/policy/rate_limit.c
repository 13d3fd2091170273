/* SPDX-License-Identifier: MIT */
/* Counts requests of all processes in one place. */
#include "policy/rate_limit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util/sha.h"

enum { SLOTS = 1 << 16, WINDOW_MS = 60000, COUNT_BITS = 22 };

/* One key's window: its start in ms since boot (42 bits) and how many passed (22 bits), in
 * one word so that both change together or not at all. */
struct slot {
    _Atomic uint64_t owner; /* hash of the key id, 0 = free */
    _Atomic uint64_t window;
};

struct rate_limiter {
    struct slot *slots;
};

int rate_limit_open(struct shm *shm, struct rate_limiter **limiter, struct err *e)
{
    void *region;
    int status = shm_region(shm, "rate_limit", SLOTS * sizeof(struct slot), &region, e);

    *limiter = NULL;
    if (status != 0)
        return status;
    *limiter = malloc(sizeof **limiter);
    if (*limiter == NULL)
        return err_set(e, AGW_ENOMEM, "rate limiter");
    (*limiter)->slots = region;
    return 0;
}

void rate_limit_close(struct rate_limiter **limiter)
{
    free(*limiter);
    *limiter = NULL;
}

static uint64_t owner_of(const char *key_id)
{
    unsigned char digest[SHA_SIZE];
    uint64_t owner;

    sha_256(key_id, strlen(key_id), digest);
    memcpy(&owner, digest, sizeof owner);
    return owner | UINT64_C(1) << 63; /* never 0 */
}

/* The key's slot, claimed with its first request. With every slot taken (65,536 key ids were
 * seen on this host) keys share one: stricter, never laxer. */
static struct slot *find(struct rate_limiter *limiter, const char *key_id)
{
    uint64_t owner = owner_of(key_id);
    size_t start = owner % SLOTS;

    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &limiter->slots[(start + i) % SLOTS];
        uint64_t seen = atomic_load(&slot->owner);

        if (seen == 0 && atomic_compare_exchange_strong(&slot->owner, &seen, owner))
            return slot;
        if (seen == owner)
            return slot;
    }
    return &limiter->slots[start];
}

static void fill(struct rate_verdict *v, uint64_t start, uint64_t count, int64_t now_ms)
{
    v->remaining = (int64_t)count >= v->limit ? 0 : v->limit - (int64_t)count;
    v->reset_ms = (int64_t)start + WINDOW_MS - now_ms;
}

void rate_limit_take(struct rate_limiter *limiter, const char *key_id, int64_t per_minute,
                     int64_t now_ms, struct rate_verdict *v)
{
    const uint64_t count_mask = (1u << COUNT_BITS) - 1;
    struct slot *slot;
    uint64_t seen;

    *v = (struct rate_verdict){.allowed = true, .limit = per_minute};
    if (per_minute <= 0)
        return;
    slot = find(limiter, key_id);
    seen = atomic_load(&slot->window);
    for (;;) {
        uint64_t start = seen >> COUNT_BITS, count = seen & count_mask;

        /* A start that far in the future is from before a reboot; a little in the future is
         * another thread that read the clock after us. */
        if (count == 0 || now_ms >= (int64_t)start + WINDOW_MS || (int64_t)start > now_ms + WINDOW_MS) {
            start = (uint64_t)now_ms;
            count = 0;
        }
        if ((int64_t)count >= per_minute || count == count_mask) {
            v->allowed = false;
            fill(v, start, count, now_ms);
            return;
        }
        if (atomic_compare_exchange_weak(&slot->window, &seen,
                                         start << COUNT_BITS | (count + 1))) {
            fill(v, start, count + 1, now_ms);
            return;
        }
    }
}

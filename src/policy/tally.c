/* SPDX-License-Identifier: MIT */
/* Keeps counts in shared memory that begin with what the trail says. */
#include "policy/tally.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/usage.h"
#include "util/permit.h"
#include "util/proc.h"
#include "util/sha.h"

enum { SLOTS = 1 << 17, WINDOW = 128, COUNT_BITS = 44, NAME_MAX_SIZE = 512 };
#define COUNT_MAX ((UINT64_C(1) << COUNT_BITS) - 1)
#define REGION "tally-1"

/* Period and count are one word: both change together or not at all. A slot whose period is
 * over may be given to another name. Then the word becomes 0 before the owner changes, and
 * never again what it was, since periods only grow: who read the word, saw the owner after
 * that, and exchanges the word for another, has the right slot. */
struct slot {
    _Atomic uint64_t owner; /* hash of the name, 0 = never had one */
    _Atomic uint64_t word;  /* period << COUNT_BITS | count; 0 = not counted yet */
};

struct region {
    _Atomic uint64_t boot; /* hash of the boot id: after a power cut the file may be old */
    _Atomic uint32_t used; /* whether any slot has an owner */
    char unused[52];
    struct slot slots[SLOTS];
};

struct tally {
    struct store *store;
    struct region *region;
    pthread_mutex_t lock; /* one thread a process asks the trail */
};

static uint64_t hash_of(const char *text, size_t length)
{
    unsigned char digest[SHA_SIZE];
    uint64_t hash;

    sha_256(text, length, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash | UINT64_C(1) << 63; /* never 0 */
}

static uint64_t owner_of(const struct tally_name *name)
{
    char text[NAME_MAX_SIZE];
    int length = snprintf(text, sizeof text, "%d:%s", (int)name->kind, name->id);

    return hash_of(text, length < (int)sizeof text ? (size_t)length : sizeof text - 1);
}

static int64_t period_of(uint64_t word)
{
    return (int64_t)(word >> COUNT_BITS);
}

static uint64_t pack(int64_t period, uint64_t count)
{
    return (uint64_t)period << COUNT_BITS | (count > COUNT_MAX ? COUNT_MAX : count);
}

/* A transaction is the lock that all processes have; it writes nothing. */
static int lock_all(struct tally *t, struct db **db, struct err *e)
{
    int status = AGW_ESTORE;

    *db = store_acquire(t->store, e);
    if (*db != NULL)
        status = store_write_begin(t->store, *db, e);
    if (status != 0)
        store_release(t->store, *db);
    return status;
}

static void unlock_all(struct tally *t, struct db *db)
{
    store_write_rollback(t->store, db);
    store_release(t->store, db);
}

/* Who else has this file open is of this boot, and was here before. */
static int begin_boot(struct tally *t, struct err *e)
{
    char boot[PROC_BOOT_SIZE];
    struct db *db;
    uint64_t hash;
    int status;

    proc_boot_id(boot);
    hash = hash_of(boot, strlen(boot));
    if (atomic_load(&t->region->boot) == hash)
        return 0;
    status = lock_all(t, &db, e);
    if (status != 0)
        return status;
    if (atomic_load(&t->region->boot) != hash) {
        memset(t->region->slots, 0, sizeof t->region->slots);
        atomic_store(&t->region->used, 0);
        atomic_store(&t->region->boot, hash);
    }
    unlock_all(t, db);
    return 0;
}

int tally_open(struct store *store, struct tally **out, struct err *e)
{
    struct tally *t = calloc(1, sizeof *t);
    void *region;
    int status;

    *out = NULL;
    if (t == NULL)
        return err_set(e, AGW_ENOMEM, "counters");
    t->store = store;
    pthread_mutex_init(&t->lock, NULL);
    status = shm_region(store_shm(store), REGION, sizeof *t->region, &region, e);
    if (status == 0) {
        t->region = region;
        status = begin_boot(t, e);
    }
    if (status != 0)
        tally_close(&t);
    *out = t;
    return status;
}

void tally_close(struct tally **tally)
{
    if (*tally == NULL)
        return;
    pthread_mutex_destroy(&(*tally)->lock);
    free(*tally);
    *tally = NULL;
}

static struct slot *slot_at(const struct tally *t, uint64_t owner, size_t i)
{
    return &t->region->slots[(owner + i) % SLOTS];
}

/* The slot and its word, NULL when the name has none. */
static struct slot *find(const struct tally *t, uint64_t owner, uint64_t *word)
{
    *word = 0;
    for (size_t i = 0; i < WINDOW; i++) {
        struct slot *slot = slot_at(t, owner, i);
        uint64_t seen = atomic_load(&slot->owner);

        if (seen == 0)
            return NULL;
        if (seen != owner)
            continue;
        *word = atomic_load(&slot->word);
        if (atomic_load(&slot->owner) == owner) /* by chance it is given away just now */
            return slot;
    }
    return NULL;
}

/* Under the lock of all: the name's slot, or one that nobody has or needs any more. */
static struct slot *claim(struct tally *t, uint64_t owner)
{
    int64_t today = store_now(t->store) / USAGE_DAY_MS;
    struct slot *spare = NULL;
    uint64_t word;

    if (find(t, owner, &word) != NULL)
        return find(t, owner, &word);
    for (size_t i = 0; i < WINDOW; i++) {
        struct slot *slot = slot_at(t, owner, i);
        uint64_t seen = atomic_load(&slot->owner);

        if (spare == NULL && (seen == 0 || period_of(atomic_load(&slot->word)) < today))
            spare = slot;
        if (seen == 0)
            break;
    }
    if (spare == NULL)
        return NULL;
    atomic_store(&spare->word, 0);
    atomic_store(&spare->owner, owner);
    atomic_store(&t->region->used, 1);
    return spare;
}

static int ask_uses(struct db *db, const char *id, int64_t period, int64_t *count,
                    struct err *e)
{
    (void)period;
    return usage_override(db, id, NULL, count, e);
}

/* What the trail says of each kind. */
static int (*const ask_trail[])(struct db *db, const char *id, int64_t period, int64_t *count,
                                struct err *e) = {
    [TALLY_REQUESTS] = usage_requests,
    [TALLY_TOKENS] = usage_tokens,
    [TALLY_USES] = ask_uses,
};

/* Whoever counted meanwhile asked the trail before, and is right. */
static void begin_count(struct slot *slot, int64_t period, int64_t count)
{
    uint64_t seen = atomic_load(&slot->word);

    while (period_of(seen) < period &&
           !atomic_compare_exchange_weak(&slot->word, &seen, pack(period, (uint64_t)count)))
        ;
}

/* The trail is asked before the lock: it may take a while, and nobody who counts in this
 * period can have written to it before the count begins. */
static int seed_locked(struct tally *t, const struct tally_name *name, uint64_t owner,
                       struct err *e)
{
    struct db *db = store_acquire(t->store, e);
    struct slot *slot;
    int64_t count;
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = ask_trail[name->kind](db, name->id, name->period, &count, e);
    store_release(t->store, db);
    if (status == 0)
        status = lock_all(t, &db, e);
    if (status != 0)
        return status;
    slot = claim(t, owner);
    if (slot == NULL)
        status = err_set(e, AGW_ESTORE, "no room to count for %.100s", name->id);
    else
        begin_count(slot, name->period, count);
    unlock_all(t, db);
    return status;
}

/* Finds the slot with a count of this period or a later one, beginning it if need be. */
static int counted(struct tally *t, const struct tally_name *name, uint64_t owner,
                   struct slot **slot, uint64_t *word, struct err *e)
{
    int status = 0;

    *slot = find(t, owner, word);
    while (*slot == NULL || period_of(*word) < name->period) {
        permit_lock(&t->lock);
        *slot = find(t, owner, word);
        if (*slot == NULL || period_of(*word) < name->period)
            status = seed_locked(t, name, owner, e);
        pthread_mutex_unlock(&t->lock);
        if (status != 0)
            return status;
        *slot = find(t, owner, word);
    }
    return period_of(*word) > name->period ? TALLY_LATER : 0;
}

int tally_take(struct tally *t, const struct tally_name *name, int64_t limit, bool *taken,
               struct err *e)
{
    uint64_t owner = owner_of(name), word;
    struct slot *slot;
    int status;

    *taken = false;
    do {
        status = counted(t, name, owner, &slot, &word, e);
        if (status != 0 || (int64_t)(word & COUNT_MAX) >= limit ||
            (word & COUNT_MAX) == COUNT_MAX)
            return status;
    } while (!atomic_compare_exchange_strong(&slot->word, &word, word + 1));
    *taken = true;
    return 0;
}

/* Changes a count that is there; false when there is none of this period. */
static bool change(struct tally *t, const struct tally_name *name, int64_t by)
{
    uint64_t owner = owner_of(name), word, fresh;
    struct slot *slot;

    do {
        int64_t count;

        slot = find(t, owner, &word);
        if (slot == NULL || period_of(word) != name->period)
            return slot != NULL && period_of(word) > name->period;
        count = (int64_t)(word & COUNT_MAX);
        fresh = pack(name->period, by < -count            ? 0
                                   : by > (int64_t)COUNT_MAX ? COUNT_MAX
                                                             : (uint64_t)(count + by));
    } while (!atomic_compare_exchange_strong(&slot->word, &word, fresh));
    return true;
}

void tally_give_back(struct tally *t, const struct tally_name *name)
{
    change(t, name, -1);
}

void tally_note(struct tally *t, const struct tally_name *name, int64_t by)
{
    if (atomic_load_explicit(&t->region->used, memory_order_relaxed) != 0)
        change(t, name, by);
}

int tally_add(struct tally *t, const struct tally_name *name, int64_t by, struct err *e)
{
    struct slot *slot;
    uint64_t word;

    while (!change(t, name, by)) {
        int status = counted(t, name, owner_of(name), &slot, &word, e);

        if (status < 0)
            return status;
    }
    return 0;
}

int tally_read(struct tally *t, const struct tally_name *name, int64_t *count, struct err *e)
{
    struct slot *slot;
    uint64_t word;
    int status = counted(t, name, owner_of(name), &slot, &word, e);

    *count = status == 0 ? (int64_t)(word & COUNT_MAX) : 0;
    return status;
}

int64_t tally_peek(const struct tally *t, const struct tally_name *name)
{
    uint64_t word;

    if (find(t, owner_of(name), &word) == NULL || period_of(word) < name->period)
        return -1;
    return (int64_t)(word & COUNT_MAX);
}

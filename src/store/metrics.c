/* SPDX-License-Identifier: MIT */
/* Counts in shared memory, without locks. */
#include "store/metrics.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/metrics_region.h"
#include "util/json_text.h"
#include "util/log.h"
#include "util/proc.h"

const int64_t metrics_bounds_us[METRICS_BUCKETS] = {
    1000,    2500,    5000,     10000,    25000,    50000,    100000,    250000,    500000,
    1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 120000000, 300000000, 600000000,
};

struct metrics_family metrics_families[METRIC_COUNT] = {
#define X(id, name_, type_, labels_, help_)                                                    \
    [METRIC_##id] = {.name = (name_), .labels = (labels_), .help = (help_), .type = METRIC_##type_},
    METRICS_TABLE(X)
#undef X
};

/* The number counts layouts: programs of two versions may run during an upgrade. */
#define REGION "metrics-1"

static struct metrics_region *region;
static struct shm *chunk_shm;
static unsigned opened; /* how often: what threads keep is of one opening */
static pthread_mutex_t chunk_lock = PTHREAD_MUTEX_INITIALIZER;
static struct series *_Atomic chunks[METRICS_CHUNKS];
static struct process_slot *own_slot;

struct metrics_region *metrics_region(void)
{
    return region;
}

static uint64_t hash_bytes(uint64_t hash, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)data[i]) * 0x100000001b3u;
    return hash;
}

static void tag_families(void)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        struct metrics_family *f = &metrics_families[i];
        uint64_t hash = hash_bytes(0xcbf29ce484222325u, f->name, strlen(f->name) + 1);

        f->tag = hash_bytes(hash, f->labels, strlen(f->labels));
    }
}

/* Linux pids have at most 22 bits; start times are ticks since boot. */
static uint64_t owner_word(pid_t pid, uint64_t start)
{
    return start << 22 | (uint64_t)pid;
}

static bool owner_lives(uint64_t owner)
{
    return owner != 0 && proc_is_alive((pid_t)(owner & 0x3fffff), owner >> 22);
}

static struct process_slot *claim_slot(void)
{
    uint64_t mine = owner_word(getpid(), proc_start_time(getpid()));

    for (int i = 0; i < METRICS_PROCESSES_MAX; i++) {
        struct process_slot *slot = &region->processes[i];
        uint64_t owner = atomic_load(&slot->owner);

        if ((owner != mine && owner_lives(owner)) ||
            !atomic_compare_exchange_strong(&slot->owner, &owner, mine))
            continue;
        atomic_store(&slot->inflight, 0);
        atomic_store(&slot->audit_queue, 0);
        return slot;
    }
    return NULL;
}

/* Maps a chunk, once a process. On a full disk there is none: its series are "other". */
static struct series *chunk(int k)
{
    struct series *start = atomic_load_explicit(&chunks[k], memory_order_acquire);
    char name[SHM_NAME_MAX + 1];
    void *mapped;

    if (start != NULL)
        return start;
    pthread_mutex_lock(&chunk_lock);
    start = atomic_load(&chunks[k]);
    snprintf(name, sizeof name, REGION ".%d", k);
    if (start == NULL &&
        shm_region(chunk_shm, name, ((size_t)METRICS_CHUNK_FIRST << k) * sizeof *start, &mapped,
                   NULL) == 0) {
        start = mapped;
        atomic_store_explicit(&chunks[k], start, memory_order_release);
    }
    pthread_mutex_unlock(&chunk_lock);
    return start;
}

struct series *metrics_series(uint32_t number)
{
    uint32_t at, first = 0;

    if (number < METRICS_OVERFLOW)
        return &region->overflow[number];
    at = number - METRICS_OVERFLOW;
    for (int k = 0; k < METRICS_CHUNKS; k++) {
        uint32_t size = (uint32_t)METRICS_CHUNK_FIRST << k;

        if (at - first < size) {
            struct series *start = chunk(k);

            return start == NULL ? NULL : start + (at - first);
        }
        first += size;
    }
    return NULL;
}

int metrics_open(struct store *store, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    void *start;
    int status;

    pthread_once(&once, tag_families);
    if (store_shm(store) == NULL)
        return err_set(e, AGW_ESTORE, "metrics need a store that is open for writing");
    status = shm_region(store_shm(store), REGION, sizeof *region, &start, e);
    if (status != 0)
        return status;
    chunk_shm = store_shm(store);
    region = start;
    opened++;
    own_slot = claim_slot();
    if (own_slot == NULL)
        log_message(LOG_WARN, "metrics.full", "more than %d processes: this one's gauges are"
                    " not counted", METRICS_PROCESSES_MAX);
    return 0;
}

void metrics_close(void)
{
    if (own_slot != NULL)
        atomic_store(&own_slot->owner, 0);
    own_slot = NULL;
    region = NULL;
    for (int k = 0; k < METRICS_CHUNKS; k++)
        atomic_store(&chunks[k], NULL);
}

struct text {
    char bytes[METRICS_LABEL_MAX];
    size_t length;
    bool full;
};

static void put(struct text *text, const char *bytes, size_t length)
{
    if (length > sizeof text->bytes - text->length) {
        text->full = true;
        return;
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

/* The exposition format escapes exactly these three and takes UTF-8 only. */
static void put_value(struct text *text, const char *value)
{
    for (; *value != '\0'; value++) {
        if ((unsigned char)*value >= 0x80) {
            size_t length = json_text_utf8(value, strlen(value));

            put(text, length == 0 ? "\xef\xbf\xbd" : value, length == 0 ? 3 : length);
            value += length == 0 ? 0 : length - 1;
            continue;
        }
        if (*value == '\\')
            put(text, "\\\\", 2);
        else if (*value == '"')
            put(text, "\\\"", 2);
        else if (*value == '\n')
            put(text, "\\n", 2);
        else
            put(text, value, 1);
    }
}

/* One value for each name of the family; with `values` NULL each is "other". */
static void spell(const char *names, va_list *values, struct text *text)
{
    text->length = 0;
    text->full = false;
    while (*names != '\0') {
        size_t length = strcspn(names, ",");
        const char *value = values == NULL ? "other" : va_arg(*values, const char *);

        if (text->length > 0)
            put(text, ",", 1);
        put(text, names, length);
        put(text, "=\"", 2);
        put_value(text, value == NULL ? "" : value);
        put(text, "\"", 1);
        names += length + (names[length] == ',');
    }
}

static bool is_series(const struct series *s, uint64_t family, const struct text *text)
{
    return s->family == family && s->length == text->length &&
           memcmp(s->labels, text->bytes, text->length) == 0;
}

/* A series nobody has: its number, or -1 when there is none left. A number whose chunk
 * cannot be had is given back unless a later one is out already. */
static int64_t reserve(bool overflow)
{
    _Atomic uint32_t *counter = overflow ? &region->overflow_used : &region->used;
    uint32_t limit = overflow ? METRICS_OVERFLOW : METRICS_SERIES_MAX;
    uint32_t used = atomic_load_explicit(counter, memory_order_relaxed), after;

    do
        if (used >= limit)
            return -1;
    while (!atomic_compare_exchange_weak(counter, &used, used + 1));
    if (overflow)
        return used;
    after = used + 1;
    if (metrics_series(METRICS_OVERFLOW + used) != NULL)
        return METRICS_OVERFLOW + used;
    atomic_compare_exchange_strong(counter, &after, used);
    return -1;
}

static int64_t write_new(uint64_t family, const struct text *text, bool overflow, int64_t spare)
{
    int64_t number = spare >= 0 ? spare : reserve(overflow);
    struct series *fresh = number < 0 ? NULL : metrics_series((uint32_t)number);

    if (fresh == NULL)
        return -1;
    fresh->family = family;
    fresh->length = (uint32_t)text->length;
    memcpy(fresh->labels, text->bytes, text->length);
    fresh->labels[text->length] = '\0'; /* a spare one held another text */
    return number;
}

/* Finds the series or adds it. Slots are only ever filled, so two that add the same series
 * meet in the same slot: one wins, the other sees it there and keeps its reservation for
 * the next series it adds. */
static struct series *find(uint64_t family, const struct text *text, bool overflow)
{
    static _Thread_local int64_t spares[2] = {-1, -1};
    static _Thread_local unsigned spares_of;
    uint64_t at = hash_bytes(family, text->bytes, text->length);
    int64_t fresh = -1;

    at ^= at >> 32;
    if (spares_of != opened) {
        spares[0] = spares[1] = -1;
        spares_of = opened;
    }
    for (uint32_t probe = 0; probe < METRICS_INDEX_SIZE; probe++) {
        _Atomic uint32_t *slot = &region->index[(at + probe) & (METRICS_INDEX_SIZE - 1)];
        uint32_t number = atomic_load_explicit(slot, memory_order_acquire);
        struct series *there;

        if (number == 0 && fresh < 0) {
            fresh = write_new(family, text, overflow, spares[overflow]);
            spares[overflow] = -1;
            if (fresh < 0)
                return NULL;
        }
        if (number == 0 && atomic_compare_exchange_strong_explicit(
                               slot, &number, (uint32_t)fresh + 1, memory_order_acq_rel,
                               memory_order_acquire))
            return metrics_series((uint32_t)fresh);
        there = metrics_series(number - 1);
        if (there != NULL && is_series(there, family, text)) {
            spares[overflow] = fresh;
            return there;
        }
    }
    return NULL;
}

static struct series *series_of(enum metric metric, va_list *values)
{
    const struct metrics_family *family = &metrics_families[metric];
    struct series *series = NULL;
    struct text text;

    spell(family->labels, values, &text);
    if (!text.full)
        series = find(family->tag, &text, false);
    if (series == NULL) {
        spell(family->labels, NULL, &text);
        series = find(family->tag, &text, true);
    }
    return series;
}

void metrics_add(enum metric metric, uint64_t by, ...)
{
    struct series *series;
    va_list values;

    if (region == NULL)
        return;
    va_start(values, by);
    series = series_of(metric, &values);
    va_end(values);
    if (series != NULL)
        atomic_fetch_add_explicit(&series->value, by, memory_order_relaxed);
}

void metrics_set(enum metric metric, int64_t value, ...)
{
    struct series *series;
    va_list values;

    if (region == NULL)
        return;
    va_start(values, value);
    series = series_of(metric, &values);
    va_end(values);
    if (series != NULL)
        atomic_store_explicit(&series->value, (uint64_t)value, memory_order_relaxed);
}

void metrics_observe_us(enum metric metric, int64_t microseconds, ...)
{
    struct series *series;
    va_list values;
    int bucket = 0;

    if (region == NULL)
        return;
    va_start(values, microseconds);
    series = series_of(metric, &values);
    va_end(values);
    if (series == NULL)
        return;
    if (microseconds < 0)
        microseconds = 0;
    while (bucket < METRICS_BUCKETS && microseconds > metrics_bounds_us[bucket])
        bucket++;
    atomic_fetch_add_explicit(&series->value, (uint64_t)microseconds, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->buckets[bucket], 1, memory_order_relaxed);
}

void metrics_inflight(int change)
{
    if (own_slot != NULL)
        atomic_fetch_add_explicit(&own_slot->inflight, change, memory_order_relaxed);
}

void metrics_audit_queue(int length)
{
    if (own_slot != NULL)
        atomic_store_explicit(&own_slot->audit_queue, length, memory_order_relaxed);
}

void metrics_process_sums(int64_t *inflight, int64_t *audit_queue)
{
    *inflight = 0;
    *audit_queue = 0;
    for (int i = 0; i < METRICS_PROCESSES_MAX; i++) {
        struct process_slot *slot = &region->processes[i];

        if (!owner_lives(atomic_load(&slot->owner)))
            continue;
        *inflight += atomic_load(&slot->inflight);
        *audit_queue += atomic_load(&slot->audit_queue);
    }
}

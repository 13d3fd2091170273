/* SPDX-License-Identifier: MIT */
/* How metrics lie in shared memory. For the metrics_*.c files only.
 *
 * A series is written once (family, labels) before its number is put into the index, and
 * never changes or goes; after that only its atomics move. So a process may die anywhere:
 * at worst a reserved series stays unused.
 */
#ifndef AGW_STORE_METRICS_REGION_H
#define AGW_STORE_METRICS_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/metrics.h"

enum {
    METRICS_BUCKETS = 18,
    METRICS_INDEX_SIZE = 65536, /* power of two, about twice METRICS_SERIES_MAX */
    METRICS_OVERFLOW = 32,      /* "other" series, one a family */
    METRICS_CHUNKS = 6,         /* chunk k holds CHUNK_FIRST << k series */
    METRICS_CHUNK_FIRST = 512,
};
_Static_assert(METRICS_CHUNK_FIRST * ((1 << METRICS_CHUNKS) - 1) == METRICS_SERIES_MAX,
               "the chunks hold all series");
_Static_assert((int)METRIC_COUNT <= (int)METRICS_OVERFLOW, "each family has its overflow");

/* Upper bounds in microseconds; above the last is +Inf. */
extern const int64_t metrics_bounds_us[METRICS_BUCKETS];

struct series {
    uint64_t family;                  /* metrics_families[].tag */
    uint32_t length;
    char labels[METRICS_LABEL_MAX + 4]; /* as exposed: a="x",b="y" */
    _Atomic uint64_t value;           /* counter; gauge as int64; histogram: sum in us */
    _Atomic uint64_t buckets[METRICS_BUCKETS + 1]; /* not cumulative */
};

/* One live process. `owner` is pid and start time in one word, 0 = free. */
struct process_slot {
    _Atomic uint64_t owner;
    _Atomic int64_t inflight, audit_queue;
};

/* Series are numbered: first the overflow, then those of the chunks, which are regions of
 * their own, made when they are needed: disk blocks are reserved with a region. */
struct metrics_region {
    struct process_slot processes[METRICS_PROCESSES_MAX];
    _Atomic uint32_t used;                      /* series handed out of the chunks */
    _Atomic uint32_t overflow_used;
    _Atomic uint32_t index[METRICS_INDEX_SIZE]; /* series number + 1, 0 = free */
    struct series overflow[METRICS_OVERFLOW];
};

struct metrics_family {
    const char *name, *labels, *help;
    enum metric_type type;
    uint64_t tag; /* hash of name and labels: a region may outlive a program version */
};

extern struct metrics_family metrics_families[METRIC_COUNT];

/* NULL before metrics_open(). */
struct metrics_region *metrics_region(void);

/* The series of a number out of the index; NULL when its chunk cannot be mapped. */
struct series *metrics_series(uint32_t number);

/* Sums over the slots of processes that live. */
void metrics_process_sums(int64_t *inflight, int64_t *audit_queue);

/* The series of a family, sorted by labels; malloc'ed array, NULL when there is none or
 * memory is out (*failed). */
struct series **metrics_collect(enum metric metric, size_t *count, bool *failed);

/* Reads the next label of `*labels`: 1, its name (borrowed, with length) and its unescaped
 * value; 0 at the end. */
int metrics_next_label(const char **labels, const char **name, size_t *name_length,
                       char value[METRICS_LABEL_MAX + 1]);

#endif

/* SPDX-License-Identifier: MIT */
/* Inside of `struct upstreams`; for this floor only. */
#ifndef AGW_UPSTREAM_SET_H
#define AGW_UPSTREAM_SET_H

#include <stdatomic.h>

#include "upstream/entry.h"
#include "upstream/upstreams.h"

struct upstreams {
    pthread_mutex_t lock;   /* guards count, entries, checks */
    pthread_cond_t idle;    /* checks fell to 0 */
    size_t count;
    struct upstream_entry **entries; /* in the configuration's order */
    int checks;             /* health threads running */
    atomic_uint turn;       /* of the weighted choice, see select.c */
};

/* New references to all entries in a malloc'ed array (never NULL unless memory is out). */
struct upstream_entry **set_entries(struct upstreams *upstreams, size_t *count);
void set_release(struct upstream_entry **entries, size_t count);

#endif

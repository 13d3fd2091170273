/* SPDX-License-Identifier: MIT */
/* Recent discovery, security, tool and runtime errors, shared by all instances: the last
 * ERRORS_RING_MAX, oldest overwritten.
 */
#ifndef AGW_STORE_ERRORS_RING_H
#define AGW_STORE_ERRORS_RING_H

#include <jansson.h>
#include <stdint.h>

#include "store/store.h"

enum { ERRORS_RING_MAX = 500 };

struct error_entry {
    int64_t ts;             /* UTC ms */
    const char *component;  /* "security" "agents" "upstreams" "tools" "gateway" "runtime" */
    const char *kind;       /* "config" "runtime" "tool_violation" "discovery_import" ... */
    const char *severity;   /* "error" "warning" */
    const char *subject;    /* agent, upstream or file; may be NULL */
    const char *message;
    const char *request_id; /* may be NULL */
};

/* Own transaction. */
int errors_ring_add(struct store *store, const struct error_entry *entries, int count,
                    struct err *e);

/* Newest first, array of objects; new reference. */
int errors_ring_list(struct db *db, int limit, json_t **list, struct err *e);

#endif

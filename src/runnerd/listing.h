/* SPDX-License-Identifier: MIT */
/* The message `agents`: which agents the modules offer, what is wrong with them, and the state of
 * their processes. One thread.
 */
#ifndef AGW_RUNNERD_LISTING_H
#define AGW_RUNNERD_LISTING_H

#include <jansson.h>

#include "runnerd/modules.h"

/* What gateways are told besides. */
struct listing_watch {
    const char *state;  /* "started" "stopped" "disabled" */
    const char *reason; /* NULL = none */
};

/* Who makes the list. */
struct listing_runner {
    const char *socket;
    int64_t started_at; /* wall ms */
    bool is_complete;   /* it has tried to load all modules: a problem that is not listed is none */
};

/* New reference. */
json_t *listing_make(const struct modules *table, int64_t generation,
                     const struct listing_watch *watch, const struct listing_runner *runner);

/* The module of an agent that is listed, NULL = there is none. */
struct module *listing_find(const struct modules *table, const json_t *listing, const char *id);

#endif

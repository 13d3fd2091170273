/* SPDX-License-Identifier: MIT */
/* What the database knows that the nightly audit reports: rows as JSON arrays of objects. */
#ifndef AGW_STORE_NIGHTLY_FACTS_H
#define AGW_STORE_NIGHTLY_FACTS_H

#include <jansson.h>
#include <stdint.h>

#include "store/store.h"

enum nightly_fact {
    FACT_KEYS,      /* id, origin, roles, was_plaintext, allow_agents, since, expires, used (ms) */
    FACT_DENIALS,   /* since a time, by agent: agent, denials, keys */
    FACT_OVERRIDES, /* in force since a time: id, pattern, key_id, reason, created_by, created,
                       expires (ms), active, uses */
    FACT_RUNNING,   /* requests without an end: request_id, key_id, agent, began (ms) */
    FACT_CUT_OFF,   /* closed since a time after the death of their process: request_id, agent */
};

/* `now` is store_now(). A new array, or NULL and *e. */
json_t *nightly_facts(struct db *db, enum nightly_fact fact, int64_t since, int64_t now,
                      struct err *e);

#endif

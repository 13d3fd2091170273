/* SPDX-License-Identifier: MIT */
/* The agents that can be called, by id and by bare name, with what keeps the others from
 * being served. Derived from one configuration and one list of the runner, immutable, shared by
 * reference count.
 */
#ifndef AGW_AGENT_CATALOG_H
#define AGW_AGENT_CATALOG_H

#include "config/config.h"
#include "runner/dropins.h"
#include "util/arena.h"

struct catalog;

struct catalog_agent {
    const struct config_agent *spec; /* of agents.yaml, or of the drop-in that has no entry there */
    const struct dropin *dropin;     /* what the runner knows of it; NULL of a declarative one */
    bool available;
    const char *problem;             /* why not, NULL when available */
};

/* `dropins` NULL: the runner has told nothing yet. The catalog holds both. NULL: memory is out. */
struct catalog *catalog_new(struct config *config, struct dropins *dropins);
struct catalog *catalog_acquire(struct catalog *catalog);
void catalog_release(struct catalog **catalog);

/* By "namespace/name", or by a bare name when it is unique. NULL when there is none. */
const struct catalog_agent *catalog_find(const struct catalog *catalog, const char *name);

/* What is meant by a name that somebody gave: id and namespace, which decisions are made by.
 * Of an agent that does not exist (`agent` NULL) that is the name itself and what stands before
 * its slash, in the arena. 0 or AGW_ENOMEM. */
struct catalog_target {
    const struct catalog_agent *agent;
    const char *id, *ns;
};
int catalog_target(const struct catalog *catalog, const char *name, struct arena *arena,
                   struct catalog_target *target);

size_t catalog_count(const struct catalog *catalog);
const struct catalog_agent *catalog_at(const struct catalog *catalog, size_t index); /* by id */

#endif

/* SPDX-License-Identifier: MIT */
/* The agents that can be called, by id and by bare name, with what keeps the others from
 * being served. Derived from one configuration, immutable.
 */
#ifndef AGW_AGENT_CATALOG_H
#define AGW_AGENT_CATALOG_H

#include "config/config.h"

struct catalog;

struct catalog_agent {
    const struct config_agent *spec; /* into the configuration, which the catalog holds */
    bool available;
    const char *problem;             /* why not, NULL when available; static text */
};

struct catalog *catalog_new(struct config *config);
void catalog_free(struct catalog **catalog);

/* By "namespace/name", or by a bare name when it is unique. NULL when there is none. */
const struct catalog_agent *catalog_find(const struct catalog *catalog, const char *name);

size_t catalog_count(const struct catalog *catalog);
const struct catalog_agent *catalog_at(const struct catalog *catalog, size_t index); /* by id */

#endif

/* SPDX-License-Identifier: MIT */
/* What a command works on: configuration and database, opened when they are first asked for.
 * Every function returns CTL_FINE, or another exit status after it has said why.
 */
#ifndef AGW_CTL_CONTEXT_H
#define AGW_CTL_CONTEXT_H

#include "config/load.h"
#include "ctl/call.h"
#include "store/store.h"

enum context_access {
    CONTEXT_READ, /* no gate, nothing is created or migrated, store_revision() is 0 */
    CONTEXT_WRITE /* as the gateway opens it, but never makes a new database */
};

/* The name of gateway.yaml, as given or the default. */
const char *context_config_file(const struct call *call);

/* All configuration files, built as the gateway does; CTL_FINDING with all errors shown. Both
 * live as long as the context. `sources` may be NULL. */
int context_config(struct call *call, const struct config **config,
                   const struct config_sources **sources);

/* Only gateway.yaml: for what must work while another file is broken. */
int context_gateway(struct call *call, const struct config_gateway **gateway);

/* Who the configuration is in the database: the absolute path of gateway.yaml. */
int context_origin(struct call *call, const char **origin);

/* --database, or what the configuration (or GATEWAY_DATABASE) names. */
int context_database(struct call *call, const char **path);

/* The same store for every call; asking for CONTEXT_WRITE after CONTEXT_READ opens it anew, so
 * that what was acquired before must have been given back. */
int context_store(struct call *call, enum context_access access, struct store **store);

/* "cli:LOGIN": who changes are recorded of. Static. */
const char *context_actor(void);

/* Shows and frees what is wrong with the configuration; CTL_FAILED. */
int context_show_errors(struct config_errors *errors);

void context_close(struct call *call);

#endif

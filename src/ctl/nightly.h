/* SPDX-License-Identifier: MIT */
/* The nightly audit: looks at keys, grants, denials, the trail, the database and the files, and
 * says what somebody should look at. Changes nothing.
 *
 * The report is a JSON object: "timestamp", "version", "healthy", "counts" of the severities,
 * "security_findings" (severity, kind, subject, message), figures of the keys (total_api_keys,
 * hashed_api_keys ...), "overrides", "denials", "audit", "database", "requests".
 */
#ifndef AGW_CTL_NIGHTLY_H
#define AGW_CTL_NIGHTLY_H

#include <jansson.h>

#include "config/load.h"
#include "ctl/nightly_state.h"
#include "store/audit_verify.h"
#include "store/store.h"

enum { NIGHTLY_UNUSED_DAYS = 90 };

struct nightly_order {
    const struct config *config;      /* NULL: config_problem says why */
    const struct config_sources *sources; /* NULL without a configuration */
    const char *config_problem;
    struct store *store;              /* NULL: there is no database yet */
    const char *database;             /* its name; NULL = not known */
    const char *database_problem;     /* why it cannot be opened; NULL = it can, or is not there */
    bool counters;                    /* metrics_open() was called for this store */
    const struct nightly_state *last; /* of the last audit; NULL = there was none */
    bool full;                        /* the whole chain, and indexes against tables */
    int64_t since;                    /* UTC ms: denials, overrides and crashes since then */
    int64_t now;                      /* UTC ms */
    void (*progress)(void *arg, int64_t done, int64_t of); /* of the chain; may be NULL */
    void *arg;
};

struct nightly_result {
    json_t *report;             /* the caller's */
    bool healthy;               /* nothing of severity warning or critical */
    bool proved;                /* the trail holds: `next` may take the place of `last` */
    struct nightly_state next;
};

int nightly_audit(const struct nightly_order *order, struct nightly_result *result,
                  struct err *e);

#endif

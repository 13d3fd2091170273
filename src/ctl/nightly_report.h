/* SPDX-License-Identifier: MIT */
/* The report under way, shared by the files of the nightly audit. */
#ifndef AGW_CTL_NIGHTLY_REPORT_H
#define AGW_CTL_NIGHTLY_REPORT_H

#include "ctl/nightly.h"

enum nightly_severity { NIGHTLY_INFO, NIGHTLY_WARNING, NIGHTLY_CRITICAL, NIGHTLY_SEVERITIES };

struct nightly {
    const struct nightly_order *order;
    struct nightly_result *result;
    struct db *db;      /* NULL without a database */
    json_t *findings;
    int64_t counts[NIGHTLY_SEVERITIES];
    bool failed;        /* memory is out */
};

/* One more finding. `kind` is stable ("key.plaintext"); subject may be NULL. */
void nightly_find(struct nightly *n, enum nightly_severity severity, const char *kind,
                  const char *subject, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* report[name] = value, which is taken over; NULL: memory is out. */
void nightly_say(struct nightly *n, const char *name, json_t *value);

/* Keys: findings and figures. */
void nightly_keys(struct nightly *n);

/* The chain since last night, last night's head, and outcomes in rows and metrics. */
int nightly_trail(struct nightly *n, struct err *e);

#endif

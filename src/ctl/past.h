/* SPDX-License-Identifier: MIT */
/* The policy that a command asks about: in force, of the past, proposed, or as the files have
 * it. Functions return CTL_FINE, or another exit status after they have said why.
 */
#ifndef AGW_CTL_PAST_H
#define AGW_CTL_PAST_H

#include "agent/catalog.h"
#include "ctl/call.h"
#include "policy/history.h"

struct past {
    struct store *store; /* NULL: there is no database yet, the files are asked */
    struct db *db;
    struct history *history;
    int64_t now;         /* what is not asked about the past is asked about */
    bool from_files;     /* nothing is in force, or it was asked for */
};

/* With `files`, or when the configuration was never in force, the files take its place. */
int past_open(struct call *call, bool files, struct past *past);
void past_close(struct past *past);

/* The policy holds until the next call. */
int past_policy(struct past *past, const struct moment *moment, const struct policy **policy);
const struct catalog *past_catalog(const struct policy *policy);

/* Takes the text of a security.yaml in place of what was in force: "proposed". */
int past_propose_security(struct call *call, struct past *past, const char *file);

#endif

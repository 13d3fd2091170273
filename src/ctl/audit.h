/* SPDX-License-Identifier: MIT */
/* What the commands of the group `audit` share. */
#ifndef AGW_CTL_AUDIT_H
#define AGW_CTL_AUDIT_H

#include "ctl/context.h"
#include "ctl/progress.h"

/* A connection to be given back to *store. CTL_FINE, or the status after it was said why. */
int audit_open(struct call *call, enum context_access access, struct store **store,
               struct db **db);

/* Progress of the store's long work; `arg` is a struct progress. */
void audit_show_progress(void *arg, int64_t done, int64_t of);

#endif

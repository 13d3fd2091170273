/* SPDX-License-Identifier: MIT */
/* Puts a configuration on record: its sources by content hash, its keys as rows, and what
 * became of a reload. Any thread.
 */
#ifndef AGW_POLICY_REGISTER_H
#define AGW_POLICY_REGISTER_H

#include "config/load.h"
#include "store/store.h"

/* policy_register() of policy/state.h is implemented here. */

/* The sources of a generation back; the caller frees them. AGW_ENOTFOUND. */
int register_sources(struct db *db, int64_t generation, struct config_sources *sources,
                     struct err *e);

/* Logs `config.reloaded` or `config.rejected`, counts it, appends the audit row of the same
 * name, and puts every error into the errors ring. `config` is NULL when it was not built;
 * `e` is looked at when `status` is not 0. */
void register_report(struct store *store, const char *component, const char *by, int status,
                     const struct config *config, const struct config_errors *errors,
                     const struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/* Warns of files with secrets, or with the audit trail, that every user of the host may read. */
#ifndef AGW_GATEWAY_FILE_MODES_H
#define AGW_GATEWAY_FILE_MODES_H

#include "config/load.h"
#include "store/store.h"

/* For each file that config/exposure.h finds: a line `security.file_mode` in the log and an
 * entry in the errors ring. The start goes on: an operator must not be locked out by a mode.
 * Returns how many there are. */
int file_modes_check(struct store *store, const char *database,
                     const struct config_sources *sources);

#endif

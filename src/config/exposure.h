/* SPDX-License-Identifier: MIT */
/* Which files with secrets, or with the audit trail, every user of the host may read. */
#ifndef AGW_CONFIG_EXPOSURE_H
#define AGW_CONFIG_EXPOSURE_H

#include "config/load.h"

/* Looks at the database and at the files that may hold keys (security, upstreams, tools), and
 * calls found(arg, path, message) for each that others may read. Returns how many. Either of
 * `database` and `sources` may be NULL. */
int exposure_find(const char *database, const struct config_sources *sources,
                  void (*found)(void *arg, const char *path, const char *message), void *arg);

#endif

/* SPDX-License-Identifier: MIT */
/* Which modules may be loaded at all, by security.yaml: asked before any code of theirs runs.
 * Pure; any thread.
 */
#ifndef AGW_RUNNERD_ALLOW_H
#define AGW_RUNNERD_ALLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* A denylist that matches (of the namespace or the default one) beats all; else an allowlist has
 * to match: that of the namespace if it has one, otherwise the default one. `why`: the rule that
 * forbids it. */
bool allow_module(const struct config_security *security, const char *ns, const char *module,
                  char *why, size_t size);

#endif

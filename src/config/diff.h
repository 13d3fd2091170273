/* SPDX-License-Identifier: MIT */
/* What differs between two sets of configuration files, option by option as they are written,
 * without looking at the environment. Any thread.
 */
#ifndef AGW_CONFIG_DIFF_H
#define AGW_CONFIG_DIFF_H

#include "config/load.h"

/* An array, in the order of the option table, of
 *   {"component": "security", "object": "key", "id": "dev", "change": "changed",
 *    "fields": [{"field": "allow_agents", "before": ["*"], "after": [], "hidden": false,
 *                "restart": false}]}
 * `object` is "key", "agent", "upstream", "tool", "namespace" (added, removed or changed), or
 * "options" with the id null for what is in no list. A field that is absent has its default,
 * or null. The values of hidden fields, which may hold secrets, are null; `restart` says that
 * a reload is not enough. Two texts that mean the same (`5` and "5") are the same.
 *
 * Plaintext keys of security.yaml are compared by their hashes. AGW_ECONFIG when a file is no
 * YAML. */
int diff_sources(const struct config_sources *before, const struct config_sources *after,
                 json_t **changes, struct err *e);

#endif

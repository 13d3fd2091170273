/* SPDX-License-Identifier: MIT */
/* What the API keeps beside each configuration: the catalog of agents and when each key was
 * last used. Travels with the policy snapshot (policy/state.h). */
#ifndef AGW_API_DERIVE_H
#define AGW_API_DERIVE_H

#include "agent/catalog.h"
#include "policy/state.h"
#include "runner/link.h"
#include "tools/toolset.h"
#include "upstream/chat_call.h"

/* What takes over its part of each configuration that is published. */
struct derive_targets {
    struct upstreams *upstreams;
    struct toolset *toolset;
    struct link *link;
};

/* The hooks for policy_state_open(); the targets must outlive the state. */
void derive_hooks(struct derive_targets *targets, struct policy_hooks *hooks);

/* With one more user; as new as the runner's last list. */
struct catalog *derive_catalog(const struct policy *policy, struct link *link);

/* Remembers that `key` (of `policy`) was used at `now`; lock-free. */
void derive_note_used(const struct policy *policy, const struct config_key *key, int64_t now);

/* Writes what was noted since the last call to the database. For housekeeping. */
int derive_flush_used(struct store *store, const struct policy *policy, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/* What this process knows of the policy: configuration, key index and overrides of one
 * revision, immutable and shared by reference count. policy_acquire() compares one number
 * and reads anew when it differs, so every request sees what was answered before it began.
 */
#ifndef AGW_POLICY_STATE_H
#define AGW_POLICY_STATE_H

#include "config/config.h"
#include "config/load.h"
#include "policy/authenticate.h"
#include "policy/tally.h"
#include "store/overrides.h"
#include "store/store.h"

struct policy_state; /* per process: the current snapshot */

/* One revision. Everything in it is const while it is held. */
struct policy {
    struct config *config;
    const struct key_index *keys;   /* of both kinds; policy/authenticate.h */
    const struct key_set *runtime;  /* the keys made at run time */
    void *derived;                  /* what the hooks made of `config` */
    struct override_list overrides; /* active at load; decide_agent() checks the time again */
    uint64_t revision;
};

/* What upper floors derive from a configuration (the catalog of agents, the upstreams):
 * `derive` runs before a new configuration is published (also on trial), has no side effect,
 * and NULL with *e set keeps the old one; its result travels with the snapshot and `drop`
 * frees it after the last user. `publish` runs once when the configuration becomes this
 * process's current one. */
struct policy_hooks {
    void *(*derive)(void *arg, struct config *config, struct err *e);
    void (*drop)(void *derived);
    void (*publish)(void *arg, const struct config *config);
    void *arg;
    struct tally *tally; /* knows which grants are spent; NULL = only what the rows say */
};

/* Stores `config` (built from `sources`) in the database, makes it current for `origin`,
 * mirrors its keys and sets config->generation. For the supervisor's start; reloads do it
 * themselves. AGW_ECONFIG with its *errors when keys of the file clash with run-time keys. */
int policy_register(struct store *store, const char *origin,
                    const struct config_sources *sources, struct config *config,
                    struct config_errors *errors, struct err *e);

/* `config` (one reference is taken over; its generation is set) is what this process starts
 * with. `origin` as in store/configurations.h: the path of gateway.yaml. */
int policy_state_open(struct store *store, const char *origin, struct config *config,
                      const struct policy_hooks *hooks, struct policy_state **state,
                      struct err *e);
void policy_state_close(struct policy_state **state);

/* The current policy, refreshed if the revision moved. AGW_ESTORE when it cannot be read
 * (fail closed). */
int policy_acquire(struct policy_state *state, struct policy **policy, struct err *e);
void policy_release(struct policy **policy);

/* The key with this id, whether it stands in the file or was made at run time; NULL when there
 * is none. Revoked keys are none; one that has expired may still be known. */
const struct config_key *policy_find_key(const struct policy *policy, const char *id);

/* Reads the file of `component` anew (CONFIG_COMPONENTS: all files), keeps the rest as it
 * runs, builds, registers and publishes: the reload of SIGHUP and of the refresh endpoints.
 * So a broken agents.yaml cannot hold up an urgent security.yaml. Either all of it takes
 * effect in every worker or nothing. On AGW_ECONFIG *errors lists what is wrong (the caller
 * frees it); logging, counting, the audit row and the errors ring are done here. `by` is the
 * key id that asked, or NULL. */
int policy_reload(struct policy_state *state, enum config_component component, const char *by,
                  int64_t *generation, struct config_errors *errors, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/* Keeps this process's view of the policy as new as the database's. */
#include "policy/state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "policy/budget.h"
#include "policy/register.h"
#include "store/configurations.h"
#include "store/metrics.h"
#include "util/log.h"
#include "util/permit.h"

/* A configuration and what was derived from it; shared by the snapshots of one generation. */
struct basis {
    _Atomic int users;
    struct config *config;
    void *derived;
    void (*drop)(void *derived);
};

/* Who may ask: the keys of a configuration and those made at run time. Shared by snapshots
 * that have both in common, since it takes a while to build. */
struct keyring {
    _Atomic int users;
    struct key_set *set;
    struct key_index *index;
};

/* What policy_acquire() hands out: `policy` comes first, so one pointer serves for both. */
struct snapshot {
    struct policy policy;
    _Atomic int users;
    struct basis *basis;
    struct keyring *keyring;
};

struct policy_state {
    struct store *store;
    char *origin;
    struct policy_hooks hooks;
    pthread_mutex_t lock;        /* guards what follows */
    struct snapshot *current;
    int64_t refused_generation;  /* could not be built here; not tried again and again */
};

static void basis_release(struct basis *basis)
{
    if (basis == NULL || atomic_fetch_sub(&basis->users, 1) > 1)
        return;
    if (basis->derived != NULL)
        basis->drop(basis->derived);
    config_release(&basis->config);
    free(basis);
}

/* Takes over the reference to `config`, also on failure. */
static int basis_new(const struct policy_hooks *hooks, struct config *config,
                     struct basis **basis, struct err *e)
{
    struct basis *b = calloc(1, sizeof *b);

    *basis = NULL;
    if (b == NULL) {
        config_release(&config);
        return err_set(e, AGW_ENOMEM, "policy");
    }
    atomic_init(&b->users, 1);
    b->config = config;
    b->drop = hooks->drop;
    b->derived = hooks->derive(hooks->arg, config, e);
    if (b->derived == NULL) {
        basis_release(b);
        return e->code;
    }
    *basis = b;
    return 0;
}

static void keyring_release(struct keyring *keyring)
{
    if (keyring == NULL || atomic_fetch_sub(&keyring->users, 1) > 1)
        return;
    authenticate_index_free(&keyring->index);
    key_set_release(&keyring->set);
    free(keyring);
}

/* `running` again when it is about the same keys. Takes over the reference to `set`. */
static int keyring_new(const struct basis *basis, struct key_set *set,
                       const struct snapshot *running, struct keyring **keyring, struct err *e)
{
    struct keyring *k;

    if (running->keyring != NULL && running->basis == basis && running->keyring->set == set) {
        key_set_release(&set);
        atomic_fetch_add(&running->keyring->users, 1);
        *keyring = running->keyring;
        return 0;
    }
    k = calloc(1, sizeof *k);
    if (k != NULL)
        k->index = authenticate_index_new(&basis->config->security, set);
    if (k == NULL || k->index == NULL) {
        key_set_release(&set);
        free(k);
        return err_set(e, AGW_ENOMEM, "key index");
    }
    atomic_init(&k->users, 1);
    k->set = set;
    *keyring = k;
    return 0;
}

static void snapshot_release(struct snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->users, 1) > 1)
        return;
    override_list_clear(&snapshot->policy.overrides);
    keyring_release(snapshot->keyring);
    basis_release(snapshot->basis);
    free(snapshot);
}

static int stored_sources(struct policy_state *state, int64_t generation,
                          struct config_sources *sources, struct err *e)
{
    struct db *db = store_acquire(state->store, e);
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = register_sources(db, generation, sources, e);
    store_release(state->store, db);
    return status;
}

/* Builds the configuration of `generation` from its stored sources. */
static int load_generation(struct policy_state *state, int64_t generation,
                           struct basis **basis, struct err *e)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    struct config *config = NULL;
    int status = stored_sources(state, generation, &sources, e);

    if (status == 0 && config_build(&sources, &config, &errors) != 0) {
        char *problems = config_errors_text(&errors);

        status = err_set(e, config_errors_memory(&errors) ? AGW_ENOMEM : AGW_ECONFIG,
                         "generation %lld: %s", (long long)generation,
                         problems == NULL ? "?" : problems);
        free(problems);
    }
    config_errors_free(&errors);
    config_sources_free(&sources);
    if (status != 0)
        return status;
    config->generation = generation;
    return basis_new(&state->hooks, config, basis, e);
}

static void publish(struct policy_state *state, const struct config *config)
{
    metrics_set(METRIC_CONFIG_GENERATION, config->generation);
    state->hooks.publish(state->hooks.arg, config);
}

/* The basis for the generation that is current now: the running one, or a new one. One that
 * is not valid here leaves the running one; one that cannot be read now is an error, for the
 * old one may grant what the new one takes back. */
static int current_basis(struct policy_state *state, struct db *db, struct basis **basis,
                         struct err *e)
{
    struct basis *running = state->current->basis;
    int64_t generation;
    int status = configurations_current(db, state->origin, &generation, e);

    if (status != 0)
        return status;
    if (generation != running->config->generation && generation != 0 &&
        generation != state->refused_generation) {
        status = load_generation(state, generation, basis, e);
        if (status == 0)
            publish(state, (*basis)->config);
        if (status != AGW_ECONFIG)
            return status;
        state->refused_generation = generation;
        log_message(LOG_ERROR, "config.rejected", "%s", e->message);
    }
    atomic_fetch_add(&running->users, 1);
    *basis = running;
    return 0;
}

static int current_keyring(struct policy_state *state, struct db *db,
                           const struct basis *basis, struct keyring **keyring, struct err *e)
{
    const struct snapshot *running = state->current;
    struct key_set *set = running->keyring == NULL ? NULL : running->keyring->set;
    int status = key_set_read(db, store_now(state->store), set, &set, e);

    return status == 0 ? keyring_new(basis, set, running, keyring, e) : status;
}

static int fill_snapshot(struct policy_state *state, struct db *db, struct snapshot *fresh,
                         struct err *e)
{
    struct policy *policy = &fresh->policy;
    int status = current_basis(state, db, &fresh->basis, e);

    if (status == 0)
        status = current_keyring(state, db, fresh->basis, &fresh->keyring, e);
    if (status == 0)
        status = overrides_list(db, store_now(state->store), 0, &policy->overrides, e);
    if (status == 0 && state->hooks.tally != NULL)
        status = budget_watch(state->hooks.tally, &policy->overrides, e);
    if (status != 0)
        return status;
    policy->config = fresh->basis->config;
    policy->derived = fresh->basis->derived;
    policy->keys = fresh->keyring->index;
    policy->runtime = fresh->keyring->set;
    return 0;
}

/* The revision is read first: what changes while we read is read again next time. */
static int refresh(struct policy_state *state, struct err *e)
{
    uint64_t revision = store_revision(state->store);
    struct snapshot *fresh = calloc(1, sizeof *fresh);
    struct db *db = store_acquire(state->store, e);
    int status = AGW_ESTORE;

    if (fresh != NULL)
        atomic_init(&fresh->users, 1);
    if (fresh != NULL && db != NULL)
        status = fill_snapshot(state, db, fresh, e);
    else if (db != NULL) /* else it is told why not */
        status = err_set(e, AGW_ENOMEM, "policy");
    if (db != NULL)
        store_release(state->store, db);
    if (status == 0) {
        fresh->policy.revision = revision;
        snapshot_release(state->current);
        state->current = fresh;
    } else {
        snapshot_release(fresh);
    }
    return status;
}

int policy_state_open(struct store *store, const char *origin, struct config *config,
                      const struct policy_hooks *hooks, struct policy_state **out,
                      struct err *e)
{
    struct policy_state *state = calloc(1, sizeof *state);
    struct snapshot *first = calloc(1, sizeof *first);
    int status = AGW_ENOMEM;

    *out = NULL;
    if (state == NULL || first == NULL || (state->origin = strdup(origin)) == NULL) {
        config_release(&config);
        err_set(e, AGW_ENOMEM, "policy");
        goto fail;
    }
    state->store = store;
    state->hooks = *hooks;
    pthread_mutex_init(&state->lock, NULL);
    atomic_init(&first->users, 1);
    status = basis_new(hooks, config, &first->basis, e);
    if (status != 0)
        goto fail;
    first->policy.config = first->basis->config;
    publish(state, first->policy.config);
    state->current = first;
    first = NULL;
    status = refresh(state, e);
    if (status != 0)
        goto fail;
    *out = state;
    return 0;
fail:
    free(first);
    if (state != NULL)
        policy_state_close(&state);
    return status;
}

void policy_state_close(struct policy_state **state)
{
    if (*state == NULL)
        return;
    snapshot_release((*state)->current);
    pthread_mutex_destroy(&(*state)->lock);
    free((*state)->origin);
    free(*state);
    *state = NULL;
}

int policy_acquire(struct policy_state *state, struct policy **policy, struct err *e)
{
    int status = 0;

    *policy = NULL;
    permit_lock(&state->lock); /* reading anew may wait for the gate */
    if (store_revision(state->store) != state->current->policy.revision)
        status = refresh(state, e);
    if (status == 0) {
        atomic_fetch_add(&state->current->users, 1);
        *policy = &state->current->policy;
    }
    pthread_mutex_unlock(&state->lock);
    return status;
}

void policy_release(struct policy **policy)
{
    if (*policy != NULL)
        snapshot_release((struct snapshot *)*policy);
    *policy = NULL;
}

const struct config_key *policy_find_key(const struct policy *policy, const char *id)
{
    return authenticate_find_id(policy->keys, id);
}

/* The sources to build from: all files as they are, or the running ones with one file read
 * anew. */
static int gather(struct policy_state *state, enum config_component component,
                  const struct policy *running, struct config_sources *sources,
                  struct config_errors *errors, struct err *e)
{
    struct config_sources fresh = {0};
    struct config_source swapped;
    int status = config_sources_read(state->origin, &fresh, errors);

    if (status != 0) {
        config_sources_free(&fresh);
        return err_set(e, status, "%zu errors", errors->count);
    }
    if (component == CONFIG_COMPONENTS) {
        *sources = fresh;
        return 0;
    }
    status = stored_sources(state, running->config->generation, sources, e);
    if (status == 0) {
        swapped = sources->component[component];
        sources->component[component] = fresh.component[component];
        fresh.component[component] = swapped;
    }
    config_sources_free(&fresh);
    return status;
}

/* Builds, and tries what upper floors make of it, before anybody is told. */
static int build_on_trial(struct policy_state *state, const struct config_sources *sources,
                          struct config **config, struct config_errors *errors, struct err *e)
{
    struct basis *trial = NULL;
    int status = config_build(sources, config, errors);

    if (status != 0)
        return err_set(e, status, "%zu errors", errors->count);
    status = basis_new(&state->hooks, config_acquire(*config), &trial, e);
    basis_release(trial);
    return status;
}

int policy_reload(struct policy_state *state, enum config_component component, const char *by,
                  int64_t *generation, struct config_errors *errors, struct err *e)
{
    struct config_sources sources = {0};
    struct config *config = NULL;
    struct policy *policy = NULL;
    struct err later;
    int status = policy_acquire(state, &policy, e);

    if (status != 0)
        return status;
    status = gather(state, component, policy, &sources, errors, e);
    if (status == 0)
        status = build_on_trial(state, &sources, &config, errors, e);
    if (status == 0)
        status = policy_register(state->store, state->origin, &sources, config, errors, e);
    if (status == 0) {
        *generation = config->generation;
        policy_release(&policy);
        (void)policy_acquire(state, &policy, &later); /* if not now, with the next request */
    }
    config_sources_free(&sources); /* keys may stand in them: whoever reads the report finds none */
    register_report(state->store, component == CONFIG_COMPONENTS
                                      ? "all" : config_component_names[component],
                    by, status, config, errors, e);
    policy_release(&policy);
    config_release(&config);
    return status;
}

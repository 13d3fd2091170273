/* SPDX-License-Identifier: MIT */
/* Builds what requests need from each new configuration. */
#include "api/derive.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/keys.h"
#include "util/log.h"

enum { PUBLISH_TRIES = 50, PUBLISH_PAUSE_US = 20000, PUBLISH_EXIT = 3 };

struct derived {
    struct config *config;      /* borrowed: it lives longer */
    pthread_mutex_t lock;       /* guards the catalog, */
    struct catalog *catalog;
    uint64_t serial;            /* ... and which of the runner's lists it was made of */
    _Atomic int64_t *last_used; /* one a key of the configuration; 0 = nothing to write */
};

static void drop(void *arg)
{
    struct derived *d = arg;

    catalog_release(&d->catalog);
    pthread_mutex_destroy(&d->lock);
    free(d->last_used);
    free(d);
}

static void *derive(void *arg, struct config *config, struct err *e)
{
    const struct derive_targets *targets = arg;
    struct derived *d = calloc(1, sizeof *d);

    if (d != NULL) {
        uint64_t serial;
        struct dropins *dropins = link_dropins(targets->link, &serial);

        pthread_mutex_init(&d->lock, NULL);
        d->config = config;
        d->catalog = catalog_new(config, dropins);
        d->serial = serial;
        dropins_release(&dropins);
        d->last_used = calloc(config->security.key_count + 1, sizeof *d->last_used);
    }
    if (d == NULL || d->catalog == NULL || d->last_used == NULL) {
        if (d != NULL)
            drop(d);
        err_set(e, AGW_ENOMEM, "catalog");
        return NULL;
    }
    return d;
}

/* It is too late to keep the old configuration, and the new one without its upstreams and tools
 * would refuse every request: when memory stays out, the process that follows reads all anew. */
static void publish(void *arg, const struct config *config)
{
    const struct derive_targets *targets = arg;
    struct config *shared = (struct config *)(uintptr_t)config; /* to count one more user */
    struct err problem;

    log_set_level((enum log_level)config->gateway.log_level);
    for (int i = 0; i < PUBLISH_TRIES; i++) {
        if (upstreams_update(targets->upstreams, config, &problem) == 0 &&
            toolset_update(targets->toolset, shared, &problem) == 0 &&
            link_update(targets->link, config, &problem) == 0)
            return;
        usleep(PUBLISH_PAUSE_US);
    }
    log_message(LOG_ERROR, "worker.failed", "upstreams, tools and runner: %s", problem.message);
    _exit(PUBLISH_EXIT);
}

void derive_hooks(struct derive_targets *targets, struct policy_hooks *hooks)
{
    *hooks = (struct policy_hooks){
        .derive = derive, .drop = drop, .publish = publish, .arg = targets};
}

/* Under the lock. When memory is out the one before has to do, until the next request. */
static void renew_catalog(struct derived *d, struct link *link)
{
    uint64_t serial;
    struct dropins *dropins = link_dropins(link, &serial);
    struct catalog *fresh = catalog_new(d->config, dropins);

    dropins_release(&dropins);
    if (fresh == NULL)
        return;
    catalog_release(&d->catalog);
    d->catalog = fresh;
    d->serial = serial;
}

struct catalog *derive_catalog(const struct policy *policy, struct link *link)
{
    struct derived *d = policy->derived;
    struct catalog *catalog;

    pthread_mutex_lock(&d->lock);
    if (d->serial != link_serial(link))
        renew_catalog(d, link);
    catalog = catalog_acquire(d->catalog);
    pthread_mutex_unlock(&d->lock);
    return catalog;
}

void derive_note_used(const struct policy *policy, const struct config_key *key, int64_t now)
{
    const struct key_set *set = policy->runtime;
    const struct derived *d = policy->derived;
    _Atomic int64_t *last_used = key_set_has(set, key)
                                     ? &set->last_used[key - set->keys]
                                     : &d->last_used[key - policy->config->security.keys];

    atomic_store_explicit(last_used, now, memory_order_relaxed);
}

/* Adds those of `keys` that were used since the last time. */
static size_t take_used(const struct config_key *keys, _Atomic int64_t *last_used, size_t count,
                        const char **ids, int64_t *at)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        at[used] = atomic_exchange(&last_used[i], 0);
        ids[used] = keys[i].id;
        used += at[used] != 0;
    }
    return used;
}

int derive_flush_used(struct store *store, const struct policy *policy, struct err *e)
{
    const struct config_security *security = &policy->config->security;
    const struct derived *d = policy->derived;
    const struct key_set *set = policy->runtime;
    size_t all = security->key_count + set->count + 1, count = 0;
    const char **ids = calloc(all, sizeof *ids);
    int64_t *at = calloc(all, sizeof *at);
    int status = 0;

    if (ids == NULL || at == NULL) {
        status = err_set(e, AGW_ENOMEM, "key uses");
        goto out;
    }
    count = take_used(security->keys, d->last_used, security->key_count, ids, at);
    count += take_used(set->keys, set->last_used, set->count, ids + count, at + count);
    if (count > 0)
        status = keys_note_used(store, ids, at, count, e);
out:
    free(ids);
    free(at);
    return status;
}

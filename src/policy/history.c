/* SPDX-License-Identifier: MIT */
/* Puts the policy of a moment together again. */
#include "policy/history.h"

#include <stdlib.h>
#include <string.h>

#include "policy/register.h"
#include "store/configurations.h"
#include "store/usage.h"

enum { CONFIGS_MAX = 32 }; /* kept at once: a batch asks for some of them again and again */

struct known {
    struct config *config;
    struct key_set *runtime; /* those of `keys`; one of the moments that were asked for */
    struct key_index *keys;
    void *derived;
};

struct history {
    struct db *db;
    char *origin;
    struct policy_hooks hooks;
    struct key_list ever;        /* every run-time key; owns the texts */
    struct key_set *runtime;     /* the ones from `from` until `until` */
    int64_t from, until;
    struct override_list all;    /* every override; owns the texts */
    struct override_list active; /* of the moment; borrows them */
    struct known known[CONFIGS_MAX], proposed;
    size_t count, next;          /* of `known`; which one goes when a further one comes */
    struct policy policy;
};

static void forget(struct history *h, struct known *known)
{
    if (known->derived != NULL)
        h->hooks.drop(known->derived);
    authenticate_index_free(&known->keys);
    key_set_release(&known->runtime);
    config_release(&known->config);
    memset(known, 0, sizeof *known);
}

int history_open(struct db *db, const char *origin, const struct policy_hooks *hooks,
                 struct history **history, struct err *e)
{
    struct history *h = calloc(1, sizeof *h);
    int status;

    *history = NULL;
    if (h == NULL || (h->origin = strdup(origin)) == NULL) {
        free(h);
        return err_set(e, AGW_ENOMEM, "history");
    }
    h->db = db;
    h->hooks = *hooks;
    status = db == NULL ? 0 : overrides_list(db, 0, 1, &h->all, e);
    if (status == 0 && db != NULL)
        status = keys_ever(db, &h->ever, e);
    if (status == 0) {
        h->active.items = calloc(h->all.count + 1, sizeof *h->active.items);
        if (h->active.items == NULL)
            status = err_set(e, AGW_ENOMEM, "history");
    }
    if (status != 0)
        history_close(&h);
    *history = h;
    return status;
}

void history_close(struct history **history)
{
    struct history *h = *history;

    if (h == NULL)
        return;
    for (size_t i = 0; i < h->count; i++)
        forget(h, &h->known[i]);
    forget(h, &h->proposed);
    key_set_release(&h->runtime);
    key_list_clear(&h->ever);
    free(h->active.items); /* its texts are those of `all` */
    override_list_clear(&h->all);
    free(h->origin);
    free(h);
    *history = NULL;
}

/* Takes over the reference to `config`. */
static int remember(struct history *h, struct config *config, struct known *known,
                    struct err *e)
{
    known->config = config;
    known->derived = h->hooks.derive(h->hooks.arg, config, e);
    if (known->derived != NULL)
        return 0;
    forget(h, known);
    return err_set(e, AGW_ENOMEM, "history");
}

int history_propose(struct history *h, struct config *config, struct err *e)
{
    forget(h, &h->proposed);
    return remember(h, config, &h->proposed, e);
}

static int read_generation(struct history *h, int64_t generation, struct config **config,
                           struct err *e)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    int status = register_sources(h->db, generation, &sources, e);

    if (status == 0 && config_build_policy(&sources, config, &errors) != 0) {
        char *problems = config_errors_text(&errors);

        status = err_set(e, config_errors_memory(&errors) ? AGW_ENOMEM : AGW_ECONFIG,
                         "generation %lld is not understood any more: %s",
                         (long long)generation, problems == NULL ? "?" : problems);
        free(problems);
    }
    config_errors_free(&errors);
    config_sources_free(&sources);
    if (status == 0)
        (*config)->generation = generation;
    return status;
}

static int find_generation(struct history *h, int64_t generation, struct known **found,
                           struct err *e)
{
    struct known *known;
    struct config *config;
    int status;

    for (size_t i = 0; i < h->count; i++)
        if (h->known[i].config != NULL && h->known[i].config->generation == generation) {
            *found = &h->known[i];
            return 0;
        }
    status = read_generation(h, generation, &config, e);
    if (status != 0)
        return status;
    known = &h->known[h->next];
    forget(h, known);
    status = remember(h, config, known, e);
    if (status != 0)
        return status;
    h->next = (h->next + 1) % CONFIGS_MAX;
    if (h->count < CONFIGS_MAX)
        h->count++;
    *found = known;
    return 0;
}

static int find_config(struct history *h, const struct moment *moment,
                       struct known **found, struct err *e)
{
    int64_t generation = moment->generation;
    int status = 0;

    *found = &h->proposed;
    if (h->proposed.config != NULL)
        return 0;
    if (generation == 0 && h->db != NULL)
        status = configurations_at(h->db, h->origin, moment->at, &generation, e);
    if (status == 0 && generation == 0)
        status = err_set(e, AGW_ENOTFOUND, "no configuration of %s was in force then",
                         h->origin);
    return status != 0 ? status : find_generation(h, generation, found, e);
}

/* Ends that had not come yet are not known of. */
static bool was_active(const struct override *o, int64_t at)
{
    return o->created_at <= at && at < o->expires_at &&
           (o->revoked_at == 0 || at < o->revoked_at) &&
           (o->expired_at == 0 || at < o->expired_at);
}

static bool is_named(const json_t *ids, const char *id)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *one = json_string_value(json_array_get(ids, i));

        if (one != NULL && strcmp(one, id) == 0)
            return true;
    }
    return false;
}

static int list_active(struct history *h, const struct moment *moment, struct err *e)
{
    int status = 0;

    h->active.count = 0;
    for (size_t i = 0; i < h->all.count && status == 0; i++) {
        struct override *o = &h->active.items[h->active.count];

        if (!was_active(&h->all.items[i], moment->at))
            continue;
        *o = h->all.items[i];
        o->revoked_at = o->expired_at = 0;
        h->active.count++;
        if (o->used_up_at != 0 && o->used_up_at <= moment->at)
            continue;
        o->used_up_at = 0;
        if (is_named(moment->used_up, o->id))
            o->uses = o->max_uses;
        else if (o->max_uses > 0)
            status = usage_override(h->db, o->id, &(struct usage_before){moment->seq, moment->at},
                                    &o->uses, e);
    }
    return status;
}

/* Makes known->keys the index of the configuration's keys and the run-time keys of then. */
static int find_keys(struct history *h, struct known *known, int64_t at, struct err *e)
{
    int status = 0;

    if (h->runtime == NULL || at < h->from || at >= h->until) {
        key_set_release(&h->runtime);
        status = key_set_as_of(&h->ever, at, &h->runtime, &h->from, &h->until, e);
    }
    if (status != 0 || known->runtime == h->runtime)
        return status;
    authenticate_index_free(&known->keys);
    key_set_release(&known->runtime);
    known->keys = authenticate_index_new(&known->config->security, h->runtime);
    if (known->keys == NULL)
        return err_set(e, AGW_ENOMEM, "history");
    known->runtime = key_set_acquire(h->runtime);
    return 0;
}

int history_at(struct history *h, const struct moment *moment, const struct policy **policy,
               struct err *e)
{
    struct known *known = NULL;
    int status = find_config(h, moment, &known, e);

    if (status == 0)
        status = find_keys(h, known, moment->at, e);
    if (status != 0)
        return status;
    status = list_active(h, moment, e);
    if (status != 0)
        return status;
    h->policy = (struct policy){.config = known->config, .keys = known->keys,
                                .runtime = known->runtime,
                                .derived = known->derived, .overrides = h->active};
    *policy = &h->policy;
    return 0;
}

int history_active(struct history *h, const struct moment *moment,
                   const struct override_list **list, struct err *e)
{
    *list = &h->active;
    return list_active(h, moment, e);
}

const struct override_list *history_overrides(const struct history *h)
{
    return &h->all;
}

const struct key_list *history_keys(const struct history *h)
{
    return &h->ever;
}

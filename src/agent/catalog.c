/* SPDX-License-Identifier: MIT */
/* Knows every agent by its names. */
#include "agent/catalog.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

struct catalog {
    _Atomic int users;
    struct config *config;
    struct dropins *dropins;
    size_t count;
    struct catalog_agent *agents;         /* by id */
    const struct catalog_agent **by_name; /* by bare name */
};

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct catalog_agent *const *)a)->spec->name,
                  (*(const struct catalog_agent *const *)b)->spec->name);
}

static struct catalog_agent hosted(const struct config_agent *spec, const struct dropin *dropin)
{
    return (struct catalog_agent){.spec = spec, .dropin = dropin,
                                  .available = dropin->available, .problem = dropin->problem};
}

static struct catalog_agent configured(const struct config_agent *spec,
                                       const struct dropins *dropins)
{
    const struct dropin *dropin = dropins_find(dropins, spec->id);

    if (spec->kind != AGENT_SDK)
        return (struct catalog_agent){.spec = spec, .available = true};
    if (dropin != NULL)
        return hosted(spec, dropin);
    return (struct catalog_agent){
        .spec = spec, .problem = dropins == NULL
                                     ? "the agent runner, which hosts it, has not told of it yet"
                                     : "the agent runner does not have it"};
}

/* Both lists are sorted by id. An agent of agents.yaml comes before a drop-in of its name. */
static void merge(struct catalog *c)
{
    size_t listed = 0, dropin_count = c->dropins == NULL ? 0 : c->dropins->count;
    const struct dropin *list = c->dropins == NULL ? NULL : c->dropins->list;

    for (size_t i = 0; i < c->config->agent_count; i++) {
        const struct config_agent *agent = &c->config->agents[i];

        for (; listed < dropin_count && strcmp(list[listed].spec.id, agent->id) < 0; listed++)
            c->agents[c->count++] = hosted(&list[listed].spec, &list[listed]);
        c->agents[c->count++] = configured(agent, c->dropins);
        if (listed < dropin_count && strcmp(list[listed].spec.id, agent->id) == 0)
            listed++;
    }
    for (; listed < dropin_count; listed++)
        c->agents[c->count++] = hosted(&list[listed].spec, &list[listed]);
}

struct catalog *catalog_new(struct config *config, struct dropins *dropins)
{
    struct catalog *c = calloc(1, sizeof *c);
    size_t most = config->agent_count + (dropins == NULL ? 0 : dropins->count);

    if (c == NULL)
        return NULL;
    atomic_init(&c->users, 1);
    c->config = config_acquire(config);
    c->dropins = dropins_acquire(dropins);
    c->agents = calloc(most + 1, sizeof *c->agents);
    c->by_name = calloc(most + 1, sizeof *c->by_name);
    if (c->agents == NULL || c->by_name == NULL) {
        catalog_release(&c);
        return NULL;
    }
    merge(c);
    for (size_t i = 0; i < c->count; i++)
        c->by_name[i] = &c->agents[i];
    qsort(c->by_name, c->count, sizeof c->by_name[0], compare_names);
    return c;
}

struct catalog *catalog_acquire(struct catalog *catalog)
{
    atomic_fetch_add(&catalog->users, 1);
    return catalog;
}

void catalog_release(struct catalog **catalog)
{
    struct catalog *c = *catalog;

    *catalog = NULL;
    if (c == NULL || atomic_fetch_sub(&c->users, 1) > 1)
        return;
    config_release(&c->config);
    dropins_release(&c->dropins);
    free(c->agents);
    free(c->by_name);
    free(c);
}

/* The first of `name` in by_name; unique when its neighbour differs. */
static const struct catalog_agent *find_bare(const struct catalog *c, const char *name)
{
    size_t low = 0, high = c->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(c->by_name[middle]->spec->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == c->count || strcmp(c->by_name[low]->spec->name, name) != 0)
        return NULL;
    if (low + 1 < c->count && strcmp(c->by_name[low + 1]->spec->name, name) == 0)
        return NULL;
    return c->by_name[low];
}

static int compare_id(const void *id, const void *agent)
{
    return strcmp(id, ((const struct catalog_agent *)agent)->spec->id);
}

const struct catalog_agent *catalog_find(const struct catalog *c, const char *name)
{
    if (strchr(name, '/') == NULL)
        return find_bare(c, name);
    return bsearch(name, c->agents, c->count, sizeof c->agents[0], compare_id);
}

int catalog_target(const struct catalog *c, const char *name, struct arena *arena,
                   struct catalog_target *target)
{
    const char *slash = strchr(name, '/');

    target->agent = catalog_find(c, name);
    if (target->agent != NULL) {
        target->id = target->agent->spec->id;
        target->ns = target->agent->spec->ns;
        return 0;
    }
    target->id = arena_strdup(arena, name);
    target->ns = slash == NULL ? "" : arena_strndup(arena, name, (size_t)(slash - name));
    return target->id == NULL || target->ns == NULL ? AGW_ENOMEM : 0;
}

size_t catalog_count(const struct catalog *c)
{
    return c->count;
}

const struct catalog_agent *catalog_at(const struct catalog *c, size_t index)
{
    return &c->agents[index];
}

/* SPDX-License-Identifier: MIT */
/* Knows every agent by its names. */
#include "agent/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "util/err.h"

struct catalog {
    struct config *config;
    size_t count;
    struct catalog_agent *agents;         /* by id, as the configuration has them */
    const struct catalog_agent **by_name; /* by bare name */
};

static const char *problem_of(const struct config_agent *spec)
{
    if (spec->kind == AGENT_SDK)
        return "agents of kind sdk need the agent runner, which this release does not have";
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct catalog_agent *const *)a)->spec->name,
                  (*(const struct catalog_agent *const *)b)->spec->name);
}

struct catalog *catalog_new(struct config *config)
{
    struct catalog *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->config = config_acquire(config);
    c->count = config->agent_count;
    c->agents = calloc(c->count + 1, sizeof *c->agents);
    c->by_name = calloc(c->count + 1, sizeof *c->by_name);
    if (c->agents == NULL || c->by_name == NULL) {
        catalog_free(&c);
        return NULL;
    }
    for (size_t i = 0; i < c->count; i++) {
        c->agents[i].spec = &config->agents[i];
        c->agents[i].problem = problem_of(&config->agents[i]);
        c->agents[i].available = c->agents[i].problem == NULL;
        c->by_name[i] = &c->agents[i];
    }
    qsort(c->by_name, c->count, sizeof c->by_name[0], compare_names);
    return c;
}

void catalog_free(struct catalog **catalog)
{
    if (*catalog == NULL)
        return;
    config_release(&(*catalog)->config);
    free((*catalog)->agents);
    free((*catalog)->by_name);
    free(*catalog);
    *catalog = NULL;
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

const struct catalog_agent *catalog_find(const struct catalog *c, const char *name)
{
    const struct config_agent *spec;

    if (strchr(name, '/') == NULL)
        return find_bare(c, name);
    spec = config_find_agent(c->config, name);
    return spec == NULL ? NULL : &c->agents[spec - c->config->agents];
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

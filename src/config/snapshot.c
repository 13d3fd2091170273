/* SPDX-License-Identifier: MIT */
/* Keeps a configuration alive for as long as anyone uses it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "config/build.h"
#include "util/glob.h"

/* Bounds what hostile files of the largest size can take. */
enum { ARENA_MAX = 512 << 20 };

struct snapshot {
    struct config config; /* first: a config pointer is a snapshot pointer */
    atomic_size_t users;
    struct arena *arena;
};

const char *const config_component_names[CONFIG_COMPONENTS] = {
    [CONFIG_GATEWAY] = "gateway", [CONFIG_AGENTS] = "agents",
    [CONFIG_UPSTREAMS] = "upstreams", [CONFIG_TOOLS] = "tools",
    [CONFIG_SECURITY] = "security",
};

struct config *snapshot_new(struct arena **arena)
{
    struct snapshot *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->arena = arena_new(ARENA_MAX);
    if (s->arena == NULL) {
        free(s);
        return NULL;
    }
    arena_keep_secret(s->arena);
    atomic_init(&s->users, 1);
    *arena = s->arena;
    return &s->config;
}

struct config *config_acquire(struct config *config)
{
    atomic_fetch_add_explicit(&((struct snapshot *)config)->users, 1, memory_order_relaxed);
    return config;
}

void config_release(struct config **config)
{
    struct snapshot *s = (struct snapshot *)*config;

    *config = NULL;
    if (s == NULL || atomic_fetch_sub_explicit(&s->users, 1, memory_order_acq_rel) != 1)
        return;
    arena_free(&s->arena);
    free(s);
}

static int compare_id(const void *id, const void *agent)
{
    return strcmp(id, ((const struct config_agent *)agent)->id);
}

const struct config_agent *config_find_agent(const struct config *c, const char *id)
{
    if (c->agent_count == 0)
        return NULL;
    return bsearch(id, c->agents, c->agent_count, sizeof *c->agents, compare_id);
}

const struct config_upstream *config_find_upstream(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->upstream_count; i++)
        if (c->upstreams[i].name != NULL && strcmp(c->upstreams[i].name, name) == 0)
            return &c->upstreams[i];
    return NULL;
}

bool config_serves(enum config_provider provider, bool any, const char *const *patterns,
                   size_t count, const char *model)
{
    if (any)
        return provider != PROVIDER_ECHO || glob_match("echo*", model);
    for (size_t i = 0; i < count; i++)
        if (glob_match(patterns[i], model))
            return true;
    return false;
}

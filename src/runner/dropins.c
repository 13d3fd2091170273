/* SPDX-License-Identifier: MIT */
/* Makes agents of what the runner lists. */
#include "runner/dropins.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { DROPINS_MAX = 10000, DEFAULT_HOPS = 8 };

static const char *text_of(const json_t *agent, const char *name)
{
    return json_string_value(json_object_get(agent, name));
}

static const json_t *texts_of(const json_t *agent, const char *name)
{
    const json_t *list = json_object_get(agent, name), *item;
    size_t i;

    json_array_foreach(list, i, item)
        if (!json_is_string(item))
            return NULL;
    return json_is_array(list) ? list : NULL;
}

/* The id must be what the other two make: decisions are made by both. */
static bool names_agree(const struct config_agent *spec)
{
    size_t length = spec->ns == NULL ? 0 : strlen(spec->ns);

    return spec->id != NULL && spec->name != NULL && length > 0 &&
           config_name_problem(spec->ns) == NULL && config_name_problem(spec->name) == NULL &&
           strncmp(spec->id, spec->ns, length) == 0 && spec->id[length] == '/' &&
           strcmp(spec->id + length + 1, spec->name) == 0;
}

static bool fill(struct dropin *d, const json_t *agent, const json_t *none)
{
    *d = (struct dropin){
        .spec = {.id = text_of(agent, "id"), .name = text_of(agent, "name"),
                 .ns = text_of(agent, "namespace"),
                 .display_name = text_of(agent, "display_name"),
                 .description = text_of(agent, "description"), .kind = AGENT_SDK,
                 .upstream = text_of(agent, "upstream"), .model = text_of(agent, "model"),
                 .module = text_of(agent, "module"), .metadata = none,
                 .max_tool_hops = DEFAULT_HOPS, .place = {.file = text_of(agent, "path")}},
        .lang = text_of(agent, "lang"), .module = text_of(agent, "module"),
        .path = text_of(agent, "path"), .attr = text_of(agent, "attr"),
        .model_given = json_is_true(json_object_get(agent, "model_given")),
        .available = json_is_true(json_object_get(agent, "available")),
        .problem = text_of(agent, "problem"), .tools = texts_of(agent, "tools"),
        .handoffs = texts_of(agent, "handoffs")};
    if (!names_agree(&d->spec) || d->lang == NULL || d->module == NULL || d->path == NULL ||
        d->attr == NULL)
        return false;
    if (d->available && d->spec.model == NULL) {
        d->available = false;
        d->problem = "it names no model";
    }
    if (!d->available && d->problem == NULL)
        d->problem = "the runner does not say why";
    return true;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct dropin *)a)->spec.id, ((const struct dropin *)b)->spec.id);
}

static size_t without_doubles(struct dropin *list, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (kept == 0 || strcmp(list[kept - 1].spec.id, list[i].spec.id) != 0)
            list[kept++] = list[i];
    return kept;
}

struct dropins *dropins_new(json_t *message)
{
    const json_t *agents = json_object_get(message, "agents"), *agent;
    size_t size = json_array_size(agents), i;
    struct dropins *dropins = calloc(1, sizeof *dropins);
    json_t *none = json_object();

    if (size > DROPINS_MAX)
        size = DROPINS_MAX;
    if (dropins != NULL)
        dropins->list = calloc(size + 1, sizeof *dropins->list);
    if (dropins == NULL || dropins->list == NULL || none == NULL ||
        json_object_set(message, "", none) != 0) { /* lives as long as the list */
        json_decref(none);
        json_decref(message);
        free(dropins == NULL ? NULL : dropins->list);
        free(dropins);
        return NULL;
    }
    atomic_init(&dropins->users, 1);
    dropins->message = message;
    json_array_foreach(agents, i, agent)
        if (i < size && fill(&dropins->list[dropins->count], agent, none))
            dropins->count++;
    json_decref(none);
    qsort(dropins->list, dropins->count, sizeof *dropins->list, by_id);
    dropins->count = without_doubles(dropins->list, dropins->count);
    return dropins;
}

struct dropins *dropins_acquire(struct dropins *dropins)
{
    if (dropins != NULL)
        atomic_fetch_add(&dropins->users, 1);
    return dropins;
}

void dropins_release(struct dropins **dropins)
{
    struct dropins *d = *dropins;

    *dropins = NULL;
    if (d == NULL || atomic_fetch_sub(&d->users, 1) > 1)
        return;
    json_decref((json_t *)d->message);
    free(d->list);
    free(d);
}

static int compare_id(const void *id, const void *dropin)
{
    return strcmp(id, ((const struct dropin *)dropin)->spec.id);
}

const struct dropin *dropins_find(const struct dropins *dropins, const char *id)
{
    return dropins == NULL ? NULL
                           : bsearch(id, dropins->list, dropins->count, sizeof *dropins->list,
                                     compare_id);
}

/* SPDX-License-Identifier: MIT */
/* Shows which tools there are, and what is wrong with their sources. */
#include <stdlib.h>
#include <string.h>

#include "tools/toolset_state.h"
#include "util/clock.h"

static json_t *tools_json(const struct slot *slot)
{
    json_t *list = json_array();

    for (size_t i = 0; i < slot->count; i++) {
        const struct tool *tool = slot->tools[i];

        json_array_append_new(list, json_pack("{s:s,s:s,s:s?,s:o}", "name", tool->name,
                                              "function", tool->function, "description",
                                              tool->description, "schema",
                                              json_deep_copy(tool->schema)));
    }
    return list;
}

static void add_lines(json_t *list, const char *lines)
{
    while (lines != NULL && *lines != '\0') {
        size_t length = strcspn(lines, "\n");

        json_array_append_new(list, json_stringn(lines, length));
        lines += length + (lines[length] == '\n');
    }
}

static json_t *diagnostics_json(const struct slot *slot)
{
    json_t *list = json_array();

    if (slot->source->problem[0] != '\0')
        json_array_append_new(list, json_string(slot->source->problem));
    if (slot->problem[0] != '\0')
        json_array_append_new(list, json_string(slot->problem));
    else if (!slot->settled)
        json_array_append_new(list, json_string("its server has not answered yet"));
    add_lines(list, slot->notes);
    return list;
}

static json_t *slot_json(const struct slot *slot)
{
    const struct tool_source *source = slot->source;
    char text[CLOCK_TEXT_SIZE];

    return json_pack(
        "{s:s,s:s,s:b,s:o,s:s?,s:o}", "name", source->config->name, "provider",
        tool_provider_names[source->config->provider], "available", source->state != NULL && slot->count > 0,
        "tools", tools_json(slot), "listed_at",
        slot->listed_at != 0 ? clock_format(slot->listed_at, text) : NULL, "diagnostics",
        diagnostics_json(slot));
}

/* Under the lock: an object for each slot, and their sources, each with one more user. */
static json_t *slots_json(struct toolset *set, struct tool_source ***sources)
{
    json_t *list = json_array();

    *sources = calloc(set->count + 1, sizeof **sources);
    for (size_t i = 0; *sources != NULL && i < set->count; i++) {
        if (json_array_append_new(list, slot_json(set->slots[i])) != 0)
            break;
        (*sources)[i] = source_acquire(set->slots[i]->source);
    }
    if (*sources != NULL && json_array_size(list) == set->count)
        return list;
    json_decref(list);
    return NULL;
}

/* Providers may start a program to see what there is, and wait for it and for a permit: not
 * under the lock, for which threads wait that have the permits. */
json_t *toolset_json(struct toolset *set)
{
    struct tool_source **sources;
    json_t *list;

    pthread_mutex_lock(&set->lock);
    list = slots_json(set, &sources);
    pthread_mutex_unlock(&set->lock);
    for (size_t i = 0; sources != NULL && sources[i] != NULL; i++) {
        struct tool_source *source = sources[i];

        if (list != NULL && source->state != NULL && source->provider->describe != NULL)
            source->provider->describe(source->state, json_array_get(list, i));
        source_release(&source);
    }
    free(sources);
    return list;
}

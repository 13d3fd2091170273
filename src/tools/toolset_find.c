/* SPDX-License-Identifier: MIT */
/* Finds tools by name, and waits for those that are about to be known. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/toolset_state.h"
#include "util/clock.h"
#include "util/glob.h"
#include "util/permit.h"

enum { FIRST_WAIT_MS = 3000 };

/* ---- waiting ---- */

/* The elements of an agent's list. */
struct names {
    const char *const *list;
    size_t count;
};

/* Under the lock: until no slot is left that `waits` says is to be waited for. */
static void wait_for(struct toolset *set, bool (*waits)(const struct slot *, const struct names *),
                     const struct names *names, int64_t wait_ms)
{
    struct timespec until = clock_wait_end(wait_ms);
    bool found = true, waited = false;

    for (;;) {
        found = false;
        for (size_t i = 0; i < set->count && !found; i++)
            found = waits(set->slots[i], names);
        if (!found)
            break;
        if (!waited)
            permit_wait_begin();
        waited = true;
        if (pthread_cond_timedwait(&set->settled, &set->lock, &until) == ETIMEDOUT)
            break;
    }
    if (waited) {
        pthread_mutex_unlock(&set->lock);
        permit_wait_end();
        pthread_mutex_lock(&set->lock);
    }
}

static bool is_listing(const struct slot *slot, const struct names *names)
{
    (void)names;
    return slot->listing;
}

/* Whether an element may stand for the tool ENTRY or one ENTRY.TOOL. */
static bool may_mean(const char *element, const char *entry)
{
    size_t plain = strcspn(element, "*?["), length = strlen(entry);

    if (strncmp(element, entry, plain < length ? plain : length) != 0)
        return false;
    return plain == length || element[plain < length ? plain : length] == '.' ||
           (plain < length && element[plain] != '\0');
}

/* A server that does not answer keeps nobody waiting who does not want its tools. */
static bool is_awaited(const struct slot *slot, const struct names *names)
{
    if (slot->settled || !slot->listing)
        return false;
    for (size_t i = 0; i < names->count; i++)
        if (may_mean(names->list[i], slot->source->config->name))
            return true;
    return false;
}

void toolset_refresh(struct toolset *set, int64_t wait_ms)
{
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count; i++)
        set->slots[i]->list_at = 0;
    toolset_ask_due(set);
    wait_for(set, is_listing, NULL, wait_ms);
    pthread_mutex_unlock(&set->lock);
}

/* ---- which there are ---- */

/* Under the lock. The next tool whose name matches, from *at on; NULL at the end. */
static struct tool *next_match(struct toolset *set, const char *pattern, size_t *slot,
                               size_t *at)
{
    for (; *slot < set->count; (*slot)++, *at = 0)
        while (*at < set->slots[*slot]->count) {
            struct tool *tool = set->slots[*slot]->tools[(*at)++];

            if (strcmp(tool->name, pattern) == 0 || glob_match(pattern, tool->name))
                return tool;
        }
    return NULL;
}

struct tool *toolset_find(struct toolset *set, const char *name)
{
    struct tool *found = NULL;

    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count && found == NULL; i++)
        for (size_t j = 0; j < set->slots[i]->count && found == NULL; j++)
            if (strcmp(set->slots[i]->tools[j]->name, name) == 0)
                found = tool_acquire(set->slots[i]->tools[j]);
    pthread_mutex_unlock(&set->lock);
    return found;
}

static int add_tool(struct tool_list *list, struct tool *tool)
{
    struct tool **grown;

    if (tool_list_find(list, tool->function) != NULL)
        return 0;
    grown = reallocarray(list->tools, list->count + 1, sizeof(struct tool *));
    if (grown == NULL)
        return -1;
    list->tools = grown;
    list->tools[list->count++] = tool_acquire(tool);
    return 0;
}

int toolset_resolve(struct toolset *set, const char *const *names, size_t count,
                    struct tool_list *list, const char **missing, struct err *e)
{
    const struct names wanted = {names, count};
    int status = 0;

    *list = (struct tool_list){0, NULL};
    *missing = NULL;
    pthread_mutex_lock(&set->lock);
    wait_for(set, is_awaited, &wanted, FIRST_WAIT_MS);
    for (size_t i = 0; i < count && status == 0; i++) {
        size_t slot = 0, at = 0, matches = 0;
        struct tool *tool;

        while (status == 0 && (tool = next_match(set, names[i], &slot, &at)) != NULL) {
            matches++;
            status = add_tool(list, tool);
        }
        if (matches == 0 && *missing == NULL)
            *missing = names[i];
    }
    pthread_mutex_unlock(&set->lock);
    if (status == 0)
        return 0;
    tool_list_clear(list);
    return err_set(e, AGW_ENOMEM, "finding an agent's tools");
}

void tool_list_clear(struct tool_list *list)
{
    toolset_free_tools(list->tools, list->count);
    *list = (struct tool_list){0, NULL};
}

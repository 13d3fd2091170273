/* SPDX-License-Identifier: MIT */
/* Carries the tools from one configuration to the next. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/toolset_state.h"
#include "util/clock.h"

struct toolset *toolset_new(const struct tool_provider *const *providers)
{
    struct toolset *set = calloc(1, sizeof *set);

    if (set == NULL)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, set->hang_up) != 0) {
        free(set);
        return NULL;
    }
    set->providers = providers;
    pthread_mutex_init(&set->lock, NULL);
    clock_condition_init(&set->settled);
    return set;
}

void toolset_on_problem(struct toolset *set,
                        void (*fn)(void *arg, const char *tool, const char *problem), void *arg)
{
    set->on_problem = fn;
    set->on_problem_arg = arg;
}

static void free_slot(struct slot *slot)
{
    if (slot == NULL)
        return;
    toolset_free_tools(slot->tools, slot->count);
    free(slot->notes);
    source_release(&slot->source);
    free(slot);
}

static void bury(struct toolset *set)
{
    struct slot *slot, *next;

    pthread_mutex_lock(&set->lock);
    slot = set->gone;
    set->gone = NULL;
    pthread_mutex_unlock(&set->lock);
    for (; slot != NULL; slot = next) {
        next = slot->next;
        free_slot(slot);
    }
}

void toolset_free(struct toolset **slot)
{
    struct toolset *set = *slot;

    if (set == NULL)
        return;
    pthread_mutex_lock(&set->lock);
    set->closing = true;
    shutdown(set->hang_up[0], SHUT_RDWR);
    while (set->threads > 0)
        pthread_cond_wait(&set->settled, &set->lock);
    pthread_mutex_unlock(&set->lock);
    bury(set);
    for (size_t i = 0; i < set->count; i++)
        free_slot(set->slots[i]);
    free(set->slots);
    pthread_cond_destroy(&set->settled);
    pthread_mutex_destroy(&set->lock);
    close(set->hang_up[0]);
    close(set->hang_up[1]);
    free(set);
    *slot = NULL;
}

void toolset_tick(struct toolset *set)
{
    bury(set);
    pthread_mutex_lock(&set->lock);
    toolset_ask_due(set);
    pthread_mutex_unlock(&set->lock);
}

/* ---- a new configuration ---- */

static struct slot *make_slot(struct toolset *set, struct config *config, size_t index)
{
    const struct config_tool *entry = &config->tools[index];
    struct slot *slot = calloc(1, sizeof *slot);
    struct buf notes;

    if (slot == NULL)
        return NULL;
    slot->pause_ms = TOOLSET_PAUSE_MS;
    slot->source = source_new(config, entry, set->providers[entry->provider]);
    if (slot->source == NULL) {
        free_slot(slot);
        return NULL;
    }
    slot->settled = !source_lists(slot->source);
    if (!slot->settled || entry->provider == TOOL_MCP)
        return slot; /* which tools it has, its server says */
    buf_init(&notes, TOOLSET_NOTES_MAX);
    slot->tools = source_tools(slot->source, NULL, &slot->count, &notes);
    slot->notes = notes.length > 0 ? buf_take(&notes) : NULL;
    buf_free(&notes);
    if (slot->tools == NULL) {
        free_slot(slot);
        return NULL;
    }
    return slot;
}

static struct slot *find_same(const struct toolset *set, const struct config_tool *entry)
{
    for (size_t i = 0; i < set->count; i++)
        if (memcmp(set->slots[i]->source->config->digest, entry->digest,
                   sizeof entry->digest) == 0)
            return set->slots[i];
    return NULL;
}

/* Under the lock: the slots of `config`, those that were there before among them. */
static struct slot **arrange(struct toolset *set, struct config *config, bool *fresh)
{
    struct slot **slots = calloc(config->tool_count + 1, sizeof(struct slot *));

    for (size_t i = 0; slots != NULL && i < config->tool_count; i++) {
        slots[i] = find_same(set, &config->tools[i]);
        fresh[i] = slots[i] == NULL;
        if (fresh[i])
            slots[i] = make_slot(set, config, i);
        if (slots[i] != NULL)
            continue;
        while (i-- > 0)
            if (fresh[i])
                free_slot(slots[i]);
        free(slots);
        return NULL;
    }
    return slots;
}

static bool is_kept(const struct slot *slot, struct slot *const *slots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slots[i] == slot)
            return true;
    return false;
}

int toolset_update(struct toolset *set, struct config *config, struct err *e)
{
    bool *fresh = calloc(config->tool_count + 1, sizeof *fresh);
    struct slot **slots = NULL, **old;
    size_t old_count;

    pthread_mutex_lock(&set->lock);
    if (fresh != NULL)
        slots = arrange(set, config, fresh);
    if (slots == NULL) {
        pthread_mutex_unlock(&set->lock);
        free(fresh);
        return err_set(e, AGW_ENOMEM, "taking over the tools");
    }
    old = set->slots;
    old_count = set->count;
    set->slots = slots;
    set->count = config->tool_count;
    for (size_t i = 0; i < old_count; i++)
        if (!is_kept(old[i], slots, set->count)) {
            old[i]->next = set->gone;
            set->gone = old[i];
        }
    toolset_ask_due(set);
    pthread_mutex_unlock(&set->lock);
    free(old);
    free(fresh);
    return 0;
}

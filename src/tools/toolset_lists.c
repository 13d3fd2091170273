/* SPDX-License-Identifier: MIT */
/* Asks sources for the tools that they have. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/toolset_state.h"
#include "util/clock.h"
#include "util/log.h"

enum { LIST_TIME_MS = 30000, PAUSE_MAX_MS = 60000 };

void toolset_free_tools(struct tool **tools, size_t count)
{
    for (size_t i = 0; tools != NULL && i < count; i++)
        tool_release(&tools[i]);
    free(tools);
}

struct asking {
    struct toolset *set;
    struct tool_source *source;
};

static struct slot *slot_of(struct toolset *set, const struct tool_source *source)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->slots[i]->source == source)
            return set->slots[i];
    return NULL;
}

/* Under the lock: what came of asking. The tools that were there before are handed back. True
 * when there is a problem that was not there before. */
static bool settle(struct slot *slot, struct tool ***tools, size_t *count, char **notes,
                   const struct err *e)
{
    struct tool **old = slot->tools;
    size_t old_count = slot->count;
    char *old_notes = slot->notes;

    slot->listing = false;
    slot->settled = true;
    if (*tools == NULL) {
        bool is_new = strncmp(slot->problem, e->message, sizeof slot->problem - 1) != 0;

        snprintf(slot->problem, sizeof slot->problem, "%s", e->message);
        slot->list_at = clock_mono_ms() + slot->pause_ms;
        slot->pause_ms = slot->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : slot->pause_ms * 2;
        return is_new;
    }
    slot->tools = *tools;
    slot->count = *count;
    slot->notes = *notes;
    slot->problem[0] = '\0';
    slot->pause_ms = TOOLSET_PAUSE_MS;
    slot->listed_at = clock_wall_ms();
    slot->list_at = clock_mono_ms() + TOOLSET_LIST_MS;
    *tools = old;
    *count = old_count;
    *notes = old_notes;
    return false;
}

static void log_problem(const struct tool_source *source, const struct err *e)
{
    struct log_line line;

    log_begin(&line, LOG_WARN, "tool.source");
    log_str(&line, "tool", source->config->name);
    log_str(&line, "problem", e->message);
    log_end(&line);
}

static void *ask(void *arg)
{
    struct asking asking = *(struct asking *)arg;
    struct tool_source *source = asking.source;
    struct tool_offers offers = {0};
    struct tool **tools = NULL;
    struct slot *slot;
    bool is_new = false;
    struct err e = {0};
    struct buf notes;
    size_t count = 0;
    char *text;
    int code;

    free(arg);
    buf_init(&notes, TOOLSET_NOTES_MAX);
    code = source->provider->list(source->state, clock_mono_ms() + LIST_TIME_MS,
                                  asking.set->hang_up[1], &offers, &e);
    if (code == 0 &&
        (tools = source_tools(source, &offers, &count, &notes)) == NULL)
        err_set(&e, AGW_ENOMEM, "memory is out");
    tool_offers_clear(&offers);
    text = notes.length > 0 ? buf_take(&notes) : NULL;
    buf_free(&notes);
    if (tools == NULL && code != AGW_EGONE)
        log_problem(source, &e);
    pthread_mutex_lock(&asking.set->lock);
    slot = code == AGW_EGONE ? NULL : slot_of(asking.set, source); /* the end calls it off */
    if (slot != NULL)
        is_new = settle(slot, &tools, &count, &text, &e);
    pthread_mutex_unlock(&asking.set->lock);
    if (is_new && asking.set->on_problem != NULL)
        asking.set->on_problem(asking.set->on_problem_arg, source->config->name, e.message);
    toolset_free_tools(tools, count);
    free(text);
    source_release(&source);
    pthread_mutex_lock(&asking.set->lock);
    asking.set->threads--;
    pthread_cond_broadcast(&asking.set->settled);
    pthread_mutex_unlock(&asking.set->lock);
    return NULL;
}

/* Under the lock. Whoever cannot be asked now is asked at the next tick. */
static void start_asking(struct toolset *set, struct slot *slot)
{
    struct asking *asking = malloc(sizeof *asking);
    sigset_t all, before;
    pthread_t thread;
    int failed = ENOMEM;

    if (asking == NULL)
        return;
    *asking = (struct asking){set, source_acquire(slot->source)};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, NULL, ask, asking);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        atomic_fetch_sub(&slot->source->users, 1); /* the slot's own remains */
        free(asking);
        return;
    }
    pthread_detach(thread);
    slot->listing = true;
    set->threads++;
}

void toolset_ask_due(struct toolset *set)
{
    int64_t now = clock_mono_ms();

    for (size_t i = 0; i < set->count && !set->closing; i++) {
        struct slot *slot = set->slots[i];

        if (slot->listing || !source_lists(slot->source))
            continue;
        if (atomic_exchange(&slot->source->changed, false) || now >= slot->list_at)
            start_asking(set, slot);
    }
}

/* SPDX-License-Identifier: MIT */
/* Carries the tools from one configuration to the next, and knows which there are. */
#include "tools/toolset.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/source.h"
#include "util/clock.h"
#include "util/glob.h"
#include "util/log.h"
#include "util/permit.h"

enum { FIRST_WAIT_MS = 3000, LIST_TIME_MS = 30000, PAUSE_MS = 1000, PAUSE_MAX_MS = 60000,
       NOTES_MAX = 16384 };

/* A source and the tools it had when it was last asked; guarded by the set's lock. */
struct slot {
    struct tool_source *source;
    size_t count;
    struct tool **tools;
    char *notes;         /* lines, NULL = none */
    char problem[1024];  /* why the list could not be had last time, "" = it could */
    bool listing;        /* a thread asks */
    bool settled;        /* it was asked at least once, however that ended */
    int64_t list_at;     /* clock_mono_ms() of the next time */
    int64_t pause_ms;
    int64_t listed_at;   /* UTC ms, 0 = never */
    struct slot *next;   /* of those that are gone */
};

struct toolset {
    const struct tool_provider *const *providers;
    pthread_mutex_t lock;
    pthread_cond_t settled; /* a thread that asks for a list has ended */
    size_t count;
    struct slot **slots;
    struct slot *gone;      /* closing them may take a while: housekeeping does it */
    int threads;
    bool closing;
    int hang_up[2];         /* shutting the first down ends the threads that watch the second */
    void (*on_problem)(void *arg, const char *tool, const char *problem);
    void *on_problem_arg;
};

struct toolset *toolset_new(const struct tool_provider *const *providers)
{
    struct toolset *set = calloc(1, sizeof *set);
    pthread_condattr_t monotonic;

    if (set == NULL)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, set->hang_up) != 0) {
        free(set);
        return NULL;
    }
    set->providers = providers;
    pthread_mutex_init(&set->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&set->settled, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return set;
}

void toolset_on_problem(struct toolset *set,
                        void (*fn)(void *arg, const char *tool, const char *problem), void *arg)
{
    set->on_problem = fn;
    set->on_problem_arg = arg;
}

static void free_tools(struct tool **tools, size_t count)
{
    for (size_t i = 0; tools != NULL && i < count; i++)
        tool_release(&tools[i]);
    free(tools);
}

static void free_slot(struct slot *slot)
{
    if (slot == NULL)
        return;
    free_tools(slot->tools, slot->count);
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

/* ---- lists ---- */

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
    slot->pause_ms = PAUSE_MS;
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
    buf_init(&notes, NOTES_MAX);
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
    free_tools(tools, count);
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

/* Under the lock. */
static void ask_who_is_due(struct toolset *set)
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

void toolset_tick(struct toolset *set)
{
    bury(set);
    pthread_mutex_lock(&set->lock);
    ask_who_is_due(set);
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
    slot->pause_ms = PAUSE_MS;
    slot->source = source_new(config, entry, set->providers[entry->provider]);
    if (slot->source == NULL) {
        free_slot(slot);
        return NULL;
    }
    slot->settled = !source_lists(slot->source);
    if (!slot->settled || entry->provider == TOOL_MCP)
        return slot; /* which tools it has, its server says */
    buf_init(&notes, NOTES_MAX);
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
    ask_who_is_due(set);
    pthread_mutex_unlock(&set->lock);
    free(old);
    free(fresh);
    return 0;
}

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
    ask_who_is_due(set);
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
    free_tools(list->tools, list->count);
    *list = (struct tool_list){0, NULL};
}

/* ---- shown ---- */

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
    static const char *const names[] = {"local", "http", "mcp"};
    const struct tool_source *source = slot->source;
    char text[CLOCK_TEXT_SIZE];

    return json_pack(
        "{s:s,s:s,s:b,s:o,s:s?,s:o}", "name", source->config->name, "provider",
        names[source->config->provider], "available", source->state != NULL && slot->count > 0,
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

/* SPDX-License-Identifier: MIT */
/* Keeps the table of modules: what a search has found and configuration says of them. */
#include "runnerd/modules.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runnerd/allow.h"
#include "runnerd/memory.h"
#include "runnerd/module_state.h"
#include "runnerd/problem.h"
#include "util/clock.h"

enum { LOADS_LEAST = 2 };

void modules_changed(const struct modules *table)
{
    table->user.changed(table->user.arg);
}

/* ---- the search ---- */

static void free_claims(struct module *m)
{
    for (size_t i = 0; i < m->claim_count; i++)
        free(m->claims[i].attr);
    free(m->claims);
    m->claims = NULL;
    m->claim_count = 0;
}

static void free_module(struct module *m)
{
    host_free(&m->host);
    host_free(&m->loading);
    host_free(&m->reviving);
    for (int i = 0; i < MODULES_OLD_MAX; i++)
        host_free(&m->old[i]);
    free_claims(m);
    discover_drop(&m->found);
    json_decref(m->exports);
    json_decref(m->catalog);
    json_decref(m->problems);
    json_decref(m->runtime);
    free(m);
}

static struct module *find_module(const struct modules *table, const char *path)
{
    for (struct module *m = table->first; m != NULL; m = m->next)
        if (strcmp(m->found.path, path) == 0)
            return m;
    return NULL;
}

static struct module *add_module(struct modules *table, const struct found *found)
{
    struct module **last = &table->first, *m = memory_new(sizeof *m);

    while (*last != NULL)
        last = &(*last)->next;
    *last = m;
    discover_copy(&m->found, found);
    m->problems = json_array();
    m->needs_load = true;
    m->is_kept = kept_find(&table->kept, found, NULL);
    return m;
}

static void add_claim(struct module *m, const struct config_agent *agent)
{
    const char *colon = strchr(agent->module, ':');
    struct module_claim *claim;

    m->claims = memory_grow(m->claims, (m->claim_count + 1) * sizeof *m->claims);
    claim = &m->claims[m->claim_count++];
    *claim = (struct module_claim){memory_text(colon == NULL ? "" : colon + 1), agent};
    m->network = m->network || agent->network;
}

/* Entries of agents.yaml find their modules, and what only they name is found by that. -> for
 * each entry the path, or NULL */
static char **find_named(const struct config *config, struct discovery *found,
                         const char *const *roots, size_t root_count)
{
    char **paths = memory_new((config->agent_count + 1) * sizeof *paths);

    for (size_t i = 0; i < config->agent_count; i++) {
        const struct config_agent *agent = &config->agents[i];
        const struct found *f;

        if (agent->kind != AGENT_SDK)
            continue;
        f = discover_named(found, roots, root_count, agent->module);
        if (f == NULL)
            problem_add(found->problems, "validation", "error",
                        &(struct problem_place){.agent = agent->id, .path = agent->place.file},
                        "%s:%d: there is no module %s in the folders of drop-in agents",
                        agent->place.file, agent->place.line, agent->module);
        else
            paths[i] = memory_text(f->path);
    }
    return paths;
}

static void free_named(char **paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
}

static json_t *export_names(const struct config *config, const struct module *m)
{
    json_t *names = json_array();

    for (size_t i = 0; i < config->gateway.export_count; i++)
        json_array_append_new(names, json_string(config->gateway.exports[i]));
    for (size_t i = 0; i < m->claim_count; i++)
        json_array_append_new(names, json_string(m->claims[i].attr));
    return names;
}

static void forget_copy(struct modules *table, struct module *m)
{
    if (m->is_kept)
        kept_forget(&table->kept, &m->found);
    m->is_kept = m->is_serving_kept = m->keeps_later = m->needs_revival = false;
}

static void judge(struct modules *table, struct module *m)
{
    const char *ns = m->found.is_dropin || m->claim_count == 0 ? m->identity.ns
                                                               : m->claims[0].agent->ns;
    bool was_blocked = m->is_blocked;

    m->is_blocked = !allow_module(&table->config->security, ns, m->found.module, m->blocked,
                                  sizeof m->blocked);
    if (!m->is_blocked) {
        m->needs_load = m->needs_load || was_blocked;
        return;
    }
    m->needs_load = false;
    module_opens_refuse(table, m, MODULES_BLOCKED, m->blocked, 0);
    module_process_stop_starting(m);
    module_process_stop_serving(m); /* what must not run does not run on */
    forget_copy(table, m);
    json_decref(m->catalog);
    m->catalog = NULL;
    module_process_clear(&m->problems);
}

/* What is loading is of older files, or was told something else. */
static void load_anew(struct module *m)
{
    m->needs_load = true;
    m->load = (struct module_tries){0};
    if (m->loading != NULL)
        host_kill(m->loading, "");
}

/* What was found of a module that is known. `is_anew`: it has to be loaded in any case. */
static void update(struct modules *table, struct module *m, const struct found *found,
                   bool is_anew, bool again)
{
    json_t *exports = export_names(table->config, m);

    if (found != NULL && found->mark != m->found.mark) {
        discover_drop(&m->found);
        discover_copy(&m->found, found);
        is_anew = true;
    } else if (found != NULL) {
        m->found.shared = found->shared; /* which only a copy may need */
    }
    if (m->exports != NULL && (!json_equal(exports, m->exports) || m->network != m->network_given))
        is_anew = true;
    json_decref(m->exports);
    m->exports = exports;
    identity_of(m->found.folder, table->config->gateway.default_namespace, &m->identity);
    if (is_anew || (again && m->loading == NULL && (m->catalog == NULL || m->is_broken)))
        load_anew(m);
    else if (again)
        m->load = (struct module_tries){0}; /* a load under way goes on, as if it were the first */
    if (m->reviving != NULL && host_has_network(m->reviving) && !m->network)
        host_kill(m->reviving, ""); /* then it is started without */
    judge(table, m);
}

static const struct found *found_of(const struct discovery *d, const struct module *m)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->found[i].path, m->found.path) == 0)
            return &d->found[i];
    return NULL;
}

/* It was not found any more. */
static void let_go(struct modules *table, struct module *m, const struct discovery *found)
{
    module_opens_refuse(table, m, MODULES_UNKNOWN, "it is not there any more", 0);
    module_process_release(m);
    if (found->missing[0] == '\0') /* else its folder may be away for a moment */
        forget_copy(table, m);
    m->needs_load = false;
}

/* Of modules that have gone while no runner, or not their folder, was there. */
static void sweep_copies(struct modules *table)
{
    const char **paths = NULL;
    size_t count = 0;

    for (const struct module *m = table->first; m != NULL; m = m->next) {
        paths = memory_grow(paths, (count + 1) * sizeof *paths);
        paths[count++] = m->found.path;
    }
    kept_sweep(&table->kept, paths, count);
    free(paths);
}

void modules_apply(struct modules *table, struct config *config, struct discovery *found,
                   const char *const *roots, size_t root_count, bool again)
{
    struct config *before = table->config;
    char **named = find_named(config, found, roots, root_count);
    json_t *defaults;
    bool are_new; /* the defaults, which a process is told when it loads */

    if (found->is_cut) {
        free_named(named, config->agent_count);
        return;
    }
    defaults = json_pack("{s:s?}", "model", config->gateway.default_model);
    are_new = table->defaults != NULL && !json_equal(defaults, table->defaults);
    table->config = config_acquire(config);
    json_decref(table->defaults);
    table->defaults = defaults;
    for (struct module *m = table->first; m != NULL; m = m->next) {
        free_claims(m);
        m->is_wanted = m->network = false;
    }
    for (size_t i = 0; i < found->count; i++) {
        struct module *m = find_module(table, found->found[i].path);

        if (m == NULL)
            m = add_module(table, &found->found[i]);
        m->is_wanted = true;
    }
    for (size_t i = 0; i < config->agent_count; i++) {
        struct module *m = named[i] == NULL ? NULL : find_module(table, named[i]);

        if (m != NULL)
            add_claim(m, &config->agents[i]);
    }
    free_named(named, config->agent_count);
    for (struct module *m = table->first; m != NULL; m = m->next)
        if (m->is_wanted)
            update(table, m, found_of(found, m), are_new, again);
        else
            let_go(table, m, found);
    json_decref(table->problems);
    table->problems = json_incref(found->problems);
    if (before != NULL)
        config_release(&before);
    if (found->missing[0] == '\0' && !table->is_swept)
        sweep_copies(table);
    table->is_swept = found->missing[0] == '\0';
    modules_changed(table);
}

/* ---- time ---- */

static void sweep(struct modules *table)
{
    for (struct module **place = &table->first; *place != NULL;) {
        struct module *m = *place;

        if (m->is_wanted || module_process_is_there(m)) {
            place = &m->next;
            continue;
        }
        *place = m->next;
        free_module(m);
    }
}

int64_t modules_tick(struct modules *table, int64_t now)
{
    int64_t next = INT64_MAX;

    sweep(table);
    for (struct module *m = table->first; m != NULL; m = m->next) {
        int64_t due = module_due_tick(table, m, now);

        next = due < next ? due : next;
    }
    return next;
}

bool modules_are_settled(const struct modules *table)
{
    for (const struct module *m = table->first; m != NULL; m = m->next)
        if (m->loading != NULL || (m->needs_load && m->load.failures == 0) ||
            (m->needs_revival && m->revival.failures == 0))
            return false;
    return true;
}

const char *modules_state(const struct module *m)
{
    int64_t now = clock_mono_ms();

    if (m->is_blocked)
        return "blocked";
    if (!m->is_wanted)
        return "draining";
    if (m->host != NULL)
        return "running";
    if (m->loading != NULL || m->reviving != NULL)
        return "starting";
    if (now < m->load.retry_at || now < m->revival.retry_at)
        return "backoff";
    if (m->catalog == NULL && problem_is_fatal(m->problems))
        return "failed";
    return m->catalog == NULL ? "starting" : "idle";
}

/* ---- lifetime ---- */

void modules_init(struct modules *table, const struct modules_user *user)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    *table = (struct modules){.user = *user, .problems = json_array(), .kept = {.fd = -1},
                              .loads_max = cores > LOADS_LEAST ? (int)cores : LOADS_LEAST};
    module_process_init(table);
}

void modules_drain(struct modules *table, int64_t within_ms)
{
    table->is_draining = true;
    for (struct module *m = table->first; m != NULL; m = m->next) {
        module_opens_refuse(table, m, MODULES_DRAINING, "the runner is being stopped",
                            MODULES_WAIT_MS);
        m->needs_load = false;
        module_process_stop_starting(m);
        if (m->host != NULL)
            host_drain(m->host, within_ms);
        for (int i = 0; i < MODULES_OLD_MAX; i++)
            if (m->old[i] != NULL)
                host_hurry(m->old[i], within_ms);
    }
}

bool modules_have_ended(const struct modules *table)
{
    for (const struct module *m = table->first; m != NULL; m = m->next)
        if (module_process_is_there(m))
            return false;
    return true;
}

void modules_free(struct modules *table)
{
    while (table->first != NULL) {
        struct module *m = table->first;

        table->first = m->next;
        free_module(m);
    }
    kept_close(&table->kept);
    json_decref(table->problems);
    json_decref(table->defaults);
    if (table->config != NULL)
        config_release(&table->config);
}

/* SPDX-License-Identifier: MIT */
/* Keeps the modules: loads, swaps, restarts and retires their processes. */
#include "runnerd/modules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runnerd/allow.h"
#include "runnerd/memory.h"
#include "runnerd/problem.h"
#include "util/clock.h"
#include "util/log.h"

enum { DELAY_FIRST_MS = 200, DELAY_MAX_MS = 30000, HEALTHY_MS = 10000, WAIT_MS = 1000,
       OLD_DRAIN_MS = 900000, IDLE_DRAIN_MS = 10000, PING_MS = 1000, LOADS_LEAST = 2,
       RUNTIME_KEPT = 3, OLD_KEPT = 4, PACKAGES_TRIES = 8 };

const char *const modules_refusals[] = {"unknown", "blocked", "start_failed",
                                        "backoff", "busy",    "draining"};

static struct problem_place place_of(const struct module *m)
{
    return (struct problem_place){.module = m->found.module, .path = m->found.path};
}

/* A callback of a host has the module alone; there is one table. */
static struct modules *the_table;

static void changed(const struct modules *table)
{
    table->user.changed(table->user.arg);
}

/* ---- opens ---- */

static void refuse(const struct modules *table, struct module *m, enum modules_refusal refusal,
                   const char *message, int64_t retry_after_ms)
{
    struct module_open *open = m->opens;

    m->opens = NULL;
    while (open != NULL) {
        struct module_open *next = open->next;

        table->user.refused(open->client, open->id, refusal, message, retry_after_ms);
        free(open);
        open = next;
    }
}

static void drop_open(struct module_open **place)
{
    struct module_open *open = *place;

    *place = open->next;
    free(open);
}

/* false: it has to wait. */
static bool connect_one(struct modules *table, struct module *m, struct module_open *open)
{
    const struct config_runner *runner = &table->config->gateway.runner;
    int fd;

    if (!table->user.can_send(open->client) || !host_can_connect(m->host))
        return false;
    if (host_runs(m->host) >= runner->max_runs) {
        if (open->is_counted && !host_is_counting(m->host)) {
            table->user.refused(open->client, open->id, MODULES_BUSY,
                                "as many runs of it go on as runner.max_runs lets", WAIT_MS);
            return true;
        }
        open->is_counted = true;
        host_count(m->host);
        return false;
    }
    if (!host_connect(m->host, ++table->connections, &fd)) {
        table->user.refused(open->client, open->id, MODULES_START_FAILED,
                            "no connection to its process can be made", WAIT_MS);
        return true;
    }
    table->user.opened(open->client, open->id, fd);
    return true;
}

static void start_load(struct modules *table, struct module *m);

static void serve(struct modules *table, struct module *m)
{
    int64_t now = clock_mono_ms();
    struct module_open **place = &m->opens;

    if (m->opens == NULL)
        return;
    if (m->host == NULL && m->loading == NULL) {
        if (now >= m->retry_at)
            start_load(table, m);
        else if (m->retry_at - now > WAIT_MS)
            refuse(table, m, MODULES_BACKOFF, "its process failed and is not started again yet",
                   m->retry_at - now);
        return;
    }
    while (*place != NULL && m->host != NULL) {
        if (connect_one(table, m, *place))
            drop_open(place);
        else
            place = &(*place)->next;
    }
}

void modules_open(struct modules *table, struct module *module, void *client, int64_t id)
{
    struct module_open **last = &module->opens;

    if (table->is_draining || module->is_blocked || !module->is_wanted) {
        table->user.refused(client, id, table->is_draining   ? MODULES_DRAINING
                                        : module->is_blocked ? MODULES_BLOCKED
                                                             : MODULES_UNKNOWN,
                            module->is_blocked ? module->blocked : "it is being ended", WAIT_MS);
        return;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = memory_new(sizeof **last);
    **last = (struct module_open){.client = client, .id = id};
    serve(table, module);
}

void modules_forget(struct modules *table, const void *client)
{
    for (struct module *m = table->first; m != NULL; m = m->next)
        for (struct module_open **place = &m->opens; *place != NULL;) {
            if ((*place)->client == client)
                drop_open(place);
            else
                place = &(*place)->next;
        }
}

void modules_resume(struct modules *table)
{
    for (struct module *m = table->first; m != NULL; m = m->next)
        serve(table, m);
}

void modules_suspect(struct modules *table, struct module *module)
{
    (void)table;
    if (module->host != NULL)
        host_suspect(module->host, PING_MS);
    for (int i = 0; i < MODULES_OLD_MAX; i++)
        if (module->old[i] != NULL)
            host_suspect(module->old[i], PING_MS);
}

/* ---- processes ---- */

/* It takes no more runs. Of those that finish theirs the eldest are ended when they become too
 * many; and only when not even that is fast enough is one waited for. */
static void retire(struct module *m, struct host *host, int64_t within_ms)
{
    int count = 0;

    while (count < MODULES_OLD_MAX && m->old[count] != NULL)
        count++;
    for (int i = 0; i + OLD_KEPT <= count; i++)
        host_kill(m->old[i], "");
    if (count == MODULES_OLD_MAX) {
        host_free(&m->old[0]);
        count--;
        memmove(m->old, m->old + 1, (size_t)count * sizeof m->old[0]);
    }
    m->old[count] = host;
    host_drain(host, within_ms);
}

static void back_off(struct module *m)
{
    int64_t delay = DELAY_FIRST_MS;

    for (int i = 0; i < m->failures && delay < DELAY_MAX_MS; i++)
        delay *= 2;
    m->failures++;
    m->retry_at = clock_mono_ms() + (delay > DELAY_MAX_MS ? DELAY_MAX_MS : delay);
}

static const char *first_error(const struct module *m)
{
    size_t index;
    json_t *item;

    json_array_foreach(m->problems, index, item)
        if (strcmp(json_string_value(json_object_get(item, "severity")), "error") == 0)
            return json_string_value(json_object_get(item, "message"));
    return "it cannot be loaded";
}

static void reset_problems(json_t **list)
{
    json_decref(*list);
    *list = json_array();
}

/* What is loading does not become anything; an older generation may serve on. */
static void load_failed(struct modules *table, struct module *m, bool may_help_to_try_again)
{
    m->is_broken = m->catalog != NULL;
    m->needs_load = may_help_to_try_again;
    if (may_help_to_try_again)
        back_off(m);
    if (m->host == NULL)
        refuse(table, m, MODULES_START_FAILED, first_error(m), WAIT_MS);
    changed(table);
}

static bool offers_something(const json_t *catalog)
{
    return json_array_size(json_object_get(catalog, "exports")) > 0;
}

static void take_over(struct module *m, struct host *host)
{
    m->loading = NULL;
    if (m->host != NULL)
        retire(m, m->host, OLD_DRAIN_MS);
    m->host = host;
    json_decref(m->catalog);
    m->catalog = json_deep_copy(host_catalog(host));
    m->is_broken = false;
    if (m->is_new)
        m->generation++;
    m->loaded_at = clock_wall_ms();
}

static void on_loaded(void *arg, struct host *host)
{
    struct module *m = arg;
    struct problem_place place = place_of(m);

    if (host != m->loading)
        return;
    snprintf(the_table->sandbox, sizeof the_table->sandbox, "%s", host_report(host));
    reset_problems(&m->problems);
    problem_add_reported(m->problems, json_object_get(host_catalog(host), "diagnostics"), &place);
    if (!offers_something(host_catalog(host))) {
        if (!problem_is_fatal(m->problems))
            problem_add(m->problems, "validation", "error", &place,
                        "it offers no agent; the names looked for are those of "
                        "discovery.exports");
        host_kill(host, "");
        /* Its packages may be on their way, and the watch does not look into them. */
        load_failed(the_table, m, problem_lacks_packages(m->problems) &&
                                  m->failures < PACKAGES_TRIES);
        return;
    }
    take_over(m, host);
    serve(the_table, m);
    changed(the_table);
}

static void on_changed(void *arg, struct host *host)
{
    if (host_state(host) == HOST_READY)
        serve(the_table, arg);
}

static void note_crash(struct module *m, struct host *host, const char *why)
{
    struct problem_place place = place_of(m);

    if (why[0] == '\0')
        return;
    if (m->runtime == NULL)
        m->runtime = json_array();
    while (json_array_size(m->runtime) >= RUNTIME_KEPT)
        json_array_remove(m->runtime, 0);
    problem_add(m->runtime, "runtime", "error", &place, "%s", why);
    m->restarts++;
    if (clock_mono_ms() - host_ready_ms(host) > HEALTHY_MS)
        m->failures = 0;
    back_off(m);
}

static void on_ended(void *arg, struct host *host, const char *why)
{
    struct module *m = arg;
    struct problem_place place = place_of(m);

    for (int i = 0; i < MODULES_OLD_MAX; i++)
        if (m->old[i] == host) {
            for (int j = i; j + 1 < MODULES_OLD_MAX; j++)
                m->old[j] = m->old[j + 1];
            m->old[MODULES_OLD_MAX - 1] = NULL;
        }
    if (host == m->host) {
        m->host = NULL;
        note_crash(m, host, why);
    } else if (host == m->loading) {
        m->loading = NULL;
        if (why[0] != '\0') {
            reset_problems(&m->problems);
            problem_add(m->problems, "runtime", "error", &place, "it cannot be started: %s", why);
            load_failed(the_table, m, true);
        }
    }
    host_free(&host);
    serve(the_table, m);
    changed(the_table);
}

static int count_loads(const struct modules *table)
{
    int count = 0;

    for (struct module *m = table->first; m != NULL; m = m->next)
        count += m->loading != NULL;
    return count;
}

static void start_load(struct modules *table, struct module *m)
{
    struct host_settings settings = {.runner = &table->config->gateway.runner,
                                     .network = m->network, .exports = m->exports,
                                     .defaults = table->defaults};
    struct host_owner owner = {on_loaded, on_changed, on_ended, m};
    struct problem_place place = place_of(m);
    struct err e = {0};

    m->is_new = m->needs_load || m->catalog == NULL;
    m->network_given = m->network;
    if (!discover_is_same(&m->found))
        err_set(&e, AGW_EUNAVAILABLE, "its files changed since they were found");
    else
        m->loading = host_start(&settings, &m->found, &owner, &e);
    if (m->loading != NULL) {
        m->needs_load = false;
        changed(table);
        return;
    }
    reset_problems(&m->problems);
    problem_add(m->problems, "dependency", "error", &place, "%s", e.message);
    load_failed(table, m, true);
}

/* ---- the search ---- */

static void release_hosts(struct module *m)
{
    if (m->loading != NULL)
        host_kill(m->loading, "");
    if (m->host != NULL)
        retire(m, m->host, OLD_DRAIN_MS);
    m->host = NULL;
}

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

/* Entries of agents.yaml find their modules, and what only they name is found by that. */
static void find_claims(struct modules *table, struct discovery *found, const char *const *roots,
                        size_t root_count)
{
    const struct config *config = table->config;

    for (size_t i = 0; i < config->agent_count; i++) {
        const struct config_agent *agent = &config->agents[i];
        const struct found *f;
        struct module *m;

        if (agent->kind != AGENT_SDK)
            continue;
        f = discover_named(found, roots, root_count, agent->module);
        if (f == NULL) {
            problem_add(found->problems, "validation", "error",
                        &(struct problem_place){.agent = agent->id, .path = agent->place.file},
                        "%s:%d: there is no module %s in the folders of drop-in agents",
                        agent->place.file, agent->place.line, agent->module);
            continue;
        }
        m = find_module(table, f->path);
        if (m == NULL)
            m = add_module(table, f);
        m->is_wanted = true;
        add_claim(m, agent);
    }
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
    refuse(table, m, MODULES_BLOCKED, m->blocked, 0);
    if (m->loading != NULL)
        host_kill(m->loading, "");
    if (m->host != NULL)
        host_kill(m->host, ""); /* what must not run does not run on */
    json_decref(m->catalog);
    m->catalog = NULL;
    reset_problems(&m->problems);
}

/* What was found of a module that is known. */
static void update(struct modules *table, struct module *m, const struct found *found,
                   bool again)
{
    json_t *exports = export_names(table->config, m);

    if (found != NULL && found->mark != m->found.mark) {
        discover_drop(&m->found);
        discover_copy(&m->found, found);
        m->needs_load = true;
    }
    if (!json_equal(exports, m->exports) && m->exports != NULL)
        m->needs_load = true;
    if (m->network != m->network_given && m->exports != NULL)
        m->needs_load = true;
    json_decref(m->exports);
    m->exports = exports;
    if (again && (m->catalog == NULL || m->is_broken))
        m->needs_load = true;
    identity_of(m->found.folder, table->config->gateway.default_namespace, &m->identity);
    if (m->needs_load) {
        m->failures = 0;
        m->retry_at = 0;
        if (m->loading != NULL) /* of files that are not there any more */
            host_kill(m->loading, "");
    }
    judge(table, m);
}

static const struct found *found_of(const struct discovery *d, const struct module *m)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->found[i].path, m->found.path) == 0)
            return &d->found[i];
    return NULL;
}

void modules_apply(struct modules *table, struct config *config, struct discovery *found,
                   const char *const *roots, size_t root_count, bool again)
{
    struct config *before = table->config;

    table->config = config_acquire(config);
    json_decref(table->defaults);
    table->defaults = json_pack("{s:s?}", "model", config->gateway.default_model);
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
    find_claims(table, found, roots, root_count);
    for (struct module *m = table->first; m != NULL; m = m->next) {
        if (m->is_wanted) {
            update(table, m, found_of(found, m), again);
            continue;
        }
        refuse(table, m, MODULES_UNKNOWN, "it is not there any more", 0);
        release_hosts(m);
        m->needs_load = false;
    }
    json_decref(table->problems);
    table->problems = json_incref(found->problems);
    if (before != NULL)
        config_release(&before);
    changed(table);
}

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tick_hosts(struct module *m, int64_t now)
{
    int64_t next = INT64_MAX;

    if (m->host != NULL)
        next = earlier(next, host_tick(m->host, now));
    if (m->loading != NULL)
        next = earlier(next, host_tick(m->loading, now));
    for (int i = 0; i < MODULES_OLD_MAX; i++)
        if (m->old[i] != NULL)
            next = earlier(next, host_tick(m->old[i], now));
    return next;
}

/* An older generation that serves on would not come back, so it does not go. */
static int64_t stop_if_idle(struct modules *table, struct module *m, int64_t now)
{
    int64_t idle_ms = table->config->gateway.runner.idle_stop_ms, at;

    if (m->host == NULL || idle_ms == 0 || m->is_broken || host_state(m->host) != HOST_READY ||
        m->opens != NULL || host_runs(m->host) > 0)
        return INT64_MAX;
    at = host_idle_since(m->host) + idle_ms;
    if (now < at)
        return at;
    retire(m, m->host, IDLE_DRAIN_MS);
    m->host = NULL;
    changed(table);
    return INT64_MAX;
}

static int64_t load_if_due(struct modules *table, struct module *m, int64_t now)
{
    bool is_due = m->needs_load || (m->opens != NULL && m->host == NULL);

    if (!is_due || m->loading != NULL || table->is_draining)
        return INT64_MAX;
    if (now < m->retry_at)
        return m->retry_at;
    if (m->opens == NULL && count_loads(table) >= table->loads_max)
        return INT64_MAX; /* the end of another one is an event */
    start_load(table, m);
    return now;
}

static bool has_hosts(const struct module *m)
{
    return m->host != NULL || m->loading != NULL || m->old[0] != NULL;
}

static void sweep(struct modules *table)
{
    for (struct module **place = &table->first; *place != NULL;) {
        struct module *m = *place;

        if (m->is_wanted || has_hosts(m)) {
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
        next = earlier(next, tick_hosts(m, now));
        next = earlier(next, stop_if_idle(table, m, now));
        next = earlier(next, load_if_due(table, m, now));
    }
    return next;
}

bool modules_are_settled(const struct modules *table)
{
    for (const struct module *m = table->first; m != NULL; m = m->next)
        if (m->loading != NULL || (m->needs_load && m->failures == 0))
            return false;
    return true;
}

const char *modules_state(const struct module *m)
{
    if (m->is_blocked)
        return "blocked";
    if (!m->is_wanted)
        return "draining";
    if (m->host != NULL)
        return "running";
    if (m->loading != NULL)
        return "starting";
    if (clock_mono_ms() < m->retry_at)
        return "backoff";
    if (m->catalog == NULL && problem_is_fatal(m->problems))
        return "failed";
    return m->catalog == NULL ? "starting" : "idle";
}

/* ---- lifetime ---- */

void modules_init(struct modules *table, const struct modules_user *user)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    *table = (struct modules){.user = *user, .problems = json_array(),
                              .loads_max = cores > LOADS_LEAST ? (int)cores : LOADS_LEAST};
    the_table = table;
}

void modules_drain(struct modules *table, int64_t within_ms)
{
    table->is_draining = true;
    for (struct module *m = table->first; m != NULL; m = m->next) {
        refuse(table, m, MODULES_DRAINING, "the runner is being stopped", WAIT_MS);
        m->needs_load = false;
        if (m->loading != NULL)
            host_kill(m->loading, "");
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
        if (has_hosts(m))
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
    json_decref(table->problems);
    json_decref(table->defaults);
    if (table->config != NULL)
        config_release(&table->config);
}

/* SPDX-License-Identifier: MIT */
/* Starts, swaps, restarts and retires the processes of modules. */
#include <stdlib.h>
#include <string.h>

#include "runnerd/module_state.h"
#include "runnerd/problem.h"
#include "util/clock.h"

enum { DELAY_FIRST_MS = 200, DELAY_MAX_MS = 30000, HEALTHY_MS = 10000, OLD_DRAIN_MS = 900000,
       IDLE_DRAIN_MS = 10000, PING_MS = 1000, RUNTIME_KEPT = 3, OLD_KEPT = 4,
       PACKAGES_TRIES = 8 };

static struct problem_place place_of(const struct module *m)
{
    return (struct problem_place){.module = m->found.module, .path = m->found.path};
}

/* A callback of a host has the module alone; there is one table. */
static struct modules *the_table;

void module_process_init(struct modules *table)
{
    the_table = table;
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

void module_process_clear(json_t **list)
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
        module_opens_refuse(table, m, MODULES_START_FAILED, first_error(m), MODULES_WAIT_MS);
    modules_changed(table);
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
    module_process_clear(&m->problems);
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
    module_opens_serve(the_table, m);
    modules_changed(the_table);
}

static void on_changed(void *arg, struct host *host)
{
    if (host_state(host) == HOST_READY)
        module_opens_serve(the_table, arg);
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
            module_process_clear(&m->problems);
            problem_add(m->problems, "runtime", "error", &place, "it cannot be started: %s", why);
            load_failed(the_table, m, true);
        }
    }
    host_free(&host);
    module_opens_serve(the_table, m);
    modules_changed(the_table);
}

static int count_loads(const struct modules *table)
{
    int count = 0;

    for (struct module *m = table->first; m != NULL; m = m->next)
        count += m->loading != NULL;
    return count;
}

void module_process_start(struct modules *table, struct module *m)
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
        modules_changed(table);
        return;
    }
    module_process_clear(&m->problems);
    problem_add(m->problems, "dependency", "error", &place, "%s", e.message);
    load_failed(table, m, true);
}

void module_process_release(struct module *m)
{
    if (m->loading != NULL)
        host_kill(m->loading, "");
    if (m->host != NULL)
        retire(m, m->host, OLD_DRAIN_MS);
    m->host = NULL;
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
    modules_changed(table);
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
    module_process_start(table, m);
    return now;
}

bool module_process_is_there(const struct module *m)
{
    return m->host != NULL || m->loading != NULL || m->old[0] != NULL;
}

int64_t module_process_tick(struct modules *table, struct module *m, int64_t now)
{
    int64_t next = tick_hosts(m, now);

    next = earlier(next, stop_if_idle(table, m, now));
    return earlier(next, load_if_due(table, m, now));
}

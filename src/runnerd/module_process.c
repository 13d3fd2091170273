/* SPDX-License-Identifier: MIT */
/* Starts, swaps, restarts and retires the processes of modules. */
#include <stdio.h>
#include <string.h>

#include "runnerd/module_state.h"
#include "runnerd/offer.h"
#include "runnerd/problem.h"
#include "util/clock.h"

enum { DELAY_FIRST_MS = 200, DELAY_MAX_MS = 30000, HEALTHY_MS = 10000, OLD_DRAIN_MS = 900000,
       PING_MS = 1000, RUNTIME_KEPT = 3, OLD_KEPT = 4,
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

static void suspect(struct host *host, int64_t process)
{
    if (host != NULL && (process == 0 || host_number(host) == process))
        host_suspect(host, PING_MS);
}

void modules_suspect(const struct module *module, int64_t process)
{
    suspect(module->host, process);
    for (int i = 0; i < MODULES_OLD_MAX; i++)
        suspect(module->old[i], process);
}

/* Of those that finish their runs the eldest are ended when they become too many; and only when
 * not even that is fast enough is one waited for. */
void module_process_retire(struct module *m, int64_t within_ms)
{
    int count = 0;

    if (m->host == NULL)
        return;
    while (count < MODULES_OLD_MAX && m->old[count] != NULL)
        count++;
    for (int i = 0; i + OLD_KEPT <= count; i++)
        host_kill(m->old[i], "");
    if (count == MODULES_OLD_MAX) {
        host_free(&m->old[0]);
        count--;
        memmove(m->old, m->old + 1, (size_t)count * sizeof m->old[0]);
    }
    m->old[count] = m->host;
    host_drain(m->host, within_ms);
    m->host = NULL;
}

static void back_off(struct module_tries *tries)
{
    int64_t delay = DELAY_FIRST_MS;

    for (int i = 0; i < tries->failures && delay < DELAY_MAX_MS; i++)
        delay *= 2;
    tries->failures++;
    tries->retry_at = clock_mono_ms() + (delay > DELAY_MAX_MS ? DELAY_MAX_MS : delay);
}

const char *module_process_error(const struct module *m)
{
    size_t index;
    json_t *item;

    json_array_foreach(m->problems, index, item)
        if (strcmp(json_string_value(json_object_get(item, "severity")), "error") == 0)
            return json_string_value(json_object_get(item, "message"));
    return "it cannot be loaded";
}

/* What has gone wrong since it was loaded; the last few. */
static void note_problem(struct module *m, const char *why)
{
    struct problem_place place = place_of(m);

    if (m->runtime == NULL)
        m->runtime = json_array();
    while (json_array_size(m->runtime) >= RUNTIME_KEPT)
        json_array_remove(m->runtime, 0);
    problem_add(m->runtime, "runtime", "error", &place, "%s", why);
    /* The same again is another one. */
    json_object_set_new(json_array_get(m->runtime, json_array_size(m->runtime) - 1), "count",
                        json_integer(++m->noted));
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
    m->needs_revival = m->catalog == NULL && m->is_kept;
    m->needs_load = may_help_to_try_again;
    if (may_help_to_try_again)
        back_off(&m->load);
    if (m->host != NULL && host_has_network(m->host) && !m->network)
        module_process_retire(m, OLD_DRAIN_MS); /* it would have been replaced for that */
    if (m->host == NULL && m->reviving == NULL && !module_process_can_revive(m))
        module_opens_refuse(table, m, MODULES_START_FAILED, module_process_error(m),
                            MODULES_WAIT_MS);
    modules_changed(table);
}

static bool offers_something(const json_t *catalog)
{
    return json_array_size(json_object_get(catalog, "exports")) > 0;
}

/* What it has reported is what is wrong with the newest files. */
static bool take_problems(struct module *m, const struct host *host)
{
    struct problem_place place = place_of(m);
    const json_t *catalog = host_catalog(host);

    module_process_clear(&m->problems);
    problem_add_reported(m->problems, json_object_get(catalog, "diagnostics"), &place);
    if (!offers_something(catalog) && !problem_is_fatal(m->problems))
        problem_add(m->problems, "validation", "error", &place,
                    "it offers no agent; the names looked for are those of "
                    "discovery.exports");
    return offers_something(catalog);
}

static void serve_by(struct module *m, struct host *host)
{
    struct problem_place place = place_of(m);
    bool cut;

    module_process_retire(m, OLD_DRAIN_MS);
    m->host = host;
    json_decref(m->catalog);
    m->catalog = offer_take(host_catalog(host), &cut);
    if (cut)
        problem_add(m->problems, "validation", "warning", &place,
                    "it offers more, or longer names and texts, than are listed: at most %d "
                    "agents and %d names of tools; names have at most %d characters, "
                    "texts %d", OFFER_EXPORTS_MAX, OFFER_NAMES_MAX, OFFER_NAME_MAX,
                    OFFER_TEXT_MAX);
    m->needs_revival = false;
    m->loaded_at = clock_wall_ms();
}

/* Its runs may still read files of it. */
static bool copy_is_in_use(const struct module *m)
{
    for (int i = 0; i < MODULES_OLD_MAX; i++)
        if (m->old[i] != NULL && host_is_of_copy(m->old[i]))
            return true;
    return false;
}

/* Files that changed meanwhile are loaded soon; until then the older copy is the best one. */
static void keep(struct modules *table, struct module *m)
{
    struct problem_place place = place_of(m);
    struct err e = {0};
    int status;

    m->keeps_later = copy_is_in_use(m);
    if (m->keeps_later) {
        m->is_serving_kept = false;
        return;
    }
    status = kept_take(&table->kept, &m->found, &e);
    m->is_serving_kept = status == 0;
    m->is_kept = m->is_kept || status == 0;
    if (status != 0 && status != AGW_EMODEL && table->kept.fd >= 0)
        problem_add(m->problems, "runtime", "warning", &place,
                    "no copy of it can be kept, so its process does not end when idle: %s",
                    e.message);
}

static void newest_loaded(struct modules *table, struct module *m)
{
    struct host *host = m->loading;

    if (!take_problems(m, host)) {
        host_kill(host, "");
        /* Its packages may be on their way, and the watch does not look into them. */
        load_failed(table, m, problem_lacks_packages(m->problems) &&
                              m->load.failures < PACKAGES_TRIES);
        return;
    }
    m->loading = NULL;
    serve_by(m, host);
    if (m->reviving != NULL)
        host_kill(m->reviving, "");
    m->is_broken = false;
    m->served_mark = m->found.mark;
    m->generation++;
    m->load = m->revival = (struct module_tries){0};
    keep(table, m);
}

static void revival_failed(struct modules *table, struct module *m, const char *why)
{
    note_problem(m, why);
    back_off(&m->revival);
    if (m->loading == NULL)
        module_opens_refuse(table, m, MODULES_START_FAILED, why, MODULES_WAIT_MS);
    modules_changed(table);
}

static void revived(struct modules *table, struct module *m)
{
    struct host *host = m->reviving;
    bool of_copy = m->is_reviving_copy;

    if (!(of_copy ? offers_something(host_catalog(host)) : take_problems(m, host))) {
        host_kill(host, "");
        m->is_broken = true;
        if (!of_copy && m->is_kept)
            return; /* which is tried when this one has ended */
        m->needs_revival = false; /* the next run tries again, after a while */
        revival_failed(table, m, "what could be loaded before offers no agent any more");
        return;
    }
    m->reviving = NULL;
    serve_by(m, host);
    if (of_copy) {
        if (!m->is_serving_kept)
            m->served_mark = 0;
        m->is_broken = m->is_broken || m->generation == 0;
        m->is_serving_kept = true;
    } else if (!m->is_serving_kept) {
        keep(table, m);
    }
    m->generation += m->generation == 0;
}

static void on_loaded(void *arg, struct host *host)
{
    struct module *m = arg;

    if (host != m->loading && host != m->reviving)
        return;
    snprintf(the_table->sandbox, sizeof the_table->sandbox, "%s", host_report(host));
    if (host == m->loading)
        newest_loaded(the_table, m);
    else
        revived(the_table, m);
    module_opens_serve(the_table, m);
    modules_changed(the_table);
}

/* Memory grows and shrinks a little all the time. */
static bool is_news(const struct module *m, const struct host *host)
{
    int64_t change = host_rss(host) - m->listed_rss;

    return host_runs(host) != m->listed_runs || (change < 0 ? -change : change) * 4 > m->listed_rss;
}

static void on_changed(void *arg, struct host *host)
{
    struct module *m = arg;

    if (host == m->host && is_news(m, host))
        the_table->user.load_changed(the_table->user.arg);
    if (host_state(host) == HOST_READY)
        module_opens_serve(the_table, m);
}

static void note_crash(struct module *m, const struct host *host, const char *why)
{
    if (why[0] == '\0')
        return;
    note_problem(m, why);
    m->restarts++;
    if (clock_mono_ms() - host_ready_ms(host) > HEALTHY_MS)
        m->revival.failures = 0;
    back_off(&m->revival);
}

/* What it lacks it does not get back, as a rule, so another one takes its place; its runs go on. */
static void on_full(void *arg, struct host *host)
{
    struct module *m = arg;

    if (host != m->host || !module_process_can_revive(m))
        return;
    note_crash(m, host, "its process had no descriptor left for a request, as its code keeps too "
                        "many files or sockets open; another one takes its place");
    module_process_retire(m, OLD_DRAIN_MS);
    module_opens_serve(the_table, m);
    modules_changed(the_table);
}

static void forget_old(struct module *m, const struct host *host)
{
    for (int i = 0; i < MODULES_OLD_MAX; i++)
        if (m->old[i] == host) {
            for (int j = i; j + 1 < MODULES_OLD_MAX; j++)
                m->old[j] = m->old[j + 1];
            m->old[MODULES_OLD_MAX - 1] = NULL;
        }
}

/* What serves has been loaded from the newest files. */
static bool is_newest(const struct module *m)
{
    return m->catalog != NULL && !m->is_broken && m->found.mark == m->served_mark;
}

static void keep_if_put_off(struct modules *table, struct module *m)
{
    if (m->keeps_later && m->is_wanted && !m->is_blocked && is_newest(m) && !copy_is_in_use(m))
        keep(table, m);
}

static void on_ended(void *arg, struct host *host, const char *why)
{
    struct module *m = arg;
    struct problem_place place = place_of(m);

    forget_old(m, host);
    if (host == m->host) {
        m->host = NULL;
        note_crash(m, host, why);
    } else if (host == m->loading) {
        m->loading = NULL;
        if (why[0] != '\0') {
            module_process_clear(&m->problems);
            problem_add(m->problems, "runtime", "error", &place, "it cannot be started: %s",
                        why);
            load_failed(the_table, m, true);
        }
    } else if (host == m->reviving) {
        m->reviving = NULL;
        if (why[0] != '\0')
            revival_failed(the_table, m, why);
    }
    host_free(&host);
    keep_if_put_off(the_table, m);
    module_opens_serve(the_table, m);
    modules_changed(the_table);
}

/* NULL with the reason. */
static struct host *start(const struct modules *table, struct module *m,
                          const struct found *files, struct err *e)
{
    struct host_settings settings = {.runner = &table->config->gateway.runner,
                                     .network = m->network, .exports = m->exports,
                                     .defaults = table->defaults};
    struct host_owner owner = {on_loaded, on_full, on_changed, on_ended, m};

    return host_start(&settings, files, &owner, e);
}

void module_process_load(struct modules *table, struct module *m)
{
    struct problem_place place = place_of(m);
    struct err e = {0};

    m->network_given = m->network;
    if (!discover_is_same(&m->found))
        err_set(&e, AGW_EUNAVAILABLE, "its files changed since they were found");
    else
        m->loading = start(table, m, &m->found, &e);
    if (m->loading != NULL) {
        m->needs_load = false;
        modules_changed(table);
        return;
    }
    module_process_clear(&m->problems);
    problem_add(m->problems, "dependency", "error", &place, "%s", e.message);
    load_failed(table, m, true);
}

bool module_process_can_revive(const struct module *m)
{
    if (m->catalog == NULL)
        return m->needs_revival && m->is_kept;
    return m->is_kept || is_newest(m);
}

void module_process_revive(struct modules *table, struct module *m)
{
    struct found copy = {0};
    struct err e = {0};

    m->is_reviving_copy = !is_newest(m) || !discover_is_same(&m->found);
    if (!m->is_reviving_copy)
        m->reviving = start(table, m, &m->found, &e);
    else if (kept_find(&table->kept, &m->found, &copy))
        m->reviving = start(table, m, &copy, &e);
    else
        err_set(&e, AGW_EUNAVAILABLE, "its files changed since they were found");
    discover_drop(&copy);
    if (m->reviving == NULL)
        revival_failed(table, m, e.message);
    modules_changed(table);
}

void module_process_stop_starting(struct module *m)
{
    if (m->loading != NULL)
        host_kill(m->loading, "");
    if (m->reviving != NULL)
        host_kill(m->reviving, "");
}

void module_process_stop_serving(struct module *m)
{
    if (m->host != NULL)
        host_kill(m->host, "");
    for (int i = 0; i < MODULES_OLD_MAX; i++)
        if (m->old[i] != NULL)
            host_kill(m->old[i], "");
}

void module_process_release(struct module *m)
{
    module_process_stop_starting(m);
    module_process_retire(m, OLD_DRAIN_MS);
}

bool module_process_is_there(const struct module *m)
{
    return m->host != NULL || m->loading != NULL || m->reviving != NULL || m->old[0] != NULL;
}

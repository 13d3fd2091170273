/* SPDX-License-Identifier: MIT */
/* Puts the parts of the runner together. */
#include "runnerd/service.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runnerd/descriptors.h"
#include "runnerd/discover.h"
#include "runnerd/listing.h"
#include "runnerd/memory.h"
#include "runnerd/problem.h"
#include "util/clock.h"
#include "util/json_text.h"
#include "util/log.h"

/* Each list costs each gateway a new catalog: what changes with each run is told now and then. */
enum { COALESCE_MS = 50, LOAD_COALESCE_MS = 2000, LOOK_AGAIN_MS = 1000, SETTLE_MS = 1000 };

/* ---- configuration ---- */

int service_read_config(const char *file, struct config **config, struct config_errors *errors)
{
    struct config_sources sources = {0};
    int status = config_sources_read(file, &sources, errors);

    if (status == 0)
        status = config_build_policy(&sources, config, errors);
    config_sources_free(&sources);
    return status;
}

static void free_roots(struct service *s)
{
    for (size_t i = 0; i < s->root_count; i++)
        free(s->roots[i]);
    free(s->roots);
    s->roots = NULL;
    s->root_count = 0;
}

/* Absolute, so that the process may be anywhere. Those that are not there keep their name. */
static void add_root(struct service *s, const char *path)
{
    char *real = realpath(path, NULL);

    s->roots = memory_grow(s->roots, (s->root_count + 1) * sizeof *s->roots);
    s->roots[s->root_count++] = memory_text(real == NULL ? path : real);
    free(real);
}

static void find_roots(struct service *s)
{
    const struct config_gateway *g = &s->config->gateway;

    free_roots(s);
    if (g->discovery_path != NULL)
        add_root(s, g->discovery_path);
    for (size_t i = 0; i < g->discovery_extra_count; i++)
        add_root(s, g->discovery_extra[i]);
}

static void take_config(struct service *s)
{
    struct config_errors errors = {0};
    struct config *config = NULL;

    if (service_read_config(s->config_file, &config, &errors) == 0) {
        config_release(&s->config);
        s->config = config;
        s->rejected[0] = '\0';
        log_set_level(config->gateway.log_level);
    } else {
        char *text = config_errors_text(&errors);

        snprintf(s->rejected, sizeof s->rejected, "%s", text == NULL ? "out of memory" : text);
        s->rejected[strcspn(s->rejected, "\n")] = '\0';
        json_text_repair(s->rejected);
        log_message(LOG_ERROR, "runner.config_rejected", "%s", s->rejected);
        free(text);
    }
    config_errors_free(&errors);
}

/* ---- search and watch ---- */

static void publish_within(struct service *s, int64_t ms)
{
    int64_t at = clock_mono_ms() + ms;

    if (!s->is_dirty || at < s->publish_at)
        s->publish_at = at;
    s->is_dirty = true;
}

static void mark_dirty(void *arg)
{
    publish_within(arg, COALESCE_MS);
}

static void mark_load(void *arg)
{
    publish_within(arg, LOAD_COALESCE_MS);
}

static void set_watch_state(struct service *s, const char *state, const char *reason)
{
    struct log_line line;

    if (s->watch_state != NULL && strcmp(s->watch_state, state) == 0 &&
        strcmp(s->watch_reason, reason) == 0)
        return;
    s->watch_state = state;
    snprintf(s->watch_reason, sizeof s->watch_reason, "%s", reason);
    json_text_repair(s->watch_reason);
    log_begin(&line, LOG_INFO, "runner.watch");
    log_str(&line, "state", state);
    if (reason[0] != '\0')
        log_str(&line, "reason", reason);
    log_end(&line);
}

/* What hinders watching; the rest is watched nevertheless. */
static void judge_watch(struct service *s, const struct discovery *d)
{
    if (!s->config->gateway.agent_watch || s->root_count == 0)
        set_watch_state(s, "stopped", "");
    else if (s->watch.trouble[0] != '\0')
        set_watch_state(s, "disabled", s->watch.trouble);
    else if (d->missing[0] != '\0')
        set_watch_state(s, "disabled", d->missing);
    else
        set_watch_state(s, "started", "");
    s->look_again_at = s->config->gateway.agent_watch && d->missing[0] != '\0'
                           ? clock_mono_ms() + LOOK_AGAIN_MS
                           : INT64_MAX;
}

/* What was not seen for want of descriptors may still be there: all stays as it is. */
static bool put_off(struct service *s, const struct discovery *d)
{
    bool was_put_off = s->search_again_at != INT64_MAX;

    s->search_again_at = d->is_cut ? clock_mono_ms() + LOOK_AGAIN_MS : INT64_MAX;
    if (!d->is_cut || was_put_off)
        return d->is_cut;
    log_message(LOG_ERROR, "runner.search_put_off", "%s", descriptors_short);
    problem_add(s->table.problems, "runtime", "error", &(struct problem_place){0},
                "the folders of agents were not searched: %s", descriptors_short);
    return true;
}

static void search(struct service *s, bool again)
{
    bool watches = s->config->gateway.agent_watch;
    struct discovery d = {.arg = &s->watch};

    if (watches && s->watch.fd < 0)
        (void)watch_open(&s->watch);
    if (!watches)
        watch_close(&s->watch);
    if (s->watch.fd >= 0) {
        watch_begin_search(&s->watch);
        d.folder = watch_folder;
    }
    find_roots(s);
    discover_search(&d, (const char *const *)s->roots, s->root_count);
    if (s->rejected[0] != '\0')
        problem_add(d.problems, "validation", "error", &(struct problem_place){0},
                    "the configuration was not taken: %s", s->rejected);
    if (s->unkept[0] != '\0')
        problem_add(d.problems, "runtime", "warning", &(struct problem_place){0},
                    "no copies of modules are kept, so processes do not end when idle: %s",
                    s->unkept);
    modules_apply(&s->table, s->config, &d, (const char *const *)s->roots, s->root_count, again);
    if (!put_off(s, &d))
        judge_watch(s, &d);
    discover_free(&d);
    mark_dirty(s);
}

void service_refresh(struct service *s)
{
    take_config(s);
    search(s, true);
}

/* ---- lifetime ---- */

int service_open(struct service *s, const char *config_file, struct config *config,
                 struct err *e)
{
    struct modules_user user = server_modules_user;
    struct err problem = {0};
    int status;

    *s = (struct service){.config_file = config_file, .config = config,
                          .watch = {.event = {.fd = -1}, .fd = -1}, .look_again_at = INT64_MAX,
                          .started_at = clock_wall_ms(),
                          .search_again_at = INT64_MAX};
    user.changed = mark_dirty;
    user.load_changed = mark_load;
    user.arg = s;
    modules_init(&s->table, &user);
    status = server_open(&s->server, config->gateway.runner.socket, &s->table, e);
    if (status != 0)
        return status;
    snprintf(s->socket, sizeof s->socket, "%s", s->server.socket.path);
    if (kept_open(&s->table.kept, config->gateway.runner.socket, &problem) != 0)
        snprintf(s->unkept, sizeof s->unkept, "%.400s", problem.message);
    search(s, false);
    return 0;
}

void service_close(struct service *s)
{
    server_close(&s->server);
    modules_free(&s->table);
    watch_close(&s->watch);
    free_roots(s);
    config_release(&s->config);
}

void service_stop(struct service *s)
{
    int64_t drain_ms = s->is_stopping ? 0 : s->config->gateway.drain_timeout_ms;

    log_message(LOG_INFO, "runner.stopping", "runs may go on for at most %lld ms",
                (long long)drain_ms);
    s->is_stopping = true;
    s->stop_by = clock_mono_ms() + drain_ms;
    server_stop(&s->server);
    modules_drain(&s->table, drain_ms);
}

bool service_has_ended(const struct service *s)
{
    return s->is_stopping && (modules_have_ended(&s->table) || clock_mono_ms() >= s->stop_by);
}

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void publish(struct service *s)
{
    struct listing_watch watch = {s->watch_state,
                                  s->watch_reason[0] == '\0' ? NULL : s->watch_reason};
    bool is_settled = s->search_again_at == INT64_MAX && modules_are_settled(&s->table);
    struct listing_runner runner = {s->socket, s->started_at, s->was_settled};

    s->is_dirty = false;
    if (s->table.config == NULL)
        return; /* no search has been done: which agents there are is not known */
    s->was_settled = runner.is_complete = s->was_settled || is_settled;
    server_publish(&s->server, listing_make(&s->table, ++s->generation, &watch, &runner),
                   is_settled);
}

static int64_t tick_search(struct service *s, int64_t now)
{
    int64_t due = earlier(earlier(watch_due(&s->watch), s->look_again_at), s->search_again_at);

    if (s->is_stopping)
        return INT64_MAX;
    if (s->server.is_refresh_asked) {
        s->server.is_refresh_asked = false;
        service_refresh(s);
        return now;
    }
    if (now < due)
        return due;
    search(s, false);
    return now;
}

int service_tick(struct service *s)
{
    int64_t now = clock_mono_ms(), next = tick_search(s, now);

    next = earlier(next, modules_tick(&s->table, now));
    if (s->is_dirty && now >= s->publish_at)
        publish(s);
    if (s->is_dirty)
        next = earlier(next, s->publish_at);
    next = earlier(next, server_tick(&s->server, now));
    if (s->is_stopping)
        next = earlier(next, s->stop_by);
    if (next == INT64_MAX)
        return -1;
    now = clock_mono_ms();
    return next <= now ? 0 : next - now > INT_MAX ? INT_MAX : (int)(next - now);
}

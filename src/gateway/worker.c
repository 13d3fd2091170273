/* SPDX-License-Identifier: MIT */
/* Puts the floors together in one process and takes them apart again. */
#include "gateway/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/derive.h"
#include "api/dropin_news.h"
#include "api/housekeeping.h"
#include "api/steps.h"
#include "gateway/auto_reload.h"
#include "http/server.h"
#include "net/http_client.h"
#include "store/errors_ring.h"
#include "store/metrics.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/permit.h"

enum { TICK_MS = 250, LOOK_MS = 1000, PERMITS_A_CORE = 3, LAST_ROWS_MS = 250, FAILED = 3 };

struct worker {
    const struct worker_settings *settings;
    const struct supervisor_seat *seat;
    const struct config_gateway *gateway;
    struct api api;
    struct derive_targets targets;
    struct server *server;
    bool metrics_open;

    pthread_t keeper;
    bool keeper_runs;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, reload; /* guarded by lock */
};

static int failed(const char *what, const struct err *e)
{
    log_message(LOG_ERROR, "worker.failed", "%s: %s", what, e->message);
    return FAILED;
}

static int permits(const struct worker *w)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int workers = w->settings->workers, n;

    if (w->gateway->running_threads > 0)
        return w->gateway->running_threads;
    n = (int)((PERMITS_A_CORE * (cores < 1 ? 1 : cores) + workers - 1) / workers);
    return n < 2 ? 2 : n;
}

static void count_unfinished(void *arg, const struct audit_row *end)
{
    (void)arg;
    metrics_add(METRIC_REQUESTS, 1, end->agent == NULL ? "" : end->agent,
                end->streaming == 1 ? "true" : "false", end->outcome);
}

/* Requests that died with another process get their outcome. */
static void close_unfinished(struct store *store)
{
    struct err e = {0};
    int count = 0;

    if (audit_rows_close_unfinished(store, count_unfinished, NULL, &count, &e) != 0)
        log_message(LOG_ERROR, "audit.failed", "closing unfinished requests: %s", e.message);
    else if (count > 0)
        log_message(LOG_WARN, "audit.closed_unfinished", "%d requests", count);
}

static int open_store(struct worker *w, struct err *e)
{
    const struct config_gateway *g = w->gateway;
    struct store_options options = {.path = g->database, .gate_wait_ms = g->gate_wait_ms,
                                    .synchronous_full = g->audit_synchronous_full};
    int rc = store_open(&options, &w->api.store, e);

    if (rc == 0)
        rc = metrics_open(w->api.store, e);
    w->metrics_open = rc == 0;
    if (rc == 0)
        rc = rate_limit_open(store_shm(w->api.store), &w->api.limiter, e);
    if (rc == 0)
        rc = tally_open(w->api.store, &w->api.tally, e);
    return rc;
}

/* For /admin/agents/errors; one worker an instance speaks. */
static void note_tool_problem(void *arg, const char *tool, const char *problem)
{
    struct store *store = arg;
    struct error_entry entry = {.ts = store_now(store), .component = "tools", .kind = "runtime",
                                .severity = "error", .subject = tool, .message = problem};
    struct err e;

    if (errors_ring_add(store, &entry, 1, &e) != 0)
        log_message(LOG_ERROR, "store.failed", "noting an error: %s", e.message);
}

static int open_policy(struct worker *w, struct err *e)
{
    const struct config_gateway *g = w->gateway;
    struct audit_options audit = {.queue_max = g->audit_queue_max,
                                  .linger_ms = g->audit_linger_ms,
                                  .wait_ms = g->audit_wait_ms,
                                  .head_file = g->audit_head_file};
    struct policy_hooks hooks;
    int rc = audit_start(w->api.store, &audit, &w->api.audit, e);

    if (rc != 0)
        return rc;
    w->api.upstreams = upstreams_new();
    w->api.toolset = toolset_new(tool_providers);
    w->api.link = link_new();
    if (w->api.upstreams == NULL || w->api.toolset == NULL || w->api.link == NULL)
        return err_set(e, AGW_ENOMEM, "no memory for upstreams, tools and runner");
    if (w->seat->slot == 0) {
        toolset_on_problem(w->api.toolset, note_tool_problem, w->api.store);
        link_on_change(w->api.link, dropin_news, &w->api);
    }
    w->targets = (struct derive_targets){w->api.upstreams, w->api.toolset, w->api.link};
    derive_hooks(&w->targets, &hooks);
    hooks.tally = w->api.tally;
    return policy_state_open(w->api.store, w->settings->origin,
                             config_acquire(w->settings->config), &hooks, &w->api.policy, e);
}

static void handle(void *arg, struct fcgi *x)
{
    struct worker *w = arg;

    steps_walk(&w->api, x);
}

static void overloaded(void *arg)
{
    struct worker *w = arg;

    steps_overloaded(&w->api);
}

static int open_server(struct worker *w, struct err *e)
{
    const struct config_gateway *g = w->gateway;
    struct server_options options = {.listen_fd = w->seat->listen_fd,
                                     .siblings = w->seat->siblings, .slot = w->seat->slot,
                                     .min_threads = g->min_threads,
                                     .max_threads = g->max_threads,
                                     .thread_idle_ms = g->thread_idle_ms,
                                     .read_timeout_ms = g->read_timeout_ms,
                                     .write_timeout_ms = g->write_timeout_ms,
                                     .handle = handle, .overloaded = overloaded, .arg = w};

    return server_start(&options, &w->server, e);
}

/* What became of it is logged, counted and recorded by policy_reload() itself. */
static void reload(struct worker *w, enum config_component component)
{
    struct config_errors errors = {0};
    struct err e = {0};
    int64_t generation;

    policy_reload(w->api.policy, component, NULL, &generation, &errors, &e);
    config_errors_free(&errors);
}

/* Waits for the next turn; what is wanted is in *stop and *wanted then. */
static void await_turn(struct worker *w, bool *stop, bool *wanted)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&w->lock);
    while (!w->stop && !w->reload &&
           pthread_cond_timedwait(&w->wake, &w->lock, &until) != ETIMEDOUT)
        ;
    *stop = w->stop;
    *wanted = w->reload;
    w->reload = false;
    pthread_mutex_unlock(&w->lock);
}

static void *keep_house(void *arg)
{
    struct worker *w = arg;
    struct housekeeping house = {.api = &w->api, .warns = w->seat->slot == 0};
    struct auto_reload files;
    int64_t look_at = 0;
    bool stop = false, wanted = false;

    /* one worker an instance looks at the files */
    if (w->seat->slot == 0)
        auto_reload_init(&files, w->gateway);
    while (!stop) {
        int64_t now = clock_mono_ms();

        if (wanted)
            reload(w, CONFIG_COMPONENTS);
        if (w->seat->slot == 0 && now >= look_at) {
            look_at = now + LOOK_MS;
            for (int i = 0; i < CONFIG_COMPONENTS; i++)
                if (auto_reload_changed(&files, i))
                    reload(w, i);
        }
        housekeeping_tick(&house);
        await_turn(w, &stop, &wanted);
    }
    if (w->seat->slot == 0)
        auto_reload_free(&files);
    housekeeping_flush(&house);
    return NULL;
}

static int start_keeper(struct worker *w, struct err *e)
{
    sigset_t all, before;
    int rc;

    clock_condition_init(&w->wake);
    pthread_mutex_init(&w->lock, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&w->keeper, NULL, keep_house, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->keeper_runs = rc == 0;
    return rc == 0 ? 0 : err_set(e, AGW_EINTERNAL, "housekeeping: %s", strerror(rc));
}

static void tell_keeper(struct worker *w, bool stop)
{
    pthread_mutex_lock(&w->lock);
    if (stop)
        w->stop = true;
    else
        w->reload = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

static int open_all(struct worker *w)
{
    struct err e = {0};

    permit_init(permits(w));
    if (http_client_init() != 0 || fcgi_init() != 0)
        return failed("libraries", &e);
    if (open_store(w, &e) != 0)
        return failed("database", &e);
    close_unfinished(w->api.store);
    if (open_policy(w, &e) != 0)
        return failed("policy", &e);
    if (start_keeper(w, &e) != 0 || open_server(w, &e) != 0)
        return failed("server", &e);
    return 0;
}

static void close_all(struct worker *w)
{
    if (w->keeper_runs) {
        tell_keeper(w, true);
        pthread_join(w->keeper, NULL);
        pthread_cond_destroy(&w->wake);
        pthread_mutex_destroy(&w->lock);
    }
    link_free(&w->api.link); /* its thread has news for the audit */
    if (w->api.audit != NULL)
        audit_stop(&w->api.audit);
    policy_state_close(&w->api.policy);
    if (w->api.toolset != NULL)
        toolset_free(&w->api.toolset);
    if (w->api.upstreams != NULL)
        upstreams_free(&w->api.upstreams);
    if (w->api.limiter != NULL)
        rate_limit_close(&w->api.limiter);
    tally_close(&w->api.tally);
    if (w->metrics_open)
        metrics_close();
    if (w->api.store != NULL)
        store_close(&w->api.store);
}

/* Until it is time to go. */
static void serve(struct worker *w)
{
    sigset_t watched;

    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGHUP);
    sigaddset(&watched, SIGUSR1);
    for (;;) {
        int signum = sigwaitinfo(&watched, NULL);

        if (signum == SIGHUP)
            tell_keeper(w, false);
        else if (signum == SIGUSR1 && log_open(w->gateway->log_file) != 0)
            log_message(LOG_ERROR, "log.failed", "%s: %s", w->gateway->log_file,
                        strerror(errno));
        else if (signum == SIGTERM || signum == SIGINT)
            return;
    }
}

int worker_run(const struct worker_settings *settings, const struct supervisor_seat *seat)
{
    struct worker w = {.settings = settings, .seat = seat,
                       .gateway = &settings->config->gateway};
    int status, left;

    w.api.started_ms = settings->started_ms;
    status = open_all(&w);
    if (status == 0) {
        (void)!write(seat->ready_fd, "r", 1);
        serve(&w);
        left = server_drain(&w.server, w.gateway->drain_timeout_ms);
        if (left > 0) {
            log_message(LOG_WARN, "worker.drain_timeout", "%d requests were cut off", left);
            /* Threads still use everything; what they have recorded is let out, what they
             * have not finished is closed by the next process. */
            usleep(LAST_ROWS_MS * 1000);
            _exit(0);
        }
    }
    close_all(&w);
    return status;
}

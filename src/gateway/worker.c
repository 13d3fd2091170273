/* SPDX-License-Identifier: MIT */
/* Serves requests in one process, from its first connection to its last. */
#include "gateway/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/derive.h"
#include "api/housekeeping.h"
#include "api/steps.h"
#include "http/server.h"
#include "net/http_client.h"
#include "store/metrics.h"
#include "util/log.h"
#include "util/permit.h"

enum { TICK_NS = 250000000, RUNNING_PER_CORE = 3 };

struct worker {
    const struct worker_options *options;
    const struct config_gateway *settings; /* as they were at the start */
    struct api api;
    struct housekeeping chores;
    struct server *server;
};

static int open_store(struct worker *w, struct err *e)
{
    struct store_options options = {.path = w->settings->database,
                                    .gate_wait_ms = w->settings->gate_wait_ms,
                                    .synchronous_full = w->settings->audit_synchronous_full};
    int status = store_open(&options, &w->api.store, e);

    if (status == 0)
        status = metrics_open(w->api.store, e);
    if (status == 0)
        status = rate_limit_open(store_shm(w->api.store), &w->api.limiter, e);
    return status;
}

static int start_audit(struct worker *w, struct err *e)
{
    struct audit_options options = {.queue_max = w->settings->audit_queue_max,
                                    .linger_ms = w->settings->audit_linger_ms,
                                    .wait_ms = w->settings->audit_wait_ms,
                                    .head_file = w->settings->audit_head_file};

    return audit_start(w->api.store, &options, &w->api.audit, e);
}

static int open_policy(struct worker *w, struct err *e)
{
    struct policy_hooks hooks;

    w->api.upstreams = upstreams_new();
    if (w->api.upstreams == NULL)
        return err_set(e, AGW_ENOMEM, "upstreams");
    derive_hooks(w->api.upstreams, &hooks);
    return policy_state_open(w->api.store, w->options->origin,
                             config_acquire(w->options->config), &hooks, &w->api.policy, e);
}

/* More runnable threads than a few a core only add context switches. */
static int running_threads(const struct config_gateway *settings)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (settings->running_threads > 0)
        return settings->running_threads;
    return (int)(cores < 1 ? 1 : cores) * RUNNING_PER_CORE;
}

static void handle(void *arg, struct fcgi *x)
{
    steps_walk(arg, x);
}

static void overloaded(void *arg)
{
    steps_overloaded(arg);
}

static int start_server(struct worker *w, struct err *e)
{
    struct server_options options = {.listen_fd = w->options->listen_fd,
                                     .siblings = w->options->siblings,
                                     .slot = w->options->slot,
                                     .min_threads = w->settings->min_threads,
                                     .max_threads = w->settings->max_threads,
                                     .thread_idle_ms = w->settings->thread_idle_ms,
                                     .read_timeout_ms = w->settings->read_timeout_ms,
                                     .write_timeout_ms = w->settings->write_timeout_ms,
                                     .handle = handle,
                                     .overloaded = overloaded,
                                     .arg = &w->api};

    permit_init(running_threads(w->settings));
    return server_start(&options, &w->server, e);
}

static int start(struct worker *w, struct err *e)
{
    int status = open_store(w, e);

    if (status == 0 && (http_client_init() != 0 || fcgi_init() != 0))
        status = err_set(e, AGW_EINTERNAL, "a library cannot be initialised");
    if (status == 0)
        status = start_audit(w, e);
    if (status == 0)
        status = open_policy(w, e);
    if (status == 0)
        status = start_server(w, e);
    return status;
}

static void reload(struct worker *w)
{
    struct config_errors errors = {0};
    struct err problem;
    int64_t generation;

    /* The outcome is logged, counted and recorded where it is decided. */
    policy_reload(w->api.policy, CONFIG_COMPONENTS, NULL, &generation, &errors, &problem);
    config_errors_free(&errors);
}

static void reopen_log(const struct worker *w)
{
    if (log_open(w->settings->log_file) != 0)
        log_message(LOG_ERROR, "log.failed", "%s: %s", w->settings->log_file, strerror(errno));
}

/* The main thread does the chores and waits for signals; every other thread blocks them. */
static void serve_until_told(struct worker *w, const sigset_t *signals)
{
    const struct timespec tick = {.tv_nsec = TICK_NS};

    for (;;) {
        switch (sigtimedwait(signals, NULL, &tick)) {
        case SIGTERM:
        case SIGINT:
            return;
        case SIGHUP:
            reload(w);
            break;
        case SIGUSR1:
            reopen_log(w);
            break;
        default:
            housekeeping_tick(&w->chores);
        }
    }
}

/* Requests that still run use everything below, so nothing is freed under them. */
static int stop(struct worker *w)
{
    int left = w->server == NULL ? 0 : server_drain(&w->server, w->settings->drain_timeout_ms);

    if (w->api.policy != NULL)
        housekeeping_flush(&w->chores);
    if (left > 0) {
        log_message(LOG_WARN, "worker.drain_timeout", "%d requests were cut off", left);
        return 1;
    }
    if (w->api.audit != NULL)
        audit_stop(&w->api.audit);
    if (w->api.policy != NULL)
        policy_state_close(&w->api.policy);
    if (w->api.upstreams != NULL)
        upstreams_free(&w->api.upstreams);
    rate_limit_close(&w->api.limiter);
    metrics_close();
    if (w->api.store != NULL)
        store_close(&w->api.store);
    return 0;
}

int worker_run(const struct worker_options *options)
{
    struct config *config = options->config;
    struct worker w = {.options = options, .settings = &config->gateway,
                       .api.started_ms = options->started_ms};
    struct err problem;
    sigset_t signals;
    int status;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    w.chores = (struct housekeeping){.api = &w.api, .warns = options->slot == 0};
    status = start(&w, &problem);
    if (status == 0)
        serve_until_told(&w, &signals);
    else
        log_message(LOG_ERROR, "worker.failed", "%s", problem.message);
    if (stop(&w) != 0 && status == 0)
        status = 1;
    config_release(&config);
    return status == 0 ? 0 : 1;
}

/* SPDX-License-Identifier: MIT */
/* Sees to the life and end of the process of a module. */
#include "runnerd/host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "runnerd/host_state.h"
#include "runnerd/memory.h"
#include "runnerd/spawn.h"
#include "util/clock.h"

enum { GONE_MS = 1000, KILL_MS = 5000 };

/* ---- telling ---- */

enum host_state host_state(const struct host *host)
{
    return host->state;
}

int64_t host_number(const struct host *host)
{
    return host->number;
}

pid_t host_pid(const struct host *host)
{
    return host->child.pid;
}

int64_t host_rss(const struct host *host)
{
    return host->rss;
}

int64_t host_runs(const struct host *host)
{
    return host->runs + host->connections - host->runs_at;
}

int64_t host_idle_since(const struct host *host)
{
    return host->idle_since;
}

bool host_has_network(const struct host *host)
{
    return host->settings.network;
}

bool host_is_of_copy(const struct host *host)
{
    return host->found.origin != NULL;
}

const json_t *host_catalog(const struct host *host)
{
    return host->catalog;
}

const char *host_report(const struct host *host)
{
    return host->child.report;
}

int64_t host_ready_ms(const struct host *host)
{
    return host->ready_ms;
}

static void log_host(const struct host *host, enum log_level level, const char *event,
                     const char *message)
{
    struct log_line line;

    log_begin(&line, level, event);
    log_str(&line, "module", host->module->module);
    log_int(&line, "pid", host->child.pid);
    if (message != NULL && message[0] != '\0')
        log_str(&line, "message", message);
    log_end(&line);
}

/* ---- ending ---- */

void host_kill(struct host *host, const char *why)
{
    if (host->state == HOST_ENDING)
        return;
    snprintf(host->why, sizeof host->why, "%s", why);
    host->is_asked = host->is_asked || why[0] == '\0';
    host->is_killed = true;
    host->state = HOST_ENDING;
    host->deadline = clock_mono_ms() + KILL_MS;
    event_forget(&host->control);
    event_forget(&host->starting);
    wire_close(&host->wire);
    launch_kill(&host->child);
}

void host_drain(struct host *host, int64_t within_ms)
{
    json_t *message;

    if (host->state < HOST_READY) {
        host_kill(host, "");
        return;
    }
    if (host->state != HOST_READY)
        return;
    host->state = HOST_DRAINING;
    host->is_asked = true;
    host->deadline = clock_mono_ms() + within_ms;
    message = json_pack("{s:s}", "t", "drain");
    if (wire_send(&host->wire, message, NULL) != 0)
        host_kill(host, "");
    json_decref(message);
}

void host_hurry(struct host *host, int64_t within_ms)
{
    int64_t by = clock_mono_ms() + within_ms;

    if (host->state == HOST_DRAINING && host->deadline > by)
        host->deadline = by;
}

void host_lost(struct host *host, const char *why)
{
    if (host->state == HOST_ENDING)
        return;
    event_forget(&host->control);
    wire_close(&host->wire);
    snprintf(host->why, sizeof host->why, "%s", why);
    host->state = HOST_ENDING;
    host->deadline = clock_mono_ms() + GONE_MS;
}

static void describe_end(const struct host *host, char *why, size_t size)
{
    const char *last = host_output_last(&host->output[HOST_PIPE_ERR]);
    char how[100];

    launch_status_text(host->child.status, how, sizeof how);
    if (host->is_asked && (host->is_killed || host->child.status == 0))
        why[0] = '\0';
    else if (host->is_killed)
        snprintf(why, size, "%s", host->why);
    else
        snprintf(why, size, "its process ended with %s%s%.200s", how,
                 last[0] == '\0' ? "" : ": ", last);
}

static void on_printed(void *arg, unsigned events);

static void read_output(struct host *host, int which)
{
    int *fd = which == HOST_PIPE_OUT ? &host->child.out : &host->child.err;
    bool ended = false;

    if (*fd < 0)
        return;
    host->paused[which] = !host_output_read(&host->output[which], *fd, clock_mono_ms(), &ended);
    if (host->paused[which] || ended)
        event_forget(&host->printed[which]);
    else if (host->printed[which].fd < 0)
        (void)event_watch(&host->printed[which], *fd, EPOLLIN, on_printed, host);
    if (ended)
        launch_close(fd);
}

static void on_printed(void *arg, unsigned events)
{
    (void)events;
    for (int i = 0; i < HOST_PIPES; i++)
        if (!((struct host *)arg)->paused[i])
            read_output(arg, i);
}

static void on_exited(void *arg, unsigned events)
{
    struct host *host = arg;
    char why[HOST_WHY_SIZE + 400];

    (void)events;
    if (!launch_has_ended(&host->child))
        return;
    for (int i = 0; i < HOST_PIPES; i++)
        read_output(host, i);
    describe_end(host, why, sizeof why);
    event_forget(&host->exited);
    log_host(host, why[0] == '\0' ? LOG_INFO : LOG_WARN, "runner.host.ended", why);
    host->owner.ended(host->owner.arg, host, why);
}

/* ---- starting ---- */

static void on_starting(void *arg, unsigned events)
{
    struct host *host = arg;
    struct err e = {0};
    int status;

    (void)events;
    event_forget(&host->starting); /* launch_look() closes it when all has come */
    status = launch_look(&host->child, &e);
    if (status == 0) {
        if (event_watch(&host->starting, host->child.starting, EPOLLIN, on_starting, host) != 0)
            host_kill(host, "its start cannot be watched");
        return;
    }
    if (status < 0) {
        host_kill(host, e.message);
        return;
    }
    host->state = HOST_GREETING;
    host->deadline = clock_mono_ms() + host->settings.runner->start_timeout_ms;
    log_host(host, LOG_INFO, "runner.host.started", NULL);
    host->owner.changed(host->owner.arg, host);
}

static int watch_all(struct host *host)
{
    const struct launch_child *child = &host->child;
    const struct {
        struct event *event;
        int fd;
        void (*ready)(void *arg, unsigned events);
    } watched[] = {{&host->exited, child->ended_fd, on_exited},
                   {&host->starting, child->starting, on_starting},
                   {&host->control, host->wire.fd, host_talk_ready},
                   {&host->printed[HOST_PIPE_OUT], child->out, on_printed},
                   {&host->printed[HOST_PIPE_ERR], child->err, on_printed}};

    launch_close(&host->child.in);
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        if (event_watch(watched[i].event, watched[i].fd, EPOLLIN, watched[i].ready, host) != 0)
            return -1;
    return 0;
}

static void init(struct host *host)
{
    struct event *events[] = {&host->starting, &host->exited, &host->control,
                              &host->printed[HOST_PIPE_OUT], &host->printed[HOST_PIPE_ERR]};

    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        events[i]->fd = -1;
    host->wire.fd = -1;
    for (int i = 0; i < HOST_PIPES; i++)
        host->output[i].module = host->module->module;
    host->urgent_by = host->next_ping = INT64_MAX;
    host->deadline = clock_mono_ms() + host->settings.runner->start_timeout_ms;
}

/* Times, so that a runner that starts anew gives none that one before has given. */
static int64_t next_number(void)
{
    static int64_t last;
    int64_t now = clock_wall_ms();

    last = now > last ? now : last + 1;
    return last;
}

struct host *host_start(const struct host_settings *settings, const struct found *module,
                        const struct host_owner *owner, struct err *e)
{
    struct host *host = memory_new(sizeof *host);
    int ends[2];

    *host = (struct host){.settings = *settings, .owner = *owner, .number = next_number()};
    discover_copy(&host->found, module);
    host->module = &host->found;
    init(host);
    host->runner = *settings->runner; /* a configuration may go before its processes */
    host->settings.runner = &host->runner;
    json_incref(host->settings.exports);
    json_incref(host->settings.defaults);
    if (host_pair(0, ends, e) != 0) {
        host_free(&host);
        return NULL;
    }
    host_talk_begin(host, ends[0]);
    if (spawn_host(&host->runner, module, settings->network, ends[1], &host->child, e) != 0)
        host->child.pid = 0;
    close(ends[1]);
    if (host->child.pid > 0 && watch_all(host) == 0)
        return host;
    if (host->child.pid > 0)
        err_set(e, AGW_EUNAVAILABLE, "its process cannot be watched: %s", strerror(errno));
    host_free(&host);
    return NULL;
}

/* ---- time ---- */

static void overdue(struct host *host)
{
    switch (host->state) {
    case HOST_STARTING:
        host_kill(host, "it takes too long to start");
        return;
    case HOST_GREETING:
        host_kill(host, "it does not report after its start");
        return;
    case HOST_LOADING:
        host_kill(host, "its code takes too long to load");
        return;
    case HOST_DRAINING:
        host_kill(host, "");
        return;
    default: /* it does not end by itself, or its keeper is stuck */
        if (!host->is_killed) {
            host->is_killed = true;
            launch_kill(&host->child);
        } else {
            kill(host->child.pid, SIGKILL);
        }
        host->deadline = clock_mono_ms() + KILL_MS;
    }
}

static void resume_output(struct host *host, int64_t now)
{
    for (int i = 0; i < HOST_PIPES; i++)
        if (host->paused[i] && now - host->output[i].second >= HOST_SECOND_MS)
            read_output(host, i);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t host_tick(struct host *host, int64_t now)
{
    int64_t next;

    if (now >= host->deadline)
        overdue(host);
    if (now >= host->urgent_by && host->state != HOST_ENDING)
        host_kill(host, "it hangs: it answers no ping");
    host_talk_ping(host, now);
    resume_output(host, now);
    next = host->deadline;
    if (host->state != HOST_ENDING)
        next = earlier(next, earlier(host->next_ping, host->urgent_by));
    for (int i = 0; i < HOST_PIPES; i++)
        if (host->paused[i])
            next = earlier(next, host->output[i].second + HOST_SECOND_MS);
    return next;
}

void host_free(struct host **p)
{
    struct host *host = *p;

    if (host == NULL)
        return;
    event_forget(&host->starting);
    event_forget(&host->exited);
    event_forget(&host->control);
    event_forget(&host->printed[HOST_PIPE_OUT]);
    event_forget(&host->printed[HOST_PIPE_ERR]);
    if (host->child.pid > 0)
        launch_end(&host->child);
    if (host->wire.fd >= 0)
        wire_close(&host->wire);
    json_decref(host->settings.exports);
    json_decref(host->settings.defaults);
    json_decref(host->catalog);
    discover_drop(&host->found);
    free(host);
    *p = NULL;
}

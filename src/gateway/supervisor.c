/* SPDX-License-Identifier: MIT */
/* Starts workers, and starts them again. */
#include "gateway/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/companion.h"
#include "gateway/notify.h"
#include "util/clock.h"
#include "util/log.h"

enum {
    SHORT_LIFE_MS = 1000,  /* who dies so young again and again ... */
    DEATHS_FREE = 3,       /* ... more often than this, is restarted later each time */
    DELAY_FIRST_MS = 50,
    DELAY_MAX_MS = 800,    /* never so late that a second passes without it */
    FORK_RETRY_MS = 500,
    BOOKS_MS = 2000        /* after the drain: the last audit rows, the database */
};

struct worker_slot {
    pid_t pid;             /* 0 = none */
    int64_t started_at;    /* clock_mono_ms() */
    int64_t start_at;      /* when there is none: when to start one */
    int deaths;            /* young ones in a row */
};

struct supervisor {
    const struct supervisor_options *options;
    struct siblings *siblings;
    struct worker_slot *slots;
    struct companion runner;
    int signal_fd;
    int ready[2];
    bool ready_said, stopping, runner_told;
    int64_t kill_at;
};

static void log_worker(enum log_level level, const char *event, int slot, pid_t pid, int status)
{
    struct log_line line;

    log_begin(&line, level, event);
    log_int(&line, "worker", slot);
    log_int(&line, "pid", pid);
    if (status >= 0 && WIFSIGNALED(status))
        log_int(&line, "signal", WTERMSIG(status));
    else if (status >= 0)
        log_int(&line, "status", WEXITSTATUS(status));
    log_end(&line);
}

/* In the new process. */
static void be_worker(struct supervisor *s, int slot, pid_t supervisor)
{
    struct supervisor_seat seat = {.slot = slot, .listen_fd = s->options->socket->fd,
                                   .siblings = s->siblings, .ready_fd = s->ready[1]};

    /* A worker must not outlive a killed supervisor: the socket would have two masters. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != supervisor)
        _exit(0);
    close(s->signal_fd);
    close(s->ready[0]);
    exit(s->options->work(s->options->arg, &seat));
}

static void start_worker(struct supervisor *s, int slot, int64_t now)
{
    struct worker_slot *w = &s->slots[slot];
    pid_t supervisor = getpid(), pid = fork();

    if (pid == 0)
        be_worker(s, slot, supervisor);
    if (pid < 0) {
        log_message(LOG_ERROR, "worker.exited", "fork: %s", strerror(errno));
        w->start_at = now + FORK_RETRY_MS;
        return;
    }
    w->pid = pid;
    w->started_at = now;
    log_worker(LOG_INFO, "worker.started", slot, pid, -1);
}

static void start_due(struct supervisor *s, int64_t now)
{
    for (int i = 0; i < s->options->workers && !s->stopping; i++)
        if (s->slots[i].pid == 0 && s->slots[i].start_at <= now)
            start_worker(s, i, now);
}

static void worker_ended(struct supervisor *s, int slot, int status, int64_t now)
{
    struct worker_slot *w = &s->slots[slot];
    int64_t delay = 0;

    log_worker(s->stopping && status == 0 ? LOG_INFO : LOG_ERROR, "worker.exited", slot, w->pid,
               status);
    siblings_set_room(s->siblings, slot, false);
    w->pid = 0;
    if (now - w->started_at >= SHORT_LIFE_MS)
        w->deaths = 0;
    else if (++w->deaths > DEATHS_FREE)
        delay = w->deaths > DEATHS_FREE + 4 ? DELAY_MAX_MS
                                            : DELAY_FIRST_MS << (w->deaths - DEATHS_FREE - 1);
    w->start_at = now + delay;
}

static void reap(struct supervisor *s, int64_t now)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (companion_ended(&s->runner, pid, status, now))
            continue;
        for (int i = 0; i < s->options->workers; i++)
            if (s->slots[i].pid == pid)
                worker_ended(s, i, status, now);
    }
}

static int signal_workers(struct supervisor *s, int signum, bool all)
{
    int count = 0;

    for (int i = 0; i < s->options->workers && (all || count == 0); i++)
        if (s->slots[i].pid > 0 && kill(s->slots[i].pid, signum) == 0)
            count++;
    return count;
}

static void stop(struct supervisor *s, int64_t now)
{
    if (s->stopping) {
        s->kill_at = now;
        return;
    }
    s->stopping = true;
    s->kill_at = now + s->options->drain_ms + BOOKS_MS;
    log_message(LOG_INFO, "gateway.stopping", "draining for at most %lld ms",
                (long long)s->options->drain_ms);
    notify_send("STOPPING=1");
    /* Our own socket goes first: who comes now shall not wait for nobody. */
    listen_close(s->options->socket);
    signal_workers(s, SIGTERM, true);
}

static void on_signal(struct supervisor *s, int signum, int64_t now)
{
    switch (signum) {
    case SIGCHLD:
        reap(s, now);
        break;
    case SIGHUP:
        signal_workers(s, SIGHUP, false);
        break;
    case SIGUSR1:
        s->options->reopen_log(s->options->arg);
        signal_workers(s, SIGUSR1, true);
        companion_signal(&s->runner, SIGUSR1);
        break;
    default:
        stop(s, now);
    }
}

static bool any_worker(const struct supervisor *s)
{
    for (int i = 0; i < s->options->workers; i++)
        if (s->slots[i].pid > 0)
            return true;
    return false;
}

static int next_timeout(struct supervisor *s, int64_t now)
{
    int64_t at = s->stopping ? s->kill_at : companion_tick(&s->runner, now);

    for (int i = 0; i < s->options->workers && !s->stopping; i++)
        if (s->slots[i].pid == 0 && s->slots[i].start_at < at)
            at = s->slots[i].start_at;
    if (at == INT64_MAX)
        return -1;
    return at <= now ? 0 : (int)(at - now);
}

static void look_ready(struct supervisor *s)
{
    char byte;

    while (read(s->ready[0], &byte, 1) > 0)
        if (!s->ready_said) {
            s->ready_said = true;
            notify_send("READY=1");
            log_message(LOG_INFO, "gateway.started", "serving with %d workers",
                        s->options->workers);
        }
}

/* The runner is ended after the workers, whose runs it hosts. */
static bool runner_goes_on(struct supervisor *s)
{
    if (s->runner.pid == 0)
        return false;
    if (!s->runner_told)
        companion_signal(&s->runner, SIGTERM);
    s->runner_told = true;
    return true;
}

static void loop(struct supervisor *s)
{
    struct pollfd polled[2] = {{.fd = s->signal_fd, .events = POLLIN},
                               {.fd = s->ready[0], .events = POLLIN}};
    struct signalfd_siginfo info;

    for (;;) {
        int64_t now = clock_mono_ms();

        start_due(s, now);
        poll(polled, 2, next_timeout(s, now));
        look_ready(s);
        now = clock_mono_ms();
        while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            on_signal(s, (int)info.ssi_signo, now);
        if (s->stopping && !any_worker(s) && !runner_goes_on(s))
            return;
        if (s->stopping && now >= s->kill_at) {
            signal_workers(s, SIGKILL, true);
            companion_signal(&s->runner, SIGKILL);
            s->kill_at = now + BOOKS_MS;
        }
    }
}

int supervisor_run(const struct supervisor_options *options, struct err *e)
{
    struct supervisor s = {.options = options, .runner = {.config = options->runner_config},
                           .signal_fd = -1, .ready = {-1, -1}};
    sigset_t watched, before;
    int rc = 0;

    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGHUP);
    sigaddset(&watched, SIGUSR1);
    sigaddset(&watched, SIGCHLD);
    sigprocmask(SIG_BLOCK, &watched, &before);
    s.slots = calloc((size_t)options->workers, sizeof *s.slots);
    s.siblings = siblings_new();
    s.signal_fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s.slots == NULL || s.siblings == NULL || s.signal_fd < 0 ||
        pipe2(s.ready, O_CLOEXEC | O_NONBLOCK) != 0) {
        rc = err_set(e, AGW_EINTERNAL, "the supervisor cannot start: %s", strerror(errno));
        goto out;
    }
    loop(&s);
    log_message(LOG_INFO, "gateway.stopped", "all workers have ended");
out:
    listen_close(options->socket);
    for (int i = 0; i < 2; i++)
        if (s.ready[i] >= 0)
            close(s.ready[i]);
    if (s.signal_fd >= 0)
        close(s.signal_fd);
    if (s.siblings != NULL)
        siblings_free(&s.siblings);
    free(s.slots);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return rc;
}

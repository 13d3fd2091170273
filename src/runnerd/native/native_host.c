/* SPDX-License-Identifier: MIT */
/* Listens to the runner and to the connections of all runs, and beats for those that live. */
#include "runnerd/native/native_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runnerd/memory.h"
#include "runnerd/native/native_run.h"
#include "util/clock.h"
#include "util/crew.h"

enum {
    LINES_AT_ONCE = 64, INBOX_HIGH = 256, /* messages that wait for slow code of an agent */
    LINGER_MS = 10000,                    /* for a gateway that reads slowly */
    RETRY_MS = 100, FIXED = 2,
    STARVED_MS = 2000,                    /* runs may wait so long for a thread that none has */
    NO_CATALOG = 1, NO_THREAD = 2         /* exit statuses */
};

struct native_host {
    struct wire control;
    int wake_fd;
    bool draining, loaded, ends;
    int status;
    int64_t starved_ms; /* since then no run has a thread and one wants it; 0 = not so */
    struct native_module module;
    struct agw_run *runs;
    size_t run_count, room;
    struct pollfd *polled; /* control, wake_fd, runs in their order */
};

/* ---- runs ---- */

static void lose(struct agw_run *run)
{
    pthread_mutex_lock(&run->lock);
    run->gone = true;
    wire_close(&run->wire);
    pthread_mutex_unlock(&run->lock);
    native_run_cancel(run, "gone");
    if (!run->has_thread)
        atomic_store(&run->finished, true);
}

static void start_thread(struct agw_run *run)
{
    if (!run->has_thread && run->start != NULL && !atomic_load(&run->finished))
        run->has_thread = crew_do(native_serve, run) == 0;
}

static void read_run(struct agw_run *run)
{
    struct err e;

    for (int i = 0; i < LINES_AT_ONCE && !run->gone; i++) {
        json_t *message = NULL;
        int status;

        pthread_mutex_lock(&run->lock);
        run->paused = run->waiting > INBOX_HIGH;
        status = run->paused ? 0 : wire_receive(&run->wire, &message, NULL, &e);
        pthread_mutex_unlock(&run->lock);
        if (status == 0)
            return;
        if (status < 0)
            lose(run);
        else if (native_run_take(run, message))
            start_thread(run);
    }
}

static void write_run(struct agw_run *run)
{
    struct err e;
    bool broken;

    pthread_mutex_lock(&run->lock);
    broken = wire_flush(&run->wire, &e) != 0;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    if (broken)
        lose(run);
}

static void beat(struct agw_run *run, int64_t now)
{
    struct err e;

    if (now >= run->deadline_ms) {
        run->deadline_ms = INT64_MAX;
        native_run_cancel(run, "deadline");
    }
    if (now < run->next_beat_ms)
        return;
    run->next_beat_ms = now + run->heartbeat_ms;
    if (!run->gone && !atomic_load(&run->finished) &&
        !native_run_is_silent(run, 2 * run->heartbeat_ms))
        native_run_send(run, json_pack("{s:s}", "t", "hb"), &e);
}

static bool has_ended(struct agw_run *run, int64_t now)
{
    if (!atomic_load(&run->finished))
        return false;
    if (run->linger_ms == 0)
        run->linger_ms = now + LINGER_MS;
    return run->gone || !wire_wants_to_send(&run->wire) || now >= run->linger_ms;
}

static bool is_starved(const struct native_host *host)
{
    bool waits = false;

    for (struct agw_run *run = host->runs; run != NULL; run = run->next) {
        if (run->has_thread && !atomic_load(&run->finished))
            return false;
        waits = waits || (run->start != NULL && !run->has_thread && !run->gone);
    }
    return waits;
}

/* Who waits for a thread gets that of a run that ends. When there is none to end, what code of the
 * agent has left behind takes all that this process may have, and only a new one can help. */
static void look_for_threads(struct native_host *host, int64_t now)
{
    if (!is_starved(host))
        host->starved_ms = 0;
    else if (host->starved_ms == 0)
        host->starved_ms = now;
    else if (now - host->starved_ms > STARVED_MS) {
        fprintf(stderr, "no thread can be had for a request, though none runs: code of the agent "
                        "has left threads or processes behind\n");
        host->ends = true;
        host->status = NO_THREAD;
    }
}

static void sweep(struct native_host *host, int64_t now)
{
    struct agw_run **at = &host->runs;

    while (*at != NULL) {
        struct agw_run *run = *at;

        if (!has_ended(run, now)) {
            start_thread(run); /* if there was none to be had before */
            beat(run, now);
            at = &run->next;
            continue;
        }
        *at = run->next;
        host->run_count--;
        native_run_free(&run);
    }
    look_for_threads(host, now);
    if (host->draining && host->run_count == 0)
        host->ends = true;
}

/* ---- the runner ---- */

/* The second number of this file is the pages that it has in memory. */
static int64_t resident(void)
{
    char text[128] = "", *second;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    second = length <= 0 ? NULL : strchr(text, ' ');
    return second == NULL ? 0 : strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static void say(struct native_host *host, json_t *message)
{
    struct err e;

    if (message == NULL || wire_send(&host->control, message, &e) != 0)
        host->ends = true;
    json_decref(message);
}

/* Silence says that code of the agent hangs, and that this process is to be replaced. */
static void pong(struct native_host *host, const json_t *message)
{
    for (struct agw_run *run = host->runs; run != NULL; run = run->next)
        if (native_run_is_silent(run, 3 * run->heartbeat_ms))
            return;
    say(host, json_pack("{s:s,s:O?,s:I,s:I}", "t", "pong", "n", json_object_get(message, "n"),
                        "rss", (json_int_t)resident(), "runs", (json_int_t)host->run_count));
}

static void load(struct native_host *host, const json_t *message)
{
    int64_t began = clock_mono_ms();
    json_t *catalog = native_module_load(&host->module, message);

    host->loaded = true;
    json_object_set_new(catalog, "t", json_string("catalog"));
    json_object_set_new(catalog, "sdk", json_string(PACKAGE_VERSION));
    json_object_set_new(catalog, "ms", json_integer(clock_mono_ms() - began));
    say(host, catalog);
}

static void connect_run(struct native_host *host, const json_t *message, int fd)
{
    struct agw_run *run;

    if (fd < 0) { /* this process has too many open */
        say(host, json_pack("{s:s,s:O?}", "t", "lost", "id", json_object_get(message, "id")));
        return;
    }
    if (host->draining || !host->loaded) {
        close(fd);
        return;
    }
    run = native_run_new(&host->module, fd, host->wake_fd);
    if (run == NULL)
        return;
    run->next = host->runs;
    host->runs = run;
    host->run_count++;
    read_run(run);
}

static void take(struct native_host *host, const json_t *message, int fd)
{
    const char *type = wire_type(message);

    if (strcmp(type, "conn") == 0) {
        connect_run(host, message, fd);
        return;
    }
    if (fd >= 0)
        close(fd);
    if (strcmp(type, "ping") == 0) {
        pong(host, message);
    } else if (strcmp(type, "load") == 0 && !host->loaded) {
        load(host, message);
    } else if (strcmp(type, "drain") == 0) {
        host->draining = true;
    } else if (strcmp(type, "shutdown") == 0) {
        host->ends = true;
    } else if (strcmp(type, "hello") == 0 &&
               json_integer_value(json_object_get(message, "v")) != WIRE_VERSION) {
        fprintf(stderr, "agw-native: the runner speaks another version of the wire\n");
        host->ends = true;
        host->status = NO_CATALOG;
    }
}

static void read_control(struct native_host *host)
{
    struct err e;

    for (int i = 0; i < LINES_AT_ONCE && !host->ends; i++) {
        json_t *message;
        int fd = -1, status = wire_receive(&host->control, &message, &fd, &e);

        if (status == 0)
            return;
        if (status < 0) {
            host->ends = true; /* nobody is left to serve */
            return;
        }
        take(host, message, fd);
        json_decref(message);
    }
}

/* ---- waiting ---- */

static short wanted(struct agw_run *run, bool *at_once)
{
    bool sends, has_line;

    pthread_mutex_lock(&run->lock);
    run->paused = run->waiting > INBOX_HIGH;
    sends = wire_wants_to_send(&run->wire);
    has_line = !run->gone && wire_has_line(&run->wire);
    pthread_mutex_unlock(&run->lock);
    *at_once = *at_once || (has_line && !run->paused);
    return (short)((run->paused ? 0 : POLLIN) | (sends ? POLLOUT : 0));
}

/* -> ms to wait. */
static int prepare(struct native_host *host, int64_t now)
{
    bool at_once = wire_has_line(&host->control);
    int64_t until = INT64_MAX;
    size_t i = FIXED;

    if (host->run_count + FIXED > host->room) {
        host->room = 2 * (host->run_count + FIXED);
        host->polled = memory_grow(host->polled, host->room * sizeof *host->polled);
    }
    host->polled[0] = (struct pollfd){.fd = host->control.fd, .events = POLLIN};
    if (wire_wants_to_send(&host->control))
        host->polled[0].events |= POLLOUT;
    host->polled[1] = (struct pollfd){.fd = host->wake_fd, .events = POLLIN};
    for (struct agw_run *run = host->runs; run != NULL; run = run->next) {
        host->polled[i++] = (struct pollfd){.fd = run->wire.fd, .events = wanted(run, &at_once)};
        if (run->next_beat_ms < until)
            until = run->next_beat_ms;
        if (run->deadline_ms < until)
            until = run->deadline_ms;
        if ((run->start != NULL && !run->has_thread) || run->linger_ms > 0)
            until = until < now + RETRY_MS ? until : now + RETRY_MS;
    }
    if (at_once || until <= now)
        return 0;
    return until == INT64_MAX ? -1 : until - now > INT32_MAX ? INT32_MAX : (int)(until - now);
}

static void serve_once(struct native_host *host)
{
    int timeout = prepare(host, clock_mono_ms());
    size_t i = FIXED;
    uint64_t count;
    struct err e;

    if (poll(host->polled, host->run_count + FIXED, timeout) < 0 && errno != EINTR)
        abort(); /* no such thing can be */
    if ((host->polled[1].revents & POLLIN) != 0 &&
        read(host->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        abort();
    for (struct agw_run *run = host->runs; run != NULL; run = run->next, i++) {
        short events = host->polled[i].revents;

        if ((events & POLLOUT) != 0)
            write_run(run);
        if (!run->gone && (events & (POLLIN | POLLHUP | POLLERR)) != 0 && !run->paused)
            read_run(run);
        else if (!run->gone && (events & (POLLHUP | POLLERR)) != 0)
            lose(run);
        else if (!run->gone && wire_has_line(&run->wire))
            read_run(run);
    }
    if (wire_wants_to_send(&host->control) && wire_flush(&host->control, &e) != 0)
        host->ends = true;
    read_control(host);
    sweep(host, clock_mono_ms());
}

int native_host_serve(int control)
{
    struct native_host host = {.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

    if (host.wake_fd < 0)
        return NO_CATALOG;
    native_module_init(&host.module);
    wire_init(&host.control, control, NULL);
    say(&host, json_pack("{s:s,s:i,s:s,s:s,s:i}", "t", "hello", "v", WIRE_VERSION, "lang",
                         "native", "sdk", PACKAGE_VERSION, "pid", (int)getpid()));
    while (!host.ends)
        serve_once(&host);
    wire_close(&host.control);
    if (host.runs == NULL)
        native_module_free(&host.module);
    free(host.polled);
    close(host.wake_fd);
    return host.status;
}

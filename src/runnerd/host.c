/* SPDX-License-Identifier: MIT */
/* Talks to the process of a module, and sees to its life and end. */
#include "runnerd/host.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runnerd/descriptors.h"
#include "runnerd/host_output.h"
#include "runnerd/memory.h"
#include "runnerd/node_channel.h"
#include "runnerd/spawn.h"
#include "util/clock.h"
#include "util/log.h"

enum { PINGS_MISSED = 3, PINGS_KEPT = 8, LINES_AT_ONCE = 64, GONE_MS = 1000, KILL_MS = 5000,
       SECOND_MS = 1000, RUNS_MAX = 1000000, MESSAGES_A_SECOND = 5000, BYTES_A_SECOND = 4 << 20,
       WHY_SIZE = 300 };

/* A catalog has a limit; nothing else that a host says here is long. */
static const struct wire_limits limits = {
    .line = 1 << 20, .queue = 4 << 20, .json = {.depth = 32, .tokens = 50000}};

enum { PIPE_OUT, PIPE_ERR, PIPES };

struct host {
    struct host_settings settings;
    struct config_runner runner; /* its names are gone after the start */
    struct found found;
    const struct found *module;  /* that */
    struct host_owner owner;
    int64_t number;
    enum host_state state;
    struct launch_child child;
    struct wire wire;
    struct event starting, exited, control, printed[PIPES];
    struct host_output output[PIPES];
    bool paused[PIPES];          /* no output is read until the next second */
    bool is_awaiting_ack;        /* Node.js: of the last connection */
    json_t *catalog;
    int64_t deadline;            /* of this state, mono ms; INT64_MAX = none */
    int64_t ready_ms, idle_since;
    int64_t next_ping, ping_count, pong_count, asked_ping;
    int64_t silent_since;        /* with a ping unanswered; 0 = none is */
    int64_t urgent_by;           /* a pong to this ping has to come; INT64_MAX = none is urgent */
    int64_t urgent_ping;
    int64_t connections, connections_at[PINGS_KEPT];
    int64_t runs, runs_at;       /* as of the last pong; connections at its ping */
    int64_t rss;
    int64_t message_second;      /* in which it has sent so many messages */
    int messages;
    uint64_t bytes_before;       /* what it had sent when that second began */
    bool is_asked;               /* to end: nothing is wrong */
    bool is_killed;              /* by us, for `why` */
    char why[WHY_SIZE];
};

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

/* Its side of the channel is closed: mostly its process is ending, and that says more. */
static void lost(struct host *host, const char *why)
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
    const char *last = host_output_last(&host->output[PIPE_ERR]);
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
    int *fd = which == PIPE_OUT ? &host->child.out : &host->child.err;
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
    for (int i = 0; i < PIPES; i++)
        if (!((struct host *)arg)->paused[i])
            read_output(arg, i);
}

static void on_exited(void *arg, unsigned events)
{
    struct host *host = arg;
    char why[WHY_SIZE + 400];

    (void)events;
    if (!launch_has_ended(&host->child))
        return;
    for (int i = 0; i < PIPES; i++)
        read_output(host, i);
    describe_end(host, why, sizeof why);
    event_forget(&host->exited);
    log_host(host, why[0] == '\0' ? LOG_INFO : LOG_WARN, "runner.host.ended", why);
    host->owner.ended(host->owner.arg, host, why);
}

/* ---- messages of the host ---- */

static void send_message(struct host *host, json_t *message)
{
    struct err e = {0};

    if (wire_send(&host->wire, message, &e) != 0)
        lost(host, "it does not read what it is sent");
    json_decref(message);
}

static void on_hello(struct host *host, const json_t *message)
{
    json_int_t version = json_integer_value(json_object_get(message, "v"));

    if (host->state != HOST_GREETING)
        return;
    if (version != WIRE_VERSION) {
        host_kill(host, "its host speaks another version of the wire");
        return;
    }
    host->state = HOST_LOADING;
    host->deadline = clock_mono_ms() + host->settings.runner->load_timeout_ms;
    send_message(host, json_pack("{s:s, s:i, s:{s:i}}", "t", "hello", "v", WIRE_VERSION,
                                 "limits", "max_line", WIRE_LINE_MAX));
    if (host->state == HOST_LOADING)
        send_message(host, json_pack("{s:s, s:s, s:s, s:O, s:O}", "t", "load", "path",
                                     host->module->path, "root", host->module->root, "exports",
                                     host->settings.exports, "defaults",
                                     host->settings.defaults));
}

static void on_catalog(struct host *host, json_t *message)
{
    if (host->state != HOST_LOADING)
        return;
    host->catalog = json_incref(message);
    host->state = HOST_READY;
    host->deadline = INT64_MAX;
    host->ready_ms = host->idle_since = clock_mono_ms();
    host->next_ping = host->ready_ms + host->settings.runner->ping_interval_ms;
    host->owner.loaded(host->owner.arg, host);
}

static int64_t number_of(const json_t *message, const char *key, int64_t max)
{
    json_int_t number = json_integer_value(json_object_get(message, key));

    return number < 0 ? 0 : number > max ? max : number;
}

static void on_pong(struct host *host, const json_t *message)
{
    int64_t n = number_of(message, "n", INT64_MAX);

    if (n <= host->pong_count || n > host->ping_count)
        return;
    host->pong_count = n;
    host->silent_since = n < host->ping_count ? clock_mono_ms() : 0;
    host->runs = number_of(message, "runs", RUNS_MAX);
    host->runs_at = host->connections_at[n % PINGS_KEPT];
    host->rss = number_of(message, "rss", INT64_MAX);
    if (n >= host->urgent_ping)
        host->urgent_by = INT64_MAX;
    if (host_runs(host) > 0)
        host->idle_since = clock_mono_ms();
    host->owner.changed(host->owner.arg, host);
}

static void on_log(struct host *host, const json_t *message)
{
    const char *level = json_string_value(json_object_get(message, "level"));
    const char *text = json_string_value(json_object_get(message, "message"));
    int known = level == NULL ? -1 : log_level_parse(level);

    host_output_note(&host->output[PIPE_OUT], known < 0 ? LOG_INFO : (enum log_level)known,
                     text == NULL ? "" : text, clock_mono_ms());
}

/* An honest host says little here. */
static bool is_flooding(struct host *host)
{
    int64_t second = clock_mono_ms() / SECOND_MS;

    if (second != host->message_second) {
        host->messages = 0;
        host->bytes_before = host->wire.in_place;
    }
    host->message_second = second;
    return ++host->messages > MESSAGES_A_SECOND ||
           host->wire.in_place - host->bytes_before > BYTES_A_SECOND;
}

static void on_message(struct host *host, json_t *message)
{
    const char *type = wire_type(message);

    if (is_flooding(host)) {
        host_kill(host, "it floods its channel with messages");
        return;
    }
    if (host->module->lang == DISCOVER_NODE)
        switch (node_channel_kind(message)) {
        case NODE_CHANNEL_ACK:
        case NODE_CHANNEL_NACK:
            host->is_awaiting_ack = false;
            host->owner.changed(host->owner.arg, host);
            return;
        case NODE_CHANNEL_OTHER:
            return;
        default:
            break;
        }
    if (strcmp(type, "hello") == 0)
        on_hello(host, message);
    else if (strcmp(type, "catalog") == 0)
        on_catalog(host, message);
    else if (strcmp(type, "pong") == 0)
        on_pong(host, message);
    else if (strcmp(type, "log") == 0)
        on_log(host, message);
}

/* Lines that wait for their turn are as good as a socket that can be written to. */
static void want(struct host *host)
{
    bool goes_on = wire_wants_to_send(&host->wire) || wire_has_line(&host->wire);

    event_want(&host->control, EPOLLIN | (goes_on ? (unsigned)EPOLLOUT : 0));
}

static void on_control(void *arg, unsigned events)
{
    struct host *host = arg;
    struct err e = {0};
    json_t *message;
    int status = 1;

    if ((events & EPOLLOUT) != 0 && wire_wants_to_send(&host->wire)) {
        status = wire_flush(&host->wire, &e) == 0 ? 1 : -1;
        if (status == 1 && !wire_wants_to_send(&host->wire))
            host->owner.changed(host->owner.arg, host);
    }
    for (int i = 0; i < LINES_AT_ONCE && status == 1 && host->state != HOST_ENDING; i++) {
        status = wire_receive(&host->wire, &message, NULL, &e);
        if (status != 1)
            break;
        on_message(host, message);
        json_decref(message);
    }
    if (host->state == HOST_ENDING)
        return;
    if (status < 0 && e.code == AGW_EGONE)
        lost(host, "it closed its channel");
    else if (status < 0)
        host_kill(host, e.message);
    else
        want(host);
}

/* A pair of sockets, none of which is among the last descriptors. */
static int make_pair(int flags, int ends[2], struct err *e)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends) != 0) {
        if (errno == EMFILE || errno == ENFILE)
            return err_set(e, AGW_EOVERLOAD, "%s", descriptors_short);
        return err_set(e, AGW_EUNAVAILABLE, "no sockets: %s", strerror(errno));
    }
    if (!descriptors_are_short(ends[0]) && !descriptors_are_short(ends[1]))
        return 0;
    close(ends[0]);
    close(ends[1]);
    return err_set(e, AGW_EOVERLOAD, "%s", descriptors_short);
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
    launch_close(&host->child.in);
    if (event_watch(&host->exited, host->child.ended_fd, EPOLLIN, on_exited, host) != 0 ||
        event_watch(&host->starting, host->child.starting, EPOLLIN, on_starting, host) != 0 ||
        event_watch(&host->control, host->wire.fd, EPOLLIN, on_control, host) != 0 ||
        event_watch(&host->printed[PIPE_OUT], host->child.out, EPOLLIN, on_printed, host) != 0 ||
        event_watch(&host->printed[PIPE_ERR], host->child.err, EPOLLIN, on_printed, host) != 0)
        return -1;
    return 0;
}

static void init(struct host *host)
{
    struct event *events[] = {&host->starting, &host->exited, &host->control,
                              &host->printed[PIPE_OUT], &host->printed[PIPE_ERR]};

    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        events[i]->fd = -1;
    host->wire.fd = -1;
    host->output[PIPE_OUT].module = host->output[PIPE_ERR].module = host->module->module;
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
    if (make_pair(0, ends, e) != 0) {
        host_free(&host);
        return NULL;
    }
    wire_init(&host->wire, ends[0], &limits);
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

/* ---- connections ---- */

bool host_can_connect(const struct host *host)
{
    return host->state == HOST_READY && !host->is_awaiting_ack &&
           !wire_wants_to_send(&host->wire);
}

int host_connect(struct host *host, int64_t id, int *other, struct err *e)
{
    json_t *message;
    int ends[2], status;

    /* Neither side may be stopped by the other, whatever it makes of its end. */
    status = make_pair(SOCK_NONBLOCK, ends, e);
    if (status != 0)
        return status;
    message = json_pack("{s:s, s:I}", "t", "conn", "id", (json_int_t)id);
    if (host->module->lang == DISCOVER_NODE) {
        message = node_channel_wrap(message);
        host->is_awaiting_ack = true;
    }
    status = wire_send_fd(&host->wire, message, ends[1], NULL);
    json_decref(message);
    if (status != 0) {
        close(ends[0]);
        lost(host, "it does not read what it is sent");
        return err_set(e, AGW_EUNAVAILABLE, "its process does not read what it is sent");
    }
    want(host);
    host->connections++;
    host->idle_since = clock_mono_ms();
    *other = ends[0];
    return 0;
}

/* ---- time ---- */

static void ping(struct host *host)
{
    if (host->silent_since == 0)
        host->silent_since = clock_mono_ms();
    host->ping_count++;
    host->connections_at[host->ping_count % PINGS_KEPT] = host->connections;
    send_message(host, json_pack("{s:s, s:I}", "t", "ping", "n", (json_int_t)host->ping_count));
    if (host->state != HOST_ENDING)
        want(host);
}

void host_count(struct host *host)
{
    if (host->state != HOST_READY || host_is_counting(host))
        return;
    host->asked_ping = host->ping_count + 1;
    ping(host);
}

bool host_is_counting(const struct host *host)
{
    return host->pong_count < host->asked_ping;
}

void host_suspect(struct host *host, int64_t within_ms)
{
    if ((host->state != HOST_READY && host->state != HOST_DRAINING) ||
        host->urgent_by != INT64_MAX)
        return;
    host->urgent_by = clock_mono_ms() + within_ms;
    host->urgent_ping = host->ping_count + 1;
    ping(host);
}

static void ping_if_due(struct host *host, int64_t now)
{
    int64_t interval = host->settings.runner->ping_interval_ms;

    if (now < host->next_ping || (host->state != HOST_READY && host->state != HOST_DRAINING))
        return;
    host->next_ping = now + interval;
    if (host->silent_since != 0 && now - host->silent_since >= PINGS_MISSED * interval)
        host_kill(host, "it hangs: it answers no ping");
    else
        ping(host);
}

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
    for (int i = 0; i < PIPES; i++)
        if (host->paused[i] && now - host->output[i].second >= SECOND_MS)
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
    ping_if_due(host, now);
    resume_output(host, now);
    next = host->deadline;
    if (host->state != HOST_ENDING)
        next = earlier(next, earlier(host->next_ping, host->urgent_by));
    for (int i = 0; i < PIPES; i++)
        if (host->paused[i])
            next = earlier(next, host->output[i].second + SECOND_MS);
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
    event_forget(&host->printed[PIPE_OUT]);
    event_forget(&host->printed[PIPE_ERR]);
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

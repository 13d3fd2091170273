/* SPDX-License-Identifier: MIT */
/* Speaks with the process of a module: its catalog, pings, connections that it gets. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runnerd/descriptors.h"
#include "runnerd/host_state.h"
#include "runnerd/node_channel.h"
#include "util/clock.h"

enum { PINGS_MISSED = 3, LINES_AT_ONCE = 64, RUNS_MAX = 1000000, MESSAGES_A_SECOND = 5000,
       BYTES_A_SECOND = 4 << 20 };

/* A catalog has a limit; nothing else that a host says here is long. */
static const struct wire_limits limits = {
    .line = 1 << 20, .queue = 4 << 20, .json = {.depth = 32, .tokens = 50000}};

void host_talk_begin(struct host *host, int fd)
{
    wire_init(&host->wire, fd, &limits);
}

/* ---- messages of the host ---- */

static void send_message(struct host *host, json_t *message)
{
    struct err e = {0};

    if (wire_send(&host->wire, message, &e) != 0)
        host_lost(host, "it does not read what it is sent");
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
    host->runs_at = host->connections_at[n % HOST_PINGS_KEPT];
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

    host_output_note(&host->output[HOST_PIPE_OUT], known < 0 ? LOG_INFO : (enum log_level)known,
                     text == NULL ? "" : text, clock_mono_ms());
}

static void on_lost(struct host *host)
{
    if (host->state == HOST_READY)
        host->owner.is_full(host->owner.arg, host);
}

/* An honest host says little here. */
static bool is_flooding(struct host *host)
{
    int64_t second = clock_mono_ms() / HOST_SECOND_MS;

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
        case NODE_CHANNEL_NACK:
            host->is_awaiting_ack = false;
            on_lost(host);
            return;
        case NODE_CHANNEL_ACK:
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
    else if (strcmp(type, "lost") == 0)
        on_lost(host);
}

/* Lines that wait for their turn are as good as a socket that can be written to. */
static void want(struct host *host)
{
    bool goes_on = wire_wants_to_send(&host->wire) || wire_has_line(&host->wire);

    event_want(&host->control, EPOLLIN | (goes_on ? (unsigned)EPOLLOUT : 0));
}

void host_talk_ready(void *arg, unsigned events)
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
        host_lost(host, "it closed its channel");
    else if (status < 0)
        host_kill(host, e.message);
    else
        want(host);
}

/* ---- connections ---- */

int host_pair(int flags, int ends[2], struct err *e)
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
    status = host_pair(SOCK_NONBLOCK, ends, e);
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
        host_lost(host, "it does not read what it is sent");
        return err_set(e, AGW_EUNAVAILABLE, "its process does not read what it is sent");
    }
    want(host);
    host->connections++;
    host->idle_since = clock_mono_ms();
    *other = ends[0];
    return 0;
}

/* ---- pings ---- */

static void ping(struct host *host)
{
    if (host->silent_since == 0)
        host->silent_since = clock_mono_ms();
    host->ping_count++;
    host->connections_at[host->ping_count % HOST_PINGS_KEPT] = host->connections;
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

void host_talk_ping(struct host *host, int64_t now)
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

/* SPDX-License-Identifier: MIT */
/* Serves gateways on the control socket. */
#include "runnerd/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runner/wire.h"
#include "runnerd/descriptors.h"
#include "runnerd/listing.h"
#include "runnerd/memory.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/log.h"

enum { CLIENTS_MAX = 256, LINES_AT_ONCE = 64, PAUSE_MS = 500, MODE = 0660, REFRESHES_MAX = 64,
       ADDRESS_SIZE = 120 };

/* Gateways ask short questions; lists may be long. */
static const struct wire_limits limits = {
    .line = 1 << 20, .queue = 2 * (size_t)WIRE_LINE_MAX, .json = {.depth = 16, .tokens = 10000}};

struct client {
    struct client *next;
    struct server *server;
    struct wire wire;
    struct event event;
    bool is_greeted, is_gone;
    bool is_owed;      /* the newest list, once it has read what was sent before */
    json_t *refreshes; /* ids of those that are not done, */
    json_t *done;      /* ... and of those that are, which it is told after that list */
};

/* ---- sending ---- */

static void give_up(struct client *c, const char *why)
{
    if (c->is_gone)
        return;
    c->is_gone = true;
    event_forget(&c->event);
    if (why != NULL)
        log_message(LOG_WARN, "runner.client.dropped", "%s", why);
}

/* While one does not read what it is told, it is not asked for more. Lines that have come and
 * wait for their turn are as good as a socket that can be written to: it goes on at once. */
static void want(struct client *c)
{
    if (wire_wants_to_send(&c->wire))
        event_want(&c->event, EPOLLOUT);
    else
        event_want(&c->event, wire_has_line(&c->wire) ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void send_message(struct client *c, json_t *message)
{
    struct err e = {0};

    if (!c->is_gone && wire_send(&c->wire, message, &e) != 0)
        give_up(c, e.code == AGW_EGONE ? NULL : e.message);
    if (!c->is_gone)
        want(c);
    json_decref(message);
}

static bool can_send(void *client)
{
    const struct client *c = client;

    return !c->is_gone && !wire_wants_to_send(&c->wire);
}

static void opened(void *client, int64_t id, int fd, int64_t process)
{
    struct client *c = client;
    json_t *message = json_pack("{s:s, s:I, s:I}", "t", "opened", "id", (json_int_t)id,
                                "process", (json_int_t)process);
    struct err e = {0};

    if (c->is_gone)
        close(fd);
    else if (wire_send_fd(&c->wire, message, fd, &e) != 0)
        give_up(c, e.code == AGW_EGONE ? NULL : e.message);
    if (!c->is_gone)
        want(c);
    json_decref(message);
}

static void refused(void *client, int64_t id, enum modules_refusal refusal, const char *message,
                    int64_t retry_after_ms)
{
    send_message(client, json_pack("{s:s, s:I, s:s, s:s, s:I}", "t", "refused", "id",
                                   (json_int_t)id, "class", modules_refusals[refusal],
                                   "message", message, "retry_after_ms",
                                   (json_int_t)retry_after_ms));
}

const struct modules_user server_modules_user = {
    .can_send = can_send, .opened = opened, .refused = refused};

/* ---- messages ---- */

static void send_listing(struct client *c, const char *text)
{
    struct err e = {0};

    if (wire_send_text(&c->wire, text, strlen(text), &e) != 0)
        give_up(c, e.code == AGW_EGONE ? NULL : e.message);
    else
        want(c);
}

static void tell_refreshed(struct client *c)
{
    size_t index;
    json_t *id;

    json_array_foreach(c->done, index, id)
        send_message(c, json_pack("{s:s, s:O}", "t", "refreshed", "id", id));
    json_array_clear(c->done);
}

/* Lists do not wait in line: for who reads slowly, one that comes takes the place of one before.
 * `text`: the newest, or NULL. */
static void pay(struct client *c, const char *text)
{
    char *own = NULL;

    if (!can_send(c))
        return;
    if (c->is_owed && text == NULL)
        text = own = json_dumps(c->server->listing, JSON_COMPACT);
    if (c->is_owed)
        send_listing(c, text);
    c->is_owed = false;
    json_memory_free(own);
    tell_refreshed(c);
}

static void on_hello(struct client *c, const json_t *message)
{
    json_int_t version = json_integer_value(json_object_get(message, "v"));

    if (version != WIRE_VERSION) {
        send_message(c, json_pack("{s:s, s:s}", "t", "error", "message",
                                  "this runner speaks version 1 of the wire"));
        give_up(c, "a gateway speaks another version of the wire");
        return;
    }
    if (c->is_greeted)
        return;
    c->is_greeted = true;
    if (c->server->listing != NULL) {
        char *text = json_dumps(c->server->listing, JSON_COMPACT);

        send_listing(c, text);
        json_memory_free(text);
    }
}

static void on_open(struct client *c, const json_t *message)
{
    struct server *s = c->server;
    json_int_t id = json_integer_value(json_object_get(message, "id"));
    const char *agent = json_string_value(json_object_get(message, "agent"));
    struct module *m = agent == NULL ? NULL : listing_find(s->table, s->listing, agent);

    if (m == NULL)
        refused(c, id, MODULES_UNKNOWN, "the runner has no such agent", 0);
    else
        modules_open(s->table, m, c, id);
}

static void on_refresh(struct client *c, const json_t *message)
{
    json_t *id = json_object_get(message, "id");

    if (json_array_size(c->refreshes) >= REFRESHES_MAX) {
        give_up(c, "a gateway asks for too many refreshes");
        return;
    }
    if (json_is_integer(id))
        json_array_append(c->refreshes, id);
    c->server->is_refresh_asked = true;
}

static void on_kill(const struct client *c, const json_t *message)
{
    const char *agent = json_string_value(json_object_get(message, "agent"));
    struct module *m =
        agent == NULL ? NULL : listing_find(c->server->table, c->server->listing, agent);

    if (m != NULL)
        modules_suspect(m, json_integer_value(json_object_get(message, "process")));
}

static void on_message(struct client *c, const json_t *message)
{
    const char *type = wire_type(message);

    if (strcmp(type, "hello") == 0)
        on_hello(c, message);
    else if (!c->is_greeted)
        give_up(c, "a gateway did not begin with hello");
    else if (strcmp(type, "open") == 0)
        on_open(c, message);
    else if (strcmp(type, "refresh") == 0)
        on_refresh(c, message);
    else if (strcmp(type, "kill") == 0)
        on_kill(c, message);
}

static void on_client(void *arg, unsigned events)
{
    struct client *c = arg;
    struct err e = {0};
    int status = 1;

    (void)events;
    if (wire_wants_to_send(&c->wire)) {
        status = wire_flush(&c->wire, &e) == 0 ? 1 : -1;
        if (status == 1)
            pay(c, NULL);
        if (status == 1 && !wire_wants_to_send(&c->wire))
            modules_resume(c->server->table);
    }
    for (int i = 0; i < LINES_AT_ONCE && status == 1 && can_send(c); i++) {
        json_t *message;

        status = wire_receive(&c->wire, &message, NULL, &e);
        if (status != 1)
            break;
        on_message(c, message);
        json_decref(message);
    }
    if (status < 0)
        give_up(c, e.code == AGW_EGONE ? NULL : e.message);
    if (!c->is_gone)
        want(c);
}

/* ---- clients ---- */

static void drop(struct server *s, struct client **place)
{
    struct client *c = *place;

    *place = c->next;
    s->client_count--;
    modules_forget(s->table, c);
    event_forget(&c->event);
    wire_close(&c->wire);
    json_decref(c->refreshes);
    json_decref(c->done);
    free(c);
}

/* Says why, as far as that goes without waiting. */
static void turn_away(int fd, const char *why)
{
    char line[160];
    int length = snprintf(line, sizeof line, "{\"t\":\"error\",\"message\":\"%s\"}\n", why);

    (void)send(fd, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
    log_message(LOG_WARN, "runner.client.dropped", "%s", why);
}

static void on_connection(void *arg, unsigned events)
{
    struct server *s = arg;
    int fd = accept4(s->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *c;

    (void)events;
    if (fd < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            log_message(LOG_ERROR, "runner.client.dropped", "accept: %s", strerror(errno));
            event_want(&s->listening, 0);
            s->paused_until = clock_mono_ms() + PAUSE_MS;
        }
        return;
    }
    if (s->client_count >= CLIENTS_MAX || descriptors_are_short(fd)) {
        turn_away(fd, descriptors_are_short(fd) ? descriptors_short
                                                : "the runner has too many clients");
        return;
    }
    c = memory_new(sizeof *c);
    c->server = s;
    c->refreshes = json_array();
    c->done = json_array();
    wire_init(&c->wire, fd, &limits);
    c->next = s->clients;
    s->clients = c;
    s->client_count++;
    if (event_watch(&c->event, fd, EPOLLIN, on_client, c) != 0)
        give_up(c, "a gateway cannot be watched");
    send_message(c, json_pack("{s:s, s:i, s:i, s:s}", "t", "hello", "v", WIRE_VERSION, "pid",
                              (int)getpid(), "software", "agent-gateway " PACKAGE_VERSION));
}

int server_open(struct server *s, const char *path, struct modules *table, struct err *e)
{
    char address[ADDRESS_SIZE];
    int status;

    *s = (struct server){.table = table, .listening = {.fd = -1}};
    snprintf(address, sizeof address, "unix:%s", path);
    status = listen_make(&s->socket, address, MODE, NULL, e);
    if (status != 0)
        return status;
    if (event_watch(&s->listening, s->socket.fd, EPOLLIN, on_connection, s) == 0)
        return 0;
    listen_close(&s->socket);
    return err_set(e, AGW_EINTERNAL, "the socket cannot be watched: %s", strerror(errno));
}

void server_stop(struct server *s)
{
    event_forget(&s->listening);
    listen_close(&s->socket);
}

void server_close(struct server *s)
{
    server_stop(s);
    while (s->clients != NULL)
        drop(s, &s->clients);
    json_decref(s->listing);
    s->listing = NULL;
}

void server_publish(struct server *s, json_t *listing, bool is_settled)
{
    char *text = json_dumps(listing, JSON_COMPACT);

    json_decref(s->listing);
    s->listing = listing;
    for (struct client *c = s->clients; c != NULL; c = c->next) {
        c->is_owed = c->is_greeted;
        if (is_settled) {
            json_array_extend(c->done, c->refreshes);
            json_array_clear(c->refreshes);
        }
        pay(c, text);
    }
    json_memory_free(text);
}

int64_t server_tick(struct server *s, int64_t now)
{
    for (struct client **place = &s->clients; *place != NULL;) {
        if ((*place)->is_gone)
            drop(s, place);
        else
            place = &(*place)->next;
    }
    if (s->paused_until == 0)
        return INT64_MAX;
    if (now < s->paused_until)
        return s->paused_until;
    s->paused_until = 0;
    event_want(&s->listening, EPOLLIN);
    return INT64_MAX;
}

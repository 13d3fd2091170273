/* SPDX-License-Identifier: MIT */
/* The control socket: gateways that come and go, what they ask and what they are told. One
 * thread.
 */
#ifndef AGW_RUNNERD_SERVER_H
#define AGW_RUNNERD_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/listen.h"
#include "runnerd/event.h"
#include "runnerd/modules.h"

struct client;

struct server {
    struct listen_socket socket;
    struct event listening;
    struct client *clients;
    int client_count;
    struct modules *table;
    json_t *listing;       /* what all have been told; NULL = nothing yet */
    bool is_refresh_asked; /* for its owner to do and to clear */
    int64_t paused_until;  /* no client is accepted, mono ms; 0 = accepting */
};

/* 0 or what listen_make() says. `path` of the socket. */
int server_open(struct server *s, const char *path, struct modules *table, struct err *e);
/* No client is accepted any more; those that are there stay. */
void server_stop(struct server *s);
void server_close(struct server *s);

/* What the table of modules calls. */
extern const struct modules_user server_modules_user;

/* Tells all of a new list, which is taken; `is_settled`: who asked for a refresh is told that it
 * is done. */
void server_publish(struct server *s, json_t *listing, bool is_settled);

/* Lets go of clients that have gone; when there is more to do. */
int64_t server_tick(struct server *s, int64_t now);

#endif

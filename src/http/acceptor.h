/* SPDX-License-Identifier: MIT */
/* Takes new connections from the listening socket of several processes, which take turns: one
 * that is full keeps out of the way of siblings with room, and takes what none of them took.
 * Part of a waiter, whose thread alone calls it. */
#ifndef AGW_HTTP_ACCEPTOR_H
#define AGW_HTTP_ACCEPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "http/siblings.h"

/* How the listening socket is watched. Shared sockets wake one process of many; when this
 * one is full, it must not be the one that is woken, and looks for leftovers itself. */
enum acceptor_mode { ACCEPTOR_OFF, ACCEPTOR_SHARED, ACCEPTOR_FULL };

/* The first fields are the user's to set; all others begin as 0. It owns no descriptor. */
struct acceptor {
    int listen_fd; /* not blocking */
    int epoll_fd;  /* whose events on listen_fd have the acceptor itself as data.ptr */
    struct siblings *siblings; /* who shares listen_fd; NULL = nobody */
    int slot;                  /* this process's number among them */
    bool (*has_no_room)(void *arg);
    /* A new connection, whose descriptor is the callee's; `full`: there was no room for it. */
    void (*take)(void *arg, int fd, bool full);
    void *arg;

    int64_t next_at; /* clock_mono_ms() of the next acceptor_turn() that is due, 0 = none */
    enum acceptor_mode mode;
    int graces;
    int64_t complained_at;
};

/* Begins to watch the socket, and stops. */
void acceptor_open(struct acceptor *acceptor);
void acceptor_close(struct acceptor *acceptor);

/* Connections have come, or siblings say so (siblings_fd()). */
void acceptor_event(struct acceptor *acceptor);

/* After all events of a moment: out of the siblings' way as soon as there is no room, back when
 * there is; and what is due by next_at. */
void acceptor_turn(struct acceptor *acceptor, bool full, int64_t now);

#endif

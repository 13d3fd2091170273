/* SPDX-License-Identifier: MIT */
/* One thread that accepts connections and owns those that wait: new ones until their first
 * byte, kept-alive ones between requests, refused ones until their request is read away.
 *
 * While `max_busy` connections are in use it leaves new ones to sibling processes with room
 * that share the listening socket. A request for which there is no thread is given a few
 * milliseconds (its client may have just seen the end of another one) and then refused.
 */
#ifndef AGW_HTTP_WAITER_H
#define AGW_HTTP_WAITER_H

#include <stdint.h>

#include "http/siblings.h"
#include "util/err.h"

struct waiter;
struct conn;

struct waiter_options {
    int listen_fd;
    int max_busy;
    struct siblings *siblings; /* who shares listen_fd; NULL = nobody */
    int slot;                  /* this process's number among them */
    int64_t read_timeout_ms; /* how long a new connection may stay silent */
    /* A request's first bytes have come. 0: taken, until waiter_return(); AGW_EOVERLOAD:
     * no thread. Called by the waiter thread. */
    int (*ready)(void *arg, struct conn *conn);
    /* A request is being answered with 503. Called by the waiter thread. */
    void (*overloaded)(void *arg);
    void *arg;
};

/* Makes listen_fd non-blocking. All signals are blocked in the thread. */
int waiter_start(const struct waiter_options *options, struct waiter **waiter, struct err *e);

/* The connection's descriptor, for whom it was given to. */
int conn_fd(const struct conn *conn);

/* Gives a connection back: `fd` as it was, to wait for the next request, or -1: it was
 * closed. Any thread. */
void waiter_return(struct waiter *waiter, struct conn *conn, int fd);

/* Stops accepting, hands out what has arrived already, closes the rest, ends the thread.
 * Connections in use may still be returned (and are closed). */
void waiter_stop(struct waiter *waiter);

/* After waiter_stop(), when no connection is in use any more. */
void waiter_free(struct waiter **waiter);

#endif

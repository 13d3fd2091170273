/* SPDX-License-Identifier: MIT */
/* The waiter and its worker threads: who gets a thread, and when.
 *
 * One waiter thread (epoll) accepts, owns idle connections and hands a connection to a
 * worker thread when a request's first bytes have come; past max_threads it answers 503
 * with Retry-After itself, at once. Threads are reused last-in first-out, grown on demand,
 * retired when idle. All signals are blocked in them.
 */
#ifndef AGW_HTTP_SERVER_H
#define AGW_HTTP_SERVER_H

#include <stdint.h>

#include "http/fcgi.h"
#include "http/siblings.h"
#include "util/err.h"

struct server;

struct server_options {
    int listen_fd;
    struct siblings *siblings; /* processes that share listen_fd; NULL = none do */
    int slot;                  /* this one's number among them */
    int min_threads, max_threads;
    int64_t thread_idle_ms;
    int64_t read_timeout_ms, write_timeout_ms;
    /* Walks one request; runs in a worker thread that holds a run permit. It does not
     * finish the exchange: the server does when it returns. */
    void (*handle)(void *arg, struct fcgi *x);
    /* The waiter refused one for lack of threads (to count and record it). */
    void (*overloaded)(void *arg);
    void *arg;
};

/* On success listen_fd belongs to the server. */
int server_start(const struct server_options *options, struct server **server, struct err *e);

/* Stops accepting and closes its descriptor of the listening socket (siblings have their
 * own), closes idle connections, waits until the requests that run have ended or drain_ms is over. 0 when all ended, else
 * how many were left. Frees. */
int server_drain(struct server **server, int64_t drain_ms);

#endif

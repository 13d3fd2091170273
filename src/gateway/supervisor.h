/* SPDX-License-Identifier: MIT */
/* The first process: single-threaded, holds the socket, keeps the workers alive.
 *
 * SIGTERM, SIGINT: drain, a second one kills. SIGHUP: one worker reloads, the others follow
 * by the database. SIGUSR1: everybody opens the log anew. Workers get SIGTERM when the
 * supervisor dies, however it dies.
 */
#ifndef AGW_GATEWAY_SUPERVISOR_H
#define AGW_GATEWAY_SUPERVISOR_H

#include <stdint.h>

#include "net/listen.h"
#include "http/siblings.h"
#include "util/err.h"

/* What one worker process gets. SIGTERM, SIGINT, SIGHUP and SIGUSR1 are blocked in it, to be
 * waited for. */
struct supervisor_seat {
    int slot;                  /* 0 .. workers-1 */
    int listen_fd;
    struct siblings *siblings;
    int ready_fd;              /* write one byte when requests are served */
};

struct supervisor_options {
    int workers;
    int64_t drain_ms;          /* after it, and a little more for their books, they are killed */
    struct listen_socket *socket;
    const char *runner_config; /* agw-runner is kept running with this file; NULL = is not */
    /* Runs in a new process; what it returns is the exit status. */
    int (*work)(void *arg, const struct supervisor_seat *seat);
    void (*reopen_log)(void *arg);
    void *arg;
};

/* Returns when all has ended; the socket is closed then. 0 or AGW_EINTERNAL. */
int supervisor_run(const struct supervisor_options *options, struct err *e);

#endif

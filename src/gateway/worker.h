/* SPDX-License-Identifier: MIT */
/* One worker process: opens what requests need, serves, drains, closes. */
#ifndef AGW_GATEWAY_WORKER_H
#define AGW_GATEWAY_WORKER_H

#include <stdint.h>

#include "config/config.h"
#include "http/siblings.h"

struct worker_options {
    struct config *config;     /* its generation is set; one reference is taken over */
    const char *origin;        /* path of gateway.yaml */
    int listen_fd;
    struct siblings *siblings; /* all workers on listen_fd */
    int slot;                  /* this one's number among them; number 0 warns about keys */
    int64_t started_ms;        /* when the instance started, UTC */
};

/* Runs until SIGTERM or SIGINT and returns the exit status: 0 when everything that ran had
 * ended in time. SIGHUP reloads, SIGUSR1 opens the log anew. Call it in a process of its own
 * that has one thread, with those signals blocked or at their defaults. */
int worker_run(const struct worker_options *options);

#endif

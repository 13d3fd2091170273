/* SPDX-License-Identifier: MIT */
/* A worker process from its first line to its last: opens everything, serves, drains. */
#ifndef AGW_GATEWAY_WORKER_H
#define AGW_GATEWAY_WORKER_H

#include "config/config.h"
#include "gateway/supervisor.h"

struct worker_settings {
    const char *origin;      /* absolute path of gateway.yaml */
    struct config *config;   /* as registered at the start; newer ones come by the database */
    int workers;
    int64_t started_ms;      /* of the instance, UTC */
};

/* Exit status: 0, or 3 when something could not be opened. */
int worker_run(const struct worker_settings *settings, const struct supervisor_seat *seat);

#endif

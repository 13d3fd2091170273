/* SPDX-License-Identifier: MIT */
/* agw-runner as a child of the supervisor (runner.autostart): started, started again when it
 * ends, and ended with the gateway. One thread.
 */
#ifndef AGW_GATEWAY_COMPANION_H
#define AGW_GATEWAY_COMPANION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct companion {
    const char *config; /* file; NULL = there is no companion */
    pid_t pid;          /* 0 = it does not run */
    int deaths;         /* young ones in a row */
    int64_t started_at, start_at;
};

/* Starts it if it is to run and does not; when to call again, INT64_MAX = not by itself. */
int64_t companion_tick(struct companion *c, int64_t now);

/* Whether the process that ended was it. */
bool companion_ended(struct companion *c, pid_t pid, int status, int64_t now);

void companion_signal(const struct companion *c, int signum);

#endif

/* SPDX-License-Identifier: MIT */
/* One process that hosts a module: started, asked for its catalog, given connections, watched,
 * ended. Whoever owns it is told when it can be used and when it has ended. One thread.
 */
#ifndef AGW_RUNNERD_HOST_H
#define AGW_RUNNERD_HOST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "runner/wire.h"
#include "runnerd/discover.h"
#include "runnerd/event.h"
#include "tools/launch.h"

enum host_state {
    HOST_STARTING, /* its sandbox is set up */
    HOST_GREETING, /* it has not said hello */
    HOST_LOADING,  /* it has not sent its catalog */
    HOST_READY,
    HOST_DRAINING, /* takes no more runs */
    HOST_ENDING    /* it is being killed */
};

struct host_settings {
    const struct config_runner *runner;
    bool network;
    json_t *exports;  /* names, borrowed */
    json_t *defaults; /* {"model": ...}, borrowed */
};

struct host;

struct host_owner {
    /* The catalog has come: host_catalog(). */
    void (*loaded)(void *arg, struct host *host);
    /* A connection did not reach it, as it has too many descriptors open. */
    void (*is_full)(void *arg, struct host *host);
    /* Something changed: it can take a connection again, or a pong came. */
    void (*changed)(void *arg, struct host *host);
    /* It has ended, all that came from it too: free it. `why` says how, "" = as it was asked
     * to. */
    void (*ended)(void *arg, struct host *host, const char *why);
    void *arg;
};

/* Starts one; NULL with the reason. */
struct host *host_start(const struct host_settings *settings, const struct found *module,
                        const struct host_owner *owner, struct err *e);

enum host_state host_state(const struct host *host);
pid_t host_pid(const struct host *host);
int64_t host_number(const struct host *host); /* no other process ever has it */
int64_t host_rss(const struct host *host);  /* bytes as it says; 0 = unknown */
int64_t host_runs(const struct host *host); /* at most so many go on */
int64_t host_idle_since(const struct host *host); /* mono ms of its last run */
bool host_has_network(const struct host *host);
bool host_is_of_copy(const struct host *host); /* see kept.h */
const json_t *host_catalog(const struct host *host);
const char *host_report(const struct host *host); /* of the sandbox, see sandbox/report.h */
int64_t host_ready_ms(const struct host *host);   /* mono ms since when; 0 = never */

/* Whether host_connect() would pass a connection on at once. */
bool host_can_connect(const struct host *host);
/* Hands it one end of a run's connection, which is taken, and sets *other to the other end.
 * AGW_EOVERLOAD: the runner has too few descriptors left; AGW_EUNAVAILABLE. */
int host_connect(struct host *host, int64_t id, int *other, struct err *e);

/* Asks it how many runs go on; changed() tells when host_runs() is exact. */
void host_count(struct host *host);
bool host_is_counting(const struct host *host);
/* Asks whether it lives; without an answer by then it is killed. */
void host_suspect(struct host *host, int64_t within_ms);
/* Lets it finish its runs and end, within so many milliseconds. */
void host_drain(struct host *host, int64_t within_ms);
/* One that drains has so long from now, if not less. */
void host_hurry(struct host *host, int64_t within_ms);
/* Ends it now; ended() comes later. `why` is what it will be told. */
void host_kill(struct host *host, const char *why);

/* Does what is due; when there is more to do (clock_mono_ms(), INT64_MAX = never). */
int64_t host_tick(struct host *host, int64_t now);

/* Waits until it is gone. */
void host_free(struct host **host);

#endif

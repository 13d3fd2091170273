/* SPDX-License-Identifier: MIT */
/* Inside of runnerd/: one process of a module, which its life (host.c) and what is said with it
 * (host_talk.c) share.
 */
#ifndef AGW_RUNNERD_HOST_STATE_H
#define AGW_RUNNERD_HOST_STATE_H

#include "runnerd/host.h"
#include "runnerd/host_output.h"
#include "util/log.h"

enum { HOST_PINGS_KEPT = 8, HOST_WHY_SIZE = 300, HOST_SECOND_MS = 1000 };

enum { HOST_PIPE_OUT, HOST_PIPE_ERR, HOST_PIPES };

struct host {
    struct host_settings settings;
    struct config_runner runner; /* its names are gone after the start */
    struct found found;
    const struct found *module;  /* that */
    struct host_owner owner;
    int64_t number;
    enum host_state state;
    struct launch_child child;
    struct wire wire;
    struct event starting, exited, control, printed[HOST_PIPES];
    struct host_output output[HOST_PIPES];
    bool paused[HOST_PIPES];          /* no output is read until the next second */
    bool is_awaiting_ack;        /* Node.js: of the last connection */
    json_t *catalog;
    int64_t deadline;            /* of this state, mono ms; INT64_MAX = none */
    int64_t ready_ms, idle_since;
    int64_t next_ping, ping_count, pong_count, asked_ping;
    int64_t silent_since;        /* with a ping unanswered; 0 = none is */
    int64_t urgent_by;           /* a pong to this ping has to come; INT64_MAX = none */
    int64_t urgent_ping;
    int64_t connections, connections_at[HOST_PINGS_KEPT];
    int64_t runs, runs_at;       /* as of the last pong; connections at its ping */
    int64_t rss;
    int64_t message_second;      /* in which it has sent so many messages */
    int messages;
    uint64_t bytes_before;       /* what it had sent when that second began */
    bool is_asked;               /* to end: nothing is wrong */
    bool is_killed;              /* by us, for `why` */
    char why[HOST_WHY_SIZE];
};

/* ---- host.c ---- */

/* Its side of the channel is closed: mostly its process is ending, and that says more. */
void host_lost(struct host *host, const char *why);

/* ---- host_talk.c ---- */

/* A pair of sockets, none of which is among the last descriptors. AGW_EOVERLOAD: these are
 * short; AGW_EUNAVAILABLE. */
int host_pair(int flags, int ends[2], struct err *e);
/* Takes our end of the channel. */
void host_talk_begin(struct host *host, int fd);
/* For event_watch(): the channel can be read or written. */
void host_talk_ready(void *arg, unsigned events);
/* Asks whether it lives, when that is due; kills one that has not answered. */
void host_talk_ping(struct host *host, int64_t now);

#endif

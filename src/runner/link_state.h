/* SPDX-License-Identifier: MIT */
/* Inside of runner/: the state of the link, which its thread (link.c) and those who ask something
 * of the runner (link_ask.c) share.
 */
#ifndef AGW_RUNNER_LINK_STATE_H
#define AGW_RUNNER_LINK_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/un.h>

#include "runner/link.h"
#include "runner/wire.h"

/* Something that was asked for; lives on the stack of who waits for it. */
struct question {
    int64_t id;
    bool sent, answered;
    int fd;              /* -1: refused, */
    bool lost_fd;        /* ... or this process has no room for it */
    int64_t process;     /* that it leads to */
    char class[32], message[256];
    int64_t retry_after_ms;
    struct question *next;
};

struct link {
    pthread_mutex_t lock;    /* guards all that follows but `serial` */
    pthread_cond_t changed;
    pthread_t thread;
    bool runs, stop;
    int wake;                /* eventfd: the thread is to look again */
    void (*on_change)(void *arg, const struct dropins *now, const struct dropins *before);
    void *arg;

    bool wanted;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    int64_t generation;      /* of the configuration in force, */
    int64_t told;            /* ... and of the one that the runner has read, as far as we know */

    struct wire wire;
    bool up;                 /* both have said hello */
    int64_t pid, last_id;
    char reason[256];        /* why it is away, */
    int64_t away_since_ms;   /* ... since when, */
    bool known_away;         /* ... and whether that was told */
    struct question *questions;
    struct dropins *dropins;
    _Atomic uint64_t serial;
};

/* ---- link.c ---- */

/* The thread is to look again. */
void link_wake(const struct link *link);

/* ---- link_ask.c; all under the lock ---- */

/* The runner has answered: takes *fd over when somebody waits for it. */
void link_ask_answer(const struct link *link, const json_t *message, int *fd);
/* The runner is gone, and with it what it was asked: the next one is asked again. */
void link_ask_fail(const struct link *link);
/* Has it read its configuration, if it is there; nobody waits for that. */
void link_ask_refresh(struct link *link);

#endif

/* SPDX-License-Identifier: MIT */
/* The runner's one loop: descriptors and who is called when one of them is ready. One thread. */
#ifndef AGW_RUNNERD_EVENT_H
#define AGW_RUNNERD_EVENT_H

#include "util/err.h"

/* Embedded in what it belongs to, and not moved while it is watched. */
struct event {
    int fd; /* -1: not watched */
    void (*ready)(void *arg, unsigned events); /* EPOLLIN ... */
    void *arg;
    unsigned events;
};

/* 0 or AGW_EINTERNAL. */
int event_open(struct err *e);
void event_close(void);

/* Watches `fd`; what is passed fills the struct. */
int event_watch(struct event *event, int fd, unsigned events,
                void (*ready)(void *arg, unsigned events), void *arg);
/* Changes what is waited for. */
void event_want(struct event *event, unsigned events);
/* Before the descriptor is closed; nothing for one that is not watched. */
void event_forget(struct event *event);

/* Waits for one event, at most `timeout_ms` (-1: for ever), and calls who waits for it. One at
 * a time: what it calls may end others, whose events then never come. */
void event_wait(int timeout_ms);

#endif

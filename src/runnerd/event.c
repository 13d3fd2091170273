/* SPDX-License-Identifier: MIT */
/* Waits for descriptors. */
#include "runnerd/event.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int loop = -1;

int event_open(struct err *e)
{
    loop = epoll_create1(EPOLL_CLOEXEC);
    return loop < 0 ? err_set(e, AGW_EINTERNAL, "epoll: %s", strerror(errno)) : 0;
}

void event_close(void)
{
    close(loop);
    loop = -1;
}

int event_watch(struct event *event, int fd, unsigned events,
                void (*ready)(void *arg, unsigned events), void *arg)
{
    struct epoll_event wanted = {.events = events, .data.ptr = event};

    *event = (struct event){fd, ready, arg, events};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &wanted) == 0)
        return 0;
    event->fd = -1;
    return -1;
}

void event_want(struct event *event, unsigned events)
{
    struct epoll_event wanted = {.events = events, .data.ptr = event};

    if (event->fd < 0 || event->events == events)
        return;
    event->events = events;
    (void)epoll_ctl(loop, EPOLL_CTL_MOD, event->fd, &wanted);
}

void event_forget(struct event *event)
{
    if (event->fd >= 0)
        (void)epoll_ctl(loop, EPOLL_CTL_DEL, event->fd, NULL);
    event->fd = -1;
}

void event_wait(int timeout_ms)
{
    struct epoll_event ready;

    if (epoll_wait(loop, &ready, 1, timeout_ms) == 1) {
        struct event *event = ready.data.ptr;

        event->ready(event->arg, ready.events);
    }
}

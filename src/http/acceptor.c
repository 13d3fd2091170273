/* SPDX-License-Identifier: MIT */
/* Accepts connections, or leaves them to siblings. */
#include "http/acceptor.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "util/clock.h"
#include "util/log.h"

enum {
    ACCEPT_BATCH = 64,
    GRACE_MS = 5,      /* how often a full process looks whether siblings take what comes */
    GRACES_MAX = 40,   /* and how often before it refuses all the same */
    BACK_OFF_MS = 100, /* out of descriptors or memory */
    COMPLAIN_MS = 5000 /* and one line about it in so long */
};

static void listen_as(struct acceptor *a, enum acceptor_mode how)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = a};

    if (how == a->mode)
        return;
    /* an exclusive registration cannot be modified */
    if (a->mode != ACCEPTOR_OFF)
        epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, a->listen_fd, NULL);
    a->mode = how;
    event.events |= how == ACCEPTOR_SHARED ? (uint32_t)EPOLLEXCLUSIVE : (uint32_t)EPOLLET;
    if (how != ACCEPTOR_OFF &&
        epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, a->listen_fd, &event) != 0) {
        a->mode = ACCEPTOR_OFF;
        a->next_at = clock_mono_ms() + BACK_OFF_MS;
    }
}

static void accept_failed(struct acceptor *a, int code)
{
    int64_t now = clock_mono_ms();

    if (now - a->complained_at >= COMPLAIN_MS) {
        log_message(LOG_WARN, "http.accept_failed", "accept: %s", strerror(code));
        a->complained_at = now;
    }
    listen_as(a, ACCEPTOR_OFF);
    a->next_at = now + BACK_OFF_MS;
}

static bool accept_may_go_on(int code)
{
    return code == EINTR || code == ECONNABORTED || code == EPROTO;
}

/* Takes what has arrived. `leftovers`: also when full, to refuse what no sibling took. */
static void accept_some(struct acceptor *a, bool leftovers)
{
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        bool full = a->has_no_room(a->arg);
        int fd;

        if (full && !leftovers)
            return; /* acceptor_turn() comes next */
        fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            a->take(a->arg, fd, full);
        } else if (!accept_may_go_on(errno)) {
            if (errno != EAGAIN)
                accept_failed(a, errno);
            return;
        }
    }
    if (a->mode == ACCEPTOR_FULL) /* edge-triggered: nobody would tell of the rest */
        a->next_at = clock_mono_ms() + GRACE_MS;
}

/* Connections come and this process is full. */
static void take_leftovers(struct acceptor *a)
{
    struct siblings *siblings = a->siblings;

    if (siblings != NULL && siblings_have_room(siblings) && a->graces++ < GRACES_MAX) {
        siblings_wake(siblings);
        a->next_at = clock_mono_ms() + GRACE_MS;
    } else {
        a->graces = 0;
        accept_some(a, true);
    }
}

void acceptor_event(struct acceptor *a)
{
    if (a->mode == ACCEPTOR_SHARED)
        accept_some(a, false);
    else if (a->mode == ACCEPTOR_FULL && a->next_at == 0)
        take_leftovers(a);
}

static void tell_siblings(struct acceptor *a, bool has_room)
{
    if (a->siblings != NULL)
        siblings_set_room(a->siblings, a->slot, has_room);
}

void acceptor_open(struct acceptor *a)
{
    listen_as(a, ACCEPTOR_SHARED);
}

void acceptor_close(struct acceptor *a)
{
    tell_siblings(a, false);
    listen_as(a, ACCEPTOR_OFF);
    a->next_at = 0;
}

void acceptor_turn(struct acceptor *a, bool full, int64_t now)
{
    tell_siblings(a, !full && a->mode != ACCEPTOR_OFF);
    if (full && a->mode == ACCEPTOR_SHARED) {
        listen_as(a, ACCEPTOR_FULL);
    } else if (!full && a->mode == ACCEPTOR_FULL) {
        a->next_at = 0;
        a->graces = 0;
        listen_as(a, ACCEPTOR_SHARED);
    }
    if (a->next_at == 0 || now < a->next_at)
        return;
    a->next_at = 0;
    if (a->mode == ACCEPTOR_OFF)
        listen_as(a, ACCEPTOR_SHARED);
    else
        take_leftovers(a);
}

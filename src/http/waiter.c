/* SPDX-License-Identifier: MIT */
/* Waits on behalf of everybody who has nothing to do yet. */
#include "http/waiter.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/acceptor.h"
#include "http/refusal.h"
#include "util/clock.h"

enum {
    EVENTS = 64,
    SWEEP_MS = 1000,
    RESERVE_MS = 1000,   /* how long a silent new connection counts as in use */
    PENDING_MS = 10,     /* how long a request waits for a thread */
    REFUSING_MS = 3000,
    LAST_WORDS_MS = 1000 /* when stopping: for requests that are about to arrive */
};

enum conn_state { CONN_NEW, CONN_IDLE, CONN_REFUSING, CONN_PENDING, CONN_BUSY };

struct conn {
    int fd;
    enum conn_state state;
    bool registered; /* known to epoll; one-shot, so silent while busy */
    bool reserved;   /* counted in waiter.reserved */
    int64_t since;   /* clock_mono_ms() of the last change of state */
    struct refusal *refusal;
    struct conn *next, *previous; /* among the waiting, or (next) the pending */
};

struct waiter {
    struct waiter_options options;
    pthread_t thread;
    int epoll_fd, event_fd;
    atomic_bool stopping;

    pthread_mutex_t lock;       /* the fields below */
    struct conn *waiting;
    int busy, reserved, timed;  /* timed: waiting ones that have a time limit */
    bool want_poke;             /* the waiter likes to know when a connection is returned */

    struct acceptor acceptor;   /* waiter thread only, as the rest */
    struct conn *pending, **pending_end; /* requests without a thread yet, oldest first */
    int64_t sweep_at, stop_at;
};

int conn_fd(const struct conn *conn)
{
    return conn->fd;
}

static bool has_limit(const struct conn *c)
{
    return c->state == CONN_NEW || c->state == CONN_REFUSING;
}

/* With the lock held, as all until the next line of '='. */
static void link_conn(struct waiter *w, struct conn *c, enum conn_state state)
{
    if (state != c->state) /* so the time of a refusal runs from its first step */
        c->since = clock_mono_ms();
    c->state = state;
    c->previous = NULL;
    c->next = w->waiting;
    if (c->next != NULL)
        c->next->previous = c;
    w->waiting = c;
    w->timed += has_limit(c);
}

static void unlink_conn(struct waiter *w, struct conn *c)
{
    w->timed -= has_limit(c);
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        w->waiting = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    w->reserved -= c->reserved;
    c->reserved = false;
}

/* Closes one that is not linked. A fork elsewhere may hold the descriptor for a moment, so
 * epoll is told. */
static void free_conn(struct waiter *w, struct conn *c)
{
    if (c->fd >= 0) {
        if (c->registered)
            epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        close(c->fd);
    }
    refusal_free(&c->refusal);
    free(c);
}

static int arm(struct waiter *w, struct conn *c)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c};
    int how = c->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    c->registered = true;
    return epoll_ctl(w->epoll_fd, how, c->fd, &event);
}

static bool is_full(const struct waiter *w)
{
    return w->busy + w->reserved >= w->options.max_busy;
}

static void wait_for(struct waiter *w, struct conn *c, enum conn_state state)
{
    link_conn(w, c, state);
    if (arm(w, c) != 0) { /* no memory: better no connection than a forgotten one */
        unlink_conn(w, c);
        free_conn(w, c);
    }
}

/* ================================================================================== */

static void poke(struct waiter *w)
{
    uint64_t one = 1;

    if (write(w->event_fd, &one, sizeof one) < 0)
        return; /* the counter is at its maximum: the waiter is about to wake anyway */
}

void waiter_return(struct waiter *w, struct conn *c, int fd)
{
    bool wanted;

    pthread_mutex_lock(&w->lock);
    w->busy--;
    c->fd = fd;
    if (fd < 0 || atomic_load(&w->stopping))
        free_conn(w, c);
    else
        wait_for(w, c, CONN_IDLE);
    wanted = w->want_poke;
    pthread_mutex_unlock(&w->lock);
    if (wanted)
        poke(w);
}

static void refuse(struct waiter *w, struct conn *c)
{
    enum refusal_state state = REFUSAL_CLOSE;

    if (c->refusal == NULL)
        c->refusal = refusal_new();
    if (c->refusal != NULL)
        state = refusal_step(c->refusal, c->fd, w->options.overloaded, w->options.arg);
    pthread_mutex_lock(&w->lock);
    if (state == REFUSAL_MORE) {
        wait_for(w, c, CONN_REFUSING);
    } else if (state == REFUSAL_KEEP && !atomic_load(&w->stopping)) {
        refusal_free(&c->refusal);
        wait_for(w, c, CONN_IDLE);
    } else {
        free_conn(w, c);
    }
    pthread_mutex_unlock(&w->lock);
}

static bool give(struct waiter *w, struct conn *c)
{
    pthread_mutex_lock(&w->lock);
    w->busy++;
    c->state = CONN_BUSY;
    pthread_mutex_unlock(&w->lock);
    if (w->options.ready(w->options.arg, c) == 0)
        return true;
    pthread_mutex_lock(&w->lock);
    w->busy--;
    c->state = CONN_PENDING;
    pthread_mutex_unlock(&w->lock);
    return false;
}

/* Bytes have come on a connection that is not linked: to a thread, or it waits for one. */
static void hand_out(struct waiter *w, struct conn *c)
{
    if (w->pending == NULL && give(w, c))
        return;
    c->state = CONN_PENDING;
    c->since = clock_mono_ms();
    c->next = NULL;
    *w->pending_end = c;
    w->pending_end = &c->next;
}

/* Threads for the pending, oldest first; too old ones are refused. */
static void serve_pending(struct waiter *w, int64_t now)
{
    struct conn *c;

    while ((c = w->pending) != NULL) {
        struct conn *next = c->next; /* whom it is given to may be done with it at once */
        bool given = give(w, c);

        if (!given && now - c->since < PENDING_MS)
            break;
        w->pending = next;
        if (next == NULL)
            w->pending_end = &w->pending;
        if (!given)
            refuse(w, c);
    }
}

static void conn_event(struct waiter *w, struct conn *c, uint32_t events)
{
    char byte;

    pthread_mutex_lock(&w->lock);
    unlink_conn(w, c);
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 &&
        recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        free_conn(w, c);
        c = NULL;
    }
    pthread_mutex_unlock(&w->lock);
    if (c == NULL)
        return;
    if (c->state == CONN_REFUSING)
        refuse(w, c);
    else
        hand_out(w, c);
}

static void take_new(void *arg, int fd, bool full)
{
    struct waiter *w = arg;
    struct conn *c = calloc(1, sizeof *c);
    char byte;

    if (c == NULL) {
        close(fd);
        return;
    }
    c->fd = fd;
    c->since = clock_mono_ms();
    /* lighttpd writes right after connecting: often the bytes are here already */
    if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
        hand_out(w, c);
        return;
    }
    pthread_mutex_lock(&w->lock);
    c->reserved = !full;
    w->reserved += c->reserved;
    wait_for(w, c, CONN_NEW);
    pthread_mutex_unlock(&w->lock);
}

static bool has_no_room(void *arg)
{
    struct waiter *w = arg;
    bool full;

    pthread_mutex_lock(&w->lock);
    full = is_full(w);
    pthread_mutex_unlock(&w->lock);
    return full;
}

static void make_up_mind(struct waiter *w, int64_t now)
{
    bool full;

    pthread_mutex_lock(&w->lock);
    full = is_full(w) || w->pending != NULL;
    w->want_poke = full; /* under the lock: no return goes unnoticed */
    pthread_mutex_unlock(&w->lock);
    acceptor_turn(&w->acceptor, full, now);
}

/* Time limits; and new ones that stay silent do not keep others out. */
static void sweep(struct waiter *w, int64_t now)
{
    struct conn *next;

    pthread_mutex_lock(&w->lock);
    for (struct conn *c = w->waiting; c != NULL; c = next) {
        int64_t age = now - c->since;

        next = c->next;
        if (c->reserved && age >= RESERVE_MS) {
            c->reserved = false;
            w->reserved--;
        }
        if ((c->state == CONN_NEW && age >= w->options.read_timeout_ms) ||
            (c->state == CONN_REFUSING && age >= REFUSING_MS)) {
            unlink_conn(w, c);
            free_conn(w, c);
        }
    }
    pthread_mutex_unlock(&w->lock);
    w->sweep_at = now + SWEEP_MS;
}

static void close_waiting(struct waiter *w, bool idle_only)
{
    struct conn *next;
    char byte;

    pthread_mutex_lock(&w->lock);
    for (struct conn *c = w->waiting; c != NULL; c = next) {
        next = c->next;
        /* a request that has just come is still served */
        if (idle_only && (c->state != CONN_IDLE ||
                          recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1))
            continue;
        unlink_conn(w, c);
        free_conn(w, c);
    }
    pthread_mutex_unlock(&w->lock);
}

/* Whether the thread may end. */
static bool wind_down(struct waiter *w, int64_t now)
{
    bool empty;

    if (w->stop_at == 0) {
        acceptor_close(&w->acceptor);
        close_waiting(w, true);
        w->stop_at = now + LAST_WORDS_MS;
    }
    pthread_mutex_lock(&w->lock);
    empty = w->waiting == NULL && w->pending == NULL;
    pthread_mutex_unlock(&w->lock);
    if (!empty && now < w->stop_at)
        return false;
    serve_pending(w, now + PENDING_MS);
    close_waiting(w, false);
    return true;
}

static int timeout_of(struct waiter *w, int64_t now)
{
    int64_t at = w->acceptor.next_at;
    bool timed;

    pthread_mutex_lock(&w->lock);
    timed = w->timed > 0;
    pthread_mutex_unlock(&w->lock);
    if (timed && (at == 0 || w->sweep_at < at))
        at = w->sweep_at;
    if (w->pending != NULL && (at == 0 || w->pending->since + PENDING_MS < at))
        at = w->pending->since + PENDING_MS;
    if (w->stop_at != 0 && (at == 0 || w->stop_at < at))
        at = w->stop_at;
    if (at == 0)
        return -1;
    return at > now ? (int)(at - now) : 0;
}

static void *waiter_main(void *arg)
{
    struct waiter *w = arg;
    struct epoll_event events[EVENTS];

    acceptor_open(&w->acceptor);
    for (;;) {
        int n = epoll_wait(w->epoll_fd, events, EVENTS, timeout_of(w, clock_mono_ms()));
        int64_t now;

        for (int i = 0; i < n; i++) {
            void *of = events[i].data.ptr;
            uint64_t count;

            /* siblings: a full one sees connections that nobody takes */
            if (of == &w->acceptor || of == w->options.siblings)
                acceptor_event(&w->acceptor);
            else if (of != &w->event_fd)
                conn_event(w, of, events[i].events);
            else if (read(w->event_fd, &count, sizeof count) < 0)
                continue;
        }
        now = clock_mono_ms();
        if (now >= w->sweep_at)
            sweep(w, now);
        serve_pending(w, now);
        if (!atomic_load(&w->stopping))
            make_up_mind(w, now);
        else if (wind_down(w, now))
            return NULL;
    }
}

static int watch(struct waiter *w, int fd, void *as, uint32_t extra)
{
    struct epoll_event event = {.events = EPOLLIN | extra, .data.ptr = as};

    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int start_thread(struct waiter *w)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&w->thread, NULL, waiter_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int waiter_start(const struct waiter_options *options, struct waiter **waiter, struct err *e)
{
    struct waiter *w = calloc(1, sizeof *w);
    int flags = fcntl(options->listen_fd, F_GETFL);

    if (w == NULL)
        return err_set(e, AGW_ENOMEM, "no memory for the waiter");
    w->options = *options;
    pthread_mutex_init(&w->lock, NULL);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->pending_end = &w->pending;
    w->acceptor = (struct acceptor){.listen_fd = options->listen_fd, .epoll_fd = w->epoll_fd,
                                    .siblings = options->siblings, .slot = options->slot,
                                    .has_no_room = has_no_room, .take = take_new, .arg = w};
    if (flags < 0 || fcntl(options->listen_fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        w->epoll_fd < 0 || w->event_fd < 0 ||
        watch(w, w->event_fd, &w->event_fd, 0) != 0 ||
        (w->options.siblings != NULL &&
         watch(w, siblings_fd(w->options.siblings), w->options.siblings,
               (uint32_t)EPOLLET) != 0) ||
        (*waiter = w, errno = start_thread(w)) != 0) { /* its callbacks need *waiter */
        err_set(e, AGW_EINTERNAL, "the waiter cannot start: %s", strerror(errno));
        waiter_free(&w);
        *waiter = NULL;
        return AGW_EINTERNAL;
    }
    if (w->options.siblings != NULL)
        siblings_set_room(w->options.siblings, w->options.slot, true);
    return 0;
}

void waiter_stop(struct waiter *w)
{
    atomic_store(&w->stopping, true);
    poke(w);
    pthread_join(w->thread, NULL);
}

void waiter_free(struct waiter **waiter)
{
    struct waiter *w = *waiter;

    *waiter = NULL;
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->event_fd >= 0)
        close(w->event_fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

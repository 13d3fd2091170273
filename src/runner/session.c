/* SPDX-License-Identifier: MIT */
/* Lets several threads speak over the connection of one run. */
#include "runner/session.h"

#include <poll.h>
#include <sys/socket.h>

#include "util/clock.h"
#include "util/permit.h"

enum {
    LOOK_MS = 200, /* a sender that waits looks so often whether it still should */
    LAST_WORDS_MAX = 4096,
    VALUES_MAX = 400000 /* of one message: twice what a client may send */
};

void session_init(struct session *session, int fd)
{
    session->limits = wire_limits_default;
    session->limits.queue = WIRE_LINE_MAX + LAST_WORDS_MAX;
    session->limits.json.tokens = VALUES_MAX;
    wire_init(&session->wire, fd, &session->limits);
    pthread_mutex_init(&session->lock, NULL);
    session->fd = fd;
    session->is_deaf = false;
    atomic_init(&session->over, false);
}

void session_close(struct session *session)
{
    wire_close(&session->wire);
    pthread_mutex_destroy(&session->lock);
}


uint64_t session_received(const struct session *session)
{
    return session->wire.in_place;
}

/* ---- sending ---- */

static int queue(struct session *session, const json_t *message, struct err *e)
{
    int status = wire_send(&session->wire, message, e);

    if (status == AGW_ETOOLARGE) /* the wire is not broken, but what follows would make no sense */
        atomic_store(&session->over, true);
    return status;
}

/* Under the lock, which is let go while the reader is slow. `last`: what is queued goes out though
 * the run is over. */
static int push_out(struct session *session, bool last, int64_t deadline_ms, struct err *e)
{
    int status = 0;

    while (status == 0 && wire_wants_to_send(&session->wire)) {
        struct pollfd p = {.fd = session->fd, .events = POLLOUT};

        pthread_mutex_unlock(&session->lock);
        permit_wait_begin();
        (void)poll(&p, 1, LOOK_MS);
        permit_wait_end();
        permit_lock(&session->lock);
        if (atomic_load(&session->over) && !last)
            status = err_set(e, AGW_EGONE, "the run has ended");
        else if (clock_mono_ms() >= deadline_ms)
            status = err_set(e, AGW_EGONE, "the agent's process does not read");
        else
            status = wire_flush(&session->wire, e);
    }
    return status;
}

int session_send(struct session *session, json_t *message, int64_t deadline_ms, struct err *e)
{
    int status;

    if (message == NULL)
        return err_set(e, AGW_ENOMEM, "a message to an agent");
    permit_lock(&session->lock);
    status = push_out(session, false, deadline_ms, e); /* one line waits at most */
    if (status == 0 && atomic_load(&session->over))
        status = err_set(e, AGW_EGONE, "the run has ended");
    if (status == 0)
        status = queue(session, message, e);
    if (status == 0)
        status = push_out(session, false, deadline_ms, e);
    pthread_mutex_unlock(&session->lock);
    json_decref(message);
    return status;
}

int session_post(struct session *session, json_t *message, struct err *e)
{
    int status;

    if (message == NULL)
        return err_set(e, AGW_ENOMEM, "a message to an agent");
    permit_lock(&session->lock);
    status = queue(session, message, e);
    pthread_mutex_unlock(&session->lock);
    json_decref(message);
    return status;
}

void session_hush(struct session *session, json_t *last_words, int64_t deadline_ms)
{
    struct err e;

    permit_lock(&session->lock);
    if (!atomic_exchange(&session->over, true) && last_words != NULL &&
        wire_send(&session->wire, last_words, &e) == 0)
        push_out(session, true, deadline_ms, &e);
    (void)shutdown(session->fd, SHUT_RDWR);
    pthread_mutex_unlock(&session->lock);
    json_decref(last_words);
}

/* ---- receiving ---- */

/* *sends: more is to be sent when the other side reads. */
static int take(struct session *session, json_t **message, bool *sends, struct err *e)
{
    int status;

    permit_lock(&session->lock);
    session->is_deaf = session->is_deaf || wire_flush(&session->wire, e) != 0;
    *sends = !session->is_deaf && wire_wants_to_send(&session->wire);
    status = wire_receive(&session->wire, message, NULL, e);
    pthread_mutex_unlock(&session->lock);
    return status;
}

int session_receive(struct session *session, int watch_fd, int64_t until_ms, json_t **message,
                    struct err *e)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = session->fd, .events = POLLIN},
                                {.fd = watch_fd, .events = POLLRDHUP}};
        bool sends;
        int status = take(session, message, &sends, e);
        int64_t left = until_ms - clock_mono_ms();

        if (status == 1)
            return SESSION_MESSAGE;
        if (status != 0)
            return status;
        if (left <= 0)
            return SESSION_NOTHING;
        if (sends)
            fds[0].events |= POLLOUT;
        permit_wait_begin();
        (void)poll(fds, 2, left > INT32_MAX ? INT32_MAX : (int)left);
        permit_wait_end();
        if ((fds[1].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
            return SESSION_LEFT;
    }
}

/* SPDX-License-Identifier: MIT */
/* The gateway's end of one run: a connection to the process that hosts an agent's module.
 * One thread receives; any thread may send, and waits there while the other side is slow.
 */
#ifndef AGW_RUNNER_SESSION_H
#define AGW_RUNNER_SESSION_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "runner/wire.h"
#include "util/err.h"

struct session {
    struct wire_limits limits;
    struct wire wire;     /* guarded by the lock */
    pthread_mutex_t lock;
    int fd;               /* the wire's, for poll() */
    bool is_deaf;         /* the other side reads no more; it may still speak. Of who receives */
    atomic_bool over;     /* nothing is sent any more */
};

/* Takes the connected socket. */
void session_init(struct session *session, int fd);
/* When no other thread uses it any more. Closing cancels the run. */
void session_close(struct session *session);

/* Takes over `message` (NULL: memory is out). 0, AGW_EGONE, AGW_ETOOLARGE or AGW_ENOMEM, and then
 * nothing more can be sent; waits for a slow reader until `deadline_ms` at most, giving the run
 * permit back. After session_hush() AGW_EGONE at once. */
int session_send(struct session *session, json_t *message_take, int64_t deadline_ms,
                 struct err *e);
/* The same without waiting, before other threads use it: what cannot be sent at once goes out
 * while session_receive() waits. */
int session_post(struct session *session, json_t *message_take, struct err *e);
/* From now on senders, also those that wait, give up. The other side sees the end, after
 * `last_words` (taken over; NULL = none) if it reads until `deadline_ms`. */
void session_hush(struct session *session, json_t *last_words_take, int64_t deadline_ms);

/* Bytes that have come and were asked for, for who receives. */
uint64_t session_received(const struct session *session);

enum { SESSION_NOTHING, SESSION_MESSAGE, SESSION_LEFT };

/* Waits, giving the run permit back, for a message (SESSION_MESSAGE, a new reference), for a
 * hang-up of `watch_fd` (-1 = none; SESSION_LEFT) or until `until_ms` (SESSION_NOTHING). AGW_EGONE:
 * the other side has ended; AGW_EINVALID, AGW_ETOOLARGE: it does not keep to the wire. */
int session_receive(struct session *session, int watch_fd, int64_t until_ms, json_t **message,
                    struct err *e);

#endif

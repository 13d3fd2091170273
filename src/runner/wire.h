/* SPDX-License-Identifier: MIT */
/* The wire of the runner: one JSON object a line over a Unix stream socket, and descriptors
 * that travel with a line (SCM_RIGHTS). Between gateway, runner and module hosts; doc/RUNNER.md
 * has the messages. The other side may be hostile: every line, every queue and every tree has
 * its limit, and no descriptor that was sent is kept by mistake.
 *
 * Nothing blocks but wire_wait(). A wire is for one thread at a time.
 *
 * Functions return 0 (or what they say) or, and then the connection is of no more use:
 *   AGW_EGONE      the other side has closed it, or the connection broke
 *   AGW_ETOOLARGE  a line, or what waits to be sent, is longer than the limit
 *   AGW_EINVALID   the other side does not keep to the wire: not JSON, not an object, nested
 *                  too deep, too many values, descriptors that nobody sends
 *   AGW_ENOMEM
 */
#ifndef AGW_RUNNER_WIRE_H
#define AGW_RUNNER_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/json_limits.h"

enum { WIRE_VERSION = 1, WIRE_LINE_MAX = 16 << 20, WIRE_FDS_MAX = 8 };

struct wire_limits {
    size_t line;             /* bytes of a received line, without its end */
    size_t queue;            /* bytes that may wait to be sent */
    struct json_limits json; /* of a received line */
};

/* WIRE_LINE_MAX for each line, twice that to be sent. */
extern const struct wire_limits wire_limits_default;

/* A descriptor on its way, with the place in the stream of the line it belongs to. */
struct wire_fd {
    int fd;
    uint64_t begin, end; /* sent: bytes of its line. Received: `end` alone, the last byte that
                            came with it */
};

struct wire {
    int fd; /* -1 = closed */
    const struct wire_limits *limits;
    struct buf in, out;
    size_t searched;           /* of `in`: so much holds no line end */
    uint64_t in_place, out_place; /* place in the stream of the first byte of in / out */
    size_t in_fd_count, out_fd_count;
    bool lost_fd; /* the last message came with a descriptor that this process had no room for */
    struct wire_fd in_fds[WIRE_FDS_MAX], out_fds[WIRE_FDS_MAX];
};

/* Takes the connected socket `fd`, which becomes non-blocking and close on exec. `limits` is
 * borrowed for as long as the wire lives; NULL = wire_limits_default. */
void wire_init(struct wire *w, int fd, const struct wire_limits *limits);

/* Closes the socket and every descriptor that was not handed over. Also for a closed one. */
void wire_close(struct wire *w);

/* ---- sending ---- */

/* Queues a line and sends what can be sent now. A wire_flush() that has more to do comes when
 * the socket is writable, see wire_wants_to_send(). */
int wire_send(struct wire *w, const json_t *message, struct err *e);

/* The same of JSON that was written already, without line end; only what this side made. */
int wire_send_text(struct wire *w, const char *line, size_t length, struct err *e);

/* The same with a descriptor, which is the wire's from here on, on error too. */
int wire_send_fd(struct wire *w, const json_t *message, int fd, struct err *e);

/* Sends what can be sent now. */
int wire_flush(struct wire *w, struct err *e);
bool wire_wants_to_send(const struct wire *w);

/* ---- receiving ---- */

/* 1 and the next message in *message (a new reference) and its descriptor in *fd (the caller's;
 * -1 = none, or see `lost_fd`). 0: there is none yet. fd NULL: this side expects none, and one
 * that comes is closed. Descriptors of refused lines are closed. After the last whole line AGW_EGONE. */
int wire_receive(struct wire *w, json_t **message, int *fd, struct err *e);

/* Whether wire_receive() has a line without asking the socket: who does not receive until there
 * is none must not wait for the socket then. */
bool wire_has_line(const struct wire *w);

/* The text of the field `t`, "" when there is none. */
const char *wire_type(const json_t *message);

/* ---- waiting, for threads ---- */

enum { WIRE_WAIT_SELF = 1, WIRE_WAIT_OTHER = 2 };

/* Waits, giving the run permit back, until the wire has something to receive or to send, or the
 * descriptor `other` (-1: none) is readable or hung up, or clock_mono_ms() is `deadline_ms`.
 * A mask of the above, 0 at the deadline. */
int wire_wait(const struct wire *w, int other, int64_t deadline_ms);

/* wire_receive() that waits; AGW_ETIMEOUT at the deadline, and the wire can still be used. */
int wire_receive_until(struct wire *w, int64_t deadline_ms, json_t **message, int *fd,
                       struct err *e);
/* Until all is sent; AGW_ETIMEOUT at the deadline. */
int wire_flush_until(struct wire *w, int64_t deadline_ms, struct err *e);

#endif

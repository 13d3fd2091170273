/* SPDX-License-Identifier: MIT */
/* Carries JSON lines, and descriptors with them, over a socket. */
#include "runner/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/json_memory.h"
#include "util/permit.h"

/* KEEP: an empty buffer larger than this is given back. */
enum { CHUNK = 8192, KEEP = 64 << 10 };

const struct wire_limits wire_limits_default = {
    .line = WIRE_LINE_MAX,
    .queue = 2 * (size_t)WIRE_LINE_MAX,
    .json = {.depth = 128, .tokens = 1000000},
};

static void close_fds(struct wire_fd *fds, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (fds[i].fd >= 0) /* else it was lost */
            close(fds[i].fd);
    *count = 0;
}

void wire_init(struct wire *w, int fd, const struct wire_limits *limits)
{
    *w = (struct wire){.fd = fd, .limits = limits == NULL ? &wire_limits_default : limits};
    buf_init(&w->in, w->limits->line + CHUNK);
    buf_init(&w->out, w->limits->queue);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void wire_close(struct wire *w)
{
    close_fds(w->in_fds, &w->in_fd_count);
    close_fds(w->out_fds, &w->out_fd_count);
    buf_free(&w->in);
    buf_free(&w->out);
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

static void consume(struct buf *b, size_t length, uint64_t *place)
{
    buf_consume(b, length);
    *place += length;
    if (b->length == 0 && b->capacity > KEEP)
        buf_free(b);
}

/* ---- sending ---- */

bool wire_wants_to_send(const struct wire *w)
{
    return w->fd >= 0 && w->out.length > 0;
}

/* One sendmsg(). A descriptor goes with bytes of its own line and no others: by that the
 * receiver knows which line it belongs to. */
static ssize_t send_once(struct wire *w, bool *with_fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec bytes = {.iov_base = w->out.data, .iov_len = w->out.length};
    struct msghdr m = {.msg_iov = &bytes, .msg_iovlen = 1};
    const struct wire_fd *next = w->out_fd_count > 0 ? &w->out_fds[0] : NULL;

    *with_fd = next != NULL && next->begin == w->out_place;
    if (*with_fd) {
        bytes.iov_len = (size_t)(next->end - next->begin);
        m.msg_control = control.room;
        m.msg_controllen = sizeof control.room;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &next->fd, sizeof(int));
    } else if (next != NULL) {
        bytes.iov_len = (size_t)(next->begin - w->out_place);
    }
    return sendmsg(w->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int wire_flush(struct wire *w, struct err *e)
{
    while (wire_wants_to_send(w)) {
        bool with_fd;
        ssize_t sent = send_once(w, &with_fd);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETOOMANYREFS))
            return 0;
        if (sent < 0)
            return err_set(e, AGW_EGONE, "the connection is broken: %s", strerror(errno));
        if (with_fd) {
            close(w->out_fds[0].fd);
            w->out_fd_count--;
            memmove(w->out_fds, w->out_fds + 1, w->out_fd_count * sizeof w->out_fds[0]);
        }
        consume(&w->out, (size_t)sent, &w->out_place);
    }
    return w->fd < 0 ? err_set(e, AGW_EGONE, "the connection is closed") : 0;
}

static int queue(struct wire *w, const char *line, size_t length, struct err *e)
{
    if (length >= w->limits->queue || w->out.length > w->limits->queue - length - 1)
        return err_set(e, AGW_ETOOLARGE, "%zu bytes wait to be sent, and there is no room for "
                                         "%zu more", w->out.length, length);
    if (buf_append(&w->out, line, length) != 0)
        return err_set(e, AGW_ENOMEM, "a line of %zu bytes", length);
    if (buf_append(&w->out, "\n", 1) != 0) {
        w->out.length -= length;
        return err_set(e, AGW_ENOMEM, "a line of %zu bytes", length);
    }
    return 0;
}

int wire_send_text(struct wire *w, const char *line, size_t length, struct err *e)
{
    int status = w->fd < 0 ? err_set(e, AGW_EGONE, "the connection is closed")
                           : queue(w, line, length, e);

    return status != 0 ? status : wire_flush(w, e);
}

int wire_send(struct wire *w, const json_t *message, struct err *e)
{
    char *line = json_dumps(message, JSON_COMPACT);
    int status = line == NULL ? err_set(e, AGW_ENOMEM, "a line to be sent")
                              : wire_send_text(w, line, strlen(line), e);

    json_memory_free(line);
    return status;
}

int wire_send_fd(struct wire *w, const json_t *message, int fd, struct err *e)
{
    char *line = json_dumps(message, JSON_COMPACT);
    uint64_t begin = w->out_place + w->out.length;
    int status;

    if (w->fd < 0)
        status = err_set(e, AGW_EGONE, "the connection is closed");
    else if (line == NULL)
        status = err_set(e, AGW_ENOMEM, "a line to be sent");
    else if (w->out_fd_count == WIRE_FDS_MAX)
        status = err_set(e, AGW_ETOOLARGE, "%d descriptors wait to be sent", WIRE_FDS_MAX);
    else
        status = queue(w, line, strlen(line), e);
    json_memory_free(line);
    if (status != 0) {
        close(fd);
        return status;
    }
    w->out_fds[w->out_fd_count++] = (struct wire_fd){fd, begin, w->out_place + w->out.length};
    return wire_flush(w, e);
}

/* ---- receiving ---- */

/* Keeps what was sent with bytes that end at `end`. -1: there is no room, the rest is closed. What
 * the kernel could not hand over, as this process has too many open, has the number -1. */
static int keep_fds(struct wire *w, struct msghdr *m, uint64_t end)
{
    bool is_cut = (m->msg_flags & MSG_CTRUNC) != 0;
    size_t before = w->in_fd_count;
    int result = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        size_t count = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
                           ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (w->in_fd_count < WIRE_FDS_MAX) {
                w->in_fds[w->in_fd_count++] = (struct wire_fd){.fd = fd, .end = end};
            } else {
                close(fd);
                result = -1;
            }
        }
    }
    if (!is_cut || result != 0)
        return result;
    if (w->in_fd_count - before >= WIRE_FDS_MAX || w->in_fd_count == WIRE_FDS_MAX)
        return -1; /* it was the sender who had too many */
    w->in_fds[w->in_fd_count++] = (struct wire_fd){.fd = -1, .end = end};
    return 0;
}

/* One recvmsg(): 1 something came, 0 not yet, or an error. */
static int receive_once(struct wire *w, struct err *e)
{
    char bytes[CHUNK];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
    } control;
    struct iovec target = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr m = {.msg_iov = &target, .msg_iovlen = 1, .msg_control = control.room,
                       .msg_controllen = sizeof control.room};
    ssize_t got;

    do
        got = recvmsg(w->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (got < 0)
        return err_set(e, AGW_EGONE, "the connection is broken: %s", strerror(errno));
    if (got == 0)
        return err_set(e, AGW_EGONE, w->in.length == 0
                                         ? "the other side has closed the connection"
                                         : "the other side has closed the connection in the "
                                           "middle of a line");
    if (keep_fds(w, &m, w->in_place + w->in.length + (size_t)got - 1) != 0)
        return err_set(e, AGW_EINVALID, "more descriptors came than belong to a line");
    if (buf_append(&w->in, bytes, (size_t)got) != 0)
        return err_set(e, AGW_ENOMEM, "a line of more than %zu bytes", w->in.length);
    return 1;
}

/* Takes the descriptors of the bytes before `end`: the first into *fd, more are closed. -1 when
 * there are more. */
static int take_fds(struct wire *w, uint64_t end, int *fd)
{
    size_t count = 0;

    *fd = -1;
    while (count < w->in_fd_count && w->in_fds[count].end < end)
        count++;
    for (size_t i = 0; i < count; i++) {
        if (i == 0)
            *fd = w->in_fds[i].fd;
        else if (w->in_fds[i].fd >= 0)
            close(w->in_fds[i].fd);
    }
    w->lost_fd = count > 0 && *fd < 0;
    w->in_fd_count -= count;
    memmove(w->in_fds, w->in_fds + count, w->in_fd_count * sizeof w->in_fds[0]);
    return count > 1 ? -1 : 0;
}

static int parse(const struct wire *w, size_t length, json_t **message, struct err *e)
{
    struct err detail = {0};
    int status;

    if (length > w->limits->line)
        return err_set(e, AGW_ETOOLARGE, "a line of %zu bytes; the limit is %zu", length,
                       w->limits->line);
    status = json_limits_parse(w->in.data, length, &w->limits->json, message, &detail);
    if (status != 0)
        return err_set(e, status, "a line that cannot be read: %s", detail.message);
    if (json_is_object(*message))
        return 0;
    json_decref(*message);
    *message = NULL;
    return err_set(e, AGW_EINVALID, "a line that is not a JSON object");
}

/* The line that ends `length` bytes into the buffer. */
static int take_line(struct wire *w, size_t length, json_t **message, int *fd, struct err *e)
{
    int own, status = parse(w, length, message, e);

    if (take_fds(w, w->in_place + length + 1, &own) != 0 && status == 0)
        status = err_set(e, AGW_EINVALID, "several descriptors came with one line");
    consume(&w->in, length + 1, &w->in_place);
    w->searched = 0;
    if (own >= 0 && (status != 0 || fd == NULL)) {
        close(own);
        own = -1;
    }
    if (fd != NULL)
        *fd = own;
    if (status == 0)
        return 1;
    json_decref(*message);
    *message = NULL;
    return status;
}

int wire_receive(struct wire *w, json_t **message, int *fd, struct err *e)
{
    *message = NULL;
    if (fd != NULL)
        *fd = -1;
    if (w->fd < 0)
        return err_set(e, AGW_EGONE, "the connection is closed");
    for (;;) {
        const char *end = w->searched >= w->in.length
                              ? NULL
                              : memchr(w->in.data + w->searched, '\n',
                                       w->in.length - w->searched);
        int status;

        if (end != NULL)
            return take_line(w, (size_t)(end - w->in.data), message, fd, e);
        w->searched = w->in.length;
        if (w->in.length > w->limits->line)
            return err_set(e, AGW_ETOOLARGE, "a line of more than %zu bytes", w->limits->line);
        status = receive_once(w, e);
        if (status != 1)
            return status;
    }
}

bool wire_has_line(const struct wire *w)
{
    return w->fd >= 0 && w->in.length > w->searched &&
           memchr(w->in.data + w->searched, '\n', w->in.length - w->searched) != NULL;
}

const char *wire_type(const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "t"));

    return type == NULL ? "" : type;
}

/* ---- waiting ---- */

int wire_wait(const struct wire *w, int other, int64_t deadline_ms)
{
    struct pollfd watched[2] = {
        {.fd = w->fd, .events = (short)(POLLIN | (wire_wants_to_send(w) ? POLLOUT : 0))},
        {.fd = other, .events = POLLIN | POLLRDHUP}};
    int64_t left;
    int ready = 0;

    permit_wait_begin();
    do {
        left = deadline_ms - clock_mono_ms();
        left = left < 0 ? 0 : left > INT_MAX ? INT_MAX : left;
        ready = poll(watched, 2, (int)left);
    } while (ready <= 0 && left > 0 && (ready == 0 || errno == EINTR));
    permit_wait_end();
    if (ready <= 0)
        return 0;
    return (watched[0].revents != 0 ? WIRE_WAIT_SELF : 0) |
           (watched[1].revents != 0 ? WIRE_WAIT_OTHER : 0);
}

int wire_receive_until(struct wire *w, int64_t deadline_ms, json_t **message, int *fd,
                       struct err *e)
{
    for (;;) {
        int status = wire_flush(w, e);

        if (status == 0)
            status = wire_receive(w, message, fd, e);
        if (status != 0)
            return status;
        if (wire_wait(w, -1, deadline_ms) == 0)
            return err_set(e, AGW_ETIMEOUT, "nothing came in time");
    }
}

int wire_flush_until(struct wire *w, int64_t deadline_ms, struct err *e)
{
    for (;;) {
        struct pollfd watched = {.fd = w->fd, .events = POLLOUT};
        int status = wire_flush(w, e);
        int64_t left = deadline_ms - clock_mono_ms();

        if (status != 0 || !wire_wants_to_send(w))
            return status;
        if (left <= 0)
            return err_set(e, AGW_ETIMEOUT, "the other side does not read in time");
        permit_wait_begin();
        (void)poll(&watched, 1, left > INT_MAX ? INT_MAX : (int)left);
        permit_wait_end();
    }
}

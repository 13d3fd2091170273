/* SPDX-License-Identifier: MIT */
/* Lets libfcgi parse and frame one request on a connection that we accepted. */
#include "http/fcgi.h"

#include <errno.h>
#include <fcgiapp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "http/records.h"
#include "util/clock.h"
#include "util/permit.h"
#include "util/secret.h"

/* libfcgi's output buffer is 8 KiB with room for a record header; a record of this size
 * plus its padding and the closing records fits, so the library never flushes by itself. */
enum { CHUNK = 8000, READ_BUFFER_MAX = 65536, RESPONDER = 1 };

/* What an unread body may cost at the end of a request that was refused. */
enum { DRAIN_MS = 2000, DRAIN_BYTES = 64 << 20 };

/* Parameters that hold one. */
static const char *const credentials[] = {"HTTP_AUTHORIZATION=", "HTTP_X_API_KEY=",
                                          "HTTP_PROXY_AUTHORIZATION=", "HTTP_COOKIE="};

struct fcgi {
    FCGX_Request request;
    int64_t read_ms, write_ms;
    size_t pending; /* bytes in the output buffer */
    bool whole;     /* the request had arrived entirely: reading it cannot block */
    bool keep;      /* FCGI_KEEP_CONN */
    bool failed;    /* the connection is of no further use */
    bool flushed;   /* something has been written */
    bool drained;   /* nothing is left to be read; the library's reader is gone */
};

int fcgi_init(void)
{
    static const int signals[] = {SIGPIPE, SIGUSR1, SIGTERM};
    struct sigaction old[3];
    int rc;

    /* FCGX_Init() installs handlers of its own; the one for SIGTERM would shut the listening
     * socket down for every sibling. */
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], NULL, &old[i]);
    rc = FCGX_Init();
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], &old[i], NULL);
    return rc == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR ? 0 : AGW_EINTERNAL;
}

static void set_timeout(int fd, int option, int64_t ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    setsockopt(fd, SOL_SOCKET, option, &tv, sizeof tv);
}

/* Whether the request lies in the socket from BEGIN_REQUEST to the end of its body. Web
 * servers send small ones at once, and then no wait needs the run permit given back. */
static bool is_whole(int fd)
{
    unsigned char bytes[4096] __attribute__((uninitialized)); /* recv() says how many it set */
    struct records records;
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

    if (n <= 0)
        return false;
    records_init(&records, NULL);
    records_feed(&records, bytes, (size_t)n);
    secret_wipe(bytes, (size_t)n); /* credentials are among them */
    return records_complete(&records);
}

static void wait_begin(const struct fcgi *x)
{
    if (!x->whole)
        permit_wait_begin();
}

static void wait_end(const struct fcgi *x)
{
    if (!x->whole)
        permit_wait_end();
}

/* How the library's FCGX_Stream_Data begins, which it keeps to itself. Its buffer holds the
 * request as it came, and would be freed as it is; the check makes sure that it is that. */
struct reader {
    unsigned char *buffer;
    int size;
};

static void wipe_buffer(const FCGX_Stream *stream, const unsigned char *within)
{
    const struct reader *reader = stream->data;

    if (reader->size > 0 && reader->size <= READ_BUFFER_MAX && reader->buffer <= within &&
        within <= reader->buffer + reader->size)
        secret_wipe(reader->buffer, (size_t)reader->size);
}

static void wipe_reader(const FCGX_Stream *in)
{
    wipe_buffer(in, in->rdNext);
}

/* Whoever makes a key is told its secret. */
static void wipe_writer(const FCGX_Stream *out)
{
    wipe_buffer(out, out->wrNext);
}

static void wipe_credentials(const struct fcgi *x)
{
    for (char **p = x->request.envp; p != NULL && *p != NULL; p++)
        for (size_t i = 0; i < sizeof credentials / sizeof credentials[0]; i++)
            if (strncmp(*p, credentials[i], strlen(credentials[i])) == 0)
                secret_wipe(*p, strlen(*p));
}

struct fcgi *fcgi_accept(int fd, int64_t read_timeout_ms, int64_t write_timeout_ms)
{
    struct fcgi *x = calloc(1, sizeof *x);
    FCGX_Request *request;
    int rc;

    if (x == NULL) {
        close(fd);
        return NULL;
    }
    x->read_ms = read_timeout_ms;
    x->write_ms = write_timeout_ms;
    x->whole = is_whole(fd);
    if (!x->whole)
        set_timeout(fd, SO_RCVTIMEO, read_timeout_ms);
    set_timeout(fd, SO_SNDTIMEO, write_timeout_ms); /* poll() comes first; a backstop */

    request = &x->request;
    FCGX_InitRequest(request, -1, 0);
    /* With a connection in place the library only parses; without keepConnection it would
     * close it first. It overwrites the flag from BEGIN_REQUEST. Detached, it closes a
     * connection that speaks nonsense without shutdown() and a wait of up to 2 s. */
    request->ipcFd = fd;
    request->keepConnection = 1;
    FCGX_Detach(request);
    wait_begin(x);
    rc = FCGX_Accept_r(request);
    wait_end(x);
    if (rc != 0) {
        if (request->ipcFd >= 0)
            close(request->ipcFd);
        free(x);
        return NULL;
    }
    x->keep = request->keepConnection != 0;
    /* A connection that breaks between two parameters looks like their end to the library;
     * only the error tells. */
    if (request->role != RESPONDER || FCGX_GetError(request->in) != 0) {
        x->failed = true;
        fcgi_finish(&x);
    }
    return x;
}

const char *fcgi_param(const struct fcgi *x, const char *name)
{
    return FCGX_GetParam(name, x->request.envp);
}

char *const *fcgi_params(const struct fcgi *x)
{
    return x->request.envp;
}

ssize_t fcgi_read(struct fcgi *x, char *data, size_t size)
{
    FCGX_Stream *in = x->request.in;
    size_t ready;
    int c, n = 0;

    if (size == 0 || x->drained)
        return 0;
    ready = (size_t)(in->stop - in->rdNext);
    if (ready == 0) {
        wait_begin(x);
        c = FCGX_GetChar(in);
        wait_end(x);
        if (c == EOF) {
            if (FCGX_GetError(in) == 0)
                return 0;
            x->failed = true;
            return -1;
        }
        data[n++] = (char)c;
        ready = (size_t)(in->stop - in->rdNext);
    }
    if (ready > size - (size_t)n)
        ready = size - (size_t)n;
    if (ready > INT32_MAX - 1)
        ready = INT32_MAX - 1;
    if (ready > 0)
        n += FCGX_GetStr(data + n, (int)ready, in);
    return n;
}

/* Until the peer takes bytes; only then does libfcgi write, which so cannot block long. The
 * first buffer fits into any socket's: all earlier bytes have been read when a request comes. */
static int wait_writable(struct fcgi *x)
{
    struct pollfd p = {.fd = x->request.ipcFd, .events = POLLOUT};
    int64_t deadline;
    int n;

    if (!x->flushed) {
        x->flushed = true;
        return 0;
    }
    n = poll(&p, 1, 0);
    if (n == 0) {
        deadline = clock_mono_ms() + x->write_ms;
        permit_wait_begin();
        do {
            int64_t left = deadline - clock_mono_ms();

            n = poll(&p, 1, left > 0 ? (int)left : 0);
        } while (n < 0 && errno == EINTR);
        permit_wait_end();
    }
    if (n <= 0 || (p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        x->failed = true;
        return AGW_EGONE;
    }
    return 0;
}

int fcgi_flush(struct fcgi *x)
{
    if (x->failed)
        return AGW_EGONE;
    if (x->pending == 0)
        return 0;
    if (wait_writable(x) != 0)
        return AGW_EGONE;
    x->pending = 0;
    if (FCGX_FFlush(x->request.out) != 0) {
        x->failed = true;
        return AGW_EGONE;
    }
    return 0;
}

int fcgi_write(struct fcgi *x, const char *data, size_t length)
{
    while (length > 0) {
        size_t n = CHUNK - x->pending < length ? CHUNK - x->pending : length;

        if (x->failed)
            return AGW_EGONE;
        if (n == 0) {
            if (fcgi_flush(x) != 0)
                return AGW_EGONE;
            continue;
        }
        if (FCGX_PutStr(data, (int)n, x->request.out) < 0) {
            x->failed = true;
            return AGW_EGONE;
        }
        x->pending += n;
        data += n;
        length -= n;
    }
    return 0;
}

int fcgi_fd(const struct fcgi *x)
{
    return x->request.ipcFd;
}

bool fcgi_peer_gone(const struct fcgi *x)
{
    struct pollfd p = {.fd = x->request.ipcFd, .events = POLLRDHUP};

    return x->failed || (poll(&p, 1, 0) > 0 &&
                         (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0);
}

/* A body is on its way that nobody has read. */
static bool body_announced(const struct fcgi *x)
{
    const char *length = fcgi_param(x, "CONTENT_LENGTH");

    return fcgi_param(x, "HTTP_TRANSFER_ENCODING") != NULL ||
           (length != NULL && length[0] != '\0' && strcmp(length, "0") != 0);
}

/* Reads the rest of the body away; whether its end was reached. */
static bool drain(struct fcgi *x)
{
    int64_t deadline = clock_mono_ms() + DRAIN_MS;
    size_t total = 0;
    char scratch[4096] __attribute__((uninitialized));

    if (!x->whole && DRAIN_MS < x->read_ms)
        set_timeout(x->request.ipcFd, SO_RCVTIMEO, DRAIN_MS);
    for (;;) {
        ssize_t n = fcgi_read(x, scratch, sizeof scratch);

        if (n <= 0)
            return n == 0;
        total += (size_t)n;
        if (total > DRAIN_BYTES || clock_mono_ms() > deadline)
            return false;
    }
}

void fcgi_end_reading(struct fcgi *x)
{
    /* Only what is here already: an answer does not wait for the rest of a request. */
    if (x->drained || !x->whole || x->failed || !drain(x))
        return;
    wipe_reader(x->request.in);
    FCGX_FreeStream(&x->request.in);
    x->drained = true;
}

/* Unread bytes at close() would reach the peer as ECONNRESET after our last ones. */
static void close_quietly(int fd, bool drained)
{
    char scratch[4096] __attribute__((uninitialized));
    size_t total = 0;
    ssize_t n;

    while (!drained && total < DRAIN_BYTES &&
           (n = recv(fd, scratch, sizeof scratch, MSG_DONTWAIT)) > 0)
        total += (size_t)n;
    close(fd);
}

int fcgi_finish(struct fcgi **exchange)
{
    struct fcgi *x = *exchange;
    FCGX_Request *request = &x->request;
    int fd = request->ipcFd;
    bool drained = false;

    /* On a kept connection everything of this request must be read before END_REQUEST
     * invites the next one, which libfcgi would swallow into this one's buffer. The answer
     * does not wait for a body that was refused. */
    if (x->keep && !x->failed) {
        if (body_announced(x) && !x->whole)
            fcgi_flush(x);
        drained = !x->failed && drain(x);
    }
    if (!x->failed && wait_writable(x) == 0) {
        /* stderr first: whoever closes last writes END_REQUEST, in one write with the rest */
        if (FCGX_FClose(request->err) != 0 || FCGX_FClose(request->out) != 0)
            x->failed = true;
        else if (!x->keep)
            drained = drain(x);
    }
    if (request->in != NULL)
        wipe_reader(request->in);
    if (request->out != NULL)
        wipe_writer(request->out);
    wipe_credentials(x);
    FCGX_Free(request, 0);
    if (!x->keep || x->failed || !drained) {
        close_quietly(fd, drained);
        fd = -1;
    }
    free(x);
    *exchange = NULL;
    return fd;
}

/* SPDX-License-Identifier: MIT */
/* Sends one small request and reads the status of its answer. */
#include "ctl/knock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/records.h"
#include "net/http_client.h"

enum { ANSWER_MAX = 65536, REQUEST = 1, RESPONDER = 1 };

static void put_param(struct buf *out, const char *name, const char *value)
{
    const char lengths[] = {(char)strlen(name), (char)strlen(value)};

    buf_append(out, lengths, sizeof lengths);
    buf_puts(out, name);
    buf_puts(out, value);
}

static int build_request(struct buf *out)
{
    static const char *const params[][2] = {
        {"REQUEST_METHOD", "GET"},      {"REQUEST_URI", "/health"}, {"SCRIPT_NAME", "/health"},
        {"SERVER_PROTOCOL", "HTTP/1.1"}, {"REMOTE_ADDR", "127.0.0.1"}, {"QUERY_STRING", ""},
    };
    const unsigned char begin[8] = {0, RESPONDER};
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    buf_init(out, ANSWER_MAX);
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        put_param(&body, params[i][0], params[i][1]);
    records_put(out, RECORDS_BEGIN, REQUEST, begin, sizeof begin);
    records_put(out, RECORDS_PARAMS, REQUEST, buf_text(&body), body.length);
    records_put(out, RECORDS_PARAMS, REQUEST, "", 0);
    records_put(out, RECORDS_STDIN, REQUEST, "", 0);
    buf_free(&body);
    return out->failed ? -1 : 0;
}

int knock_open(const char *path, int64_t wait_ms, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(e, AGW_EINVALID, "the name is too long for a socket");
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    err_set(e, AGW_EUNAVAILABLE, "%s",
            errno == ECONNREFUSED ? "nobody listens on it" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return AGW_EUNAVAILABLE;
}

/* Exactly `length` bytes. */
static bool read_all(int fd, void *bytes, size_t length)
{
    char *at = bytes;

    while (length > 0) {
        ssize_t got = recv(fd, at, length, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        length -= (size_t)got;
    }
    return true;
}

/* What the responder wrote, up to the end of the request. */
static bool read_answer(int fd, struct buf *answer)
{
    unsigned char head[RECORDS_HEADER];
    char content[65535 + 255];

    buf_init(answer, ANSWER_MAX);
    while (read_all(fd, head, sizeof head)) {
        size_t length = (size_t)(head[4] << 8 | head[5]);

        if (head[0] != 1 || !read_all(fd, content, length + head[6]))
            return false;
        if (head[1] == RECORDS_END)
            return true;
        if (head[1] == RECORDS_STDOUT && buf_append(answer, content, length) != 0)
            return false;
    }
    return false;
}

int knock_socket(const char *path, int64_t wait_ms, int *http_status, struct err *e)
{
    struct buf request, answer = {0};
    const char *status;
    int rc = 0, fd = knock_open(path, wait_ms, e);

    if (fd < 0)
        return fd;
    if (build_request(&request) != 0)
        rc = err_set(e, AGW_ENOMEM, "asking");
    else if (send(fd, request.data, request.length, MSG_NOSIGNAL) != (ssize_t)request.length ||
             !read_answer(fd, &answer))
        rc = err_set(e, AGW_EUNAVAILABLE, "no FastCGI answer: %s",
                     errno == EAGAIN ? "it took too long" : "the connection ended");
    if (rc == 0 && answer.length == 0)
        rc = err_set(e, AGW_EUNAVAILABLE, "the answer is empty");
    if (rc == 0) {
        status = strncmp(buf_text(&answer), "Status: ", 8) == 0
                     ? buf_text(&answer)
                     : strstr(buf_text(&answer), "\nStatus: ");
        *http_status = status == NULL ? 200 : (int)strtol(strchr(status, ':') + 1, NULL, 10);
    }
    buf_free(&request);
    buf_free(&answer);
    close(fd);
    return rc;
}

static int enough(void *arg, const char *bytes, size_t length)
{
    (void)arg;
    (void)bytes;
    (void)length;
    return HTTP_CLIENT_ENOUGH;
}

int knock_url(const char *url, int64_t wait_ms, int *http_status, struct err *e)
{
    const struct http_call call = {.method = "GET", .url = url, .connect_ms = wait_ms,
                                   .first_byte_ms = wait_ms, .total_ms = wait_ms,
                                   .max_response = ANSWER_MAX, .watch_fd = -1,
                                   .on_body = enough};
    struct http_result result;
    struct http_pool *pool;
    int rc;

    if (http_client_init() != 0 || (pool = http_pool_new(1)) == NULL)
        return err_set(e, AGW_ENOMEM, "asking");
    rc = http_client_call(pool, &call, &result, e);
    *http_status = result.status;
    http_pool_free(&pool);
    return rc;
}

/* SPDX-License-Identifier: MIT */
/* Plays web server for tests. */
#include "fcgi_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/records.h"

enum { OUTPUT_MAX = 64 << 20, REQUEST_ID = 7 };

static int unix_socket(const char *path, struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path)
        return -1;
    memcpy(address->sun_path, path, strlen(path) + 1);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int fcgi_client_listen(const char *path)
{
    struct sockaddr_un address;
    int fd = unix_socket(path, &address);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 1024) != 0)
        return -1;
    return fd;
}

int fcgi_client_connect(const char *path)
{
    struct sockaddr_un address;
    struct timeval limit = {.tv_sec = 20};
    int fd = unix_socket(path, &address);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void put_length(struct buf *out, size_t length)
{
    unsigned char bytes[4] = {(unsigned char)(length >> 24 | 0x80),
                              (unsigned char)(length >> 16), (unsigned char)(length >> 8),
                              (unsigned char)length};

    if (length < 128)
        buf_append(out, &bytes[3], 1);
    else
        buf_append(out, bytes, 4);
}

static void put_stream(struct buf *out, int type, const char *bytes, size_t length,
                       size_t record)
{
    for (size_t done = 0, n; done < length; done += n) {
        n = length - done < record ? length - done : record;
        records_put(out, type, REQUEST_ID, bytes + done, n);
    }
}

void fcgi_client_build(const struct fcgi_client_request *request, struct buf *out)
{
    unsigned char begin[8] = {0, (unsigned char)(request->role == 0 ? 1 : request->role),
                              request->keep};
    struct buf params;

    buf_init(&params, OUTPUT_MAX);
    for (const char *const *p = request->params; p != NULL && *p != NULL; p += 2) {
        put_length(&params, strlen(p[0]));
        put_length(&params, strlen(p[1]));
        buf_puts(&params, p[0]);
        buf_puts(&params, p[1]);
    }
    records_put(out, RECORDS_BEGIN, REQUEST_ID, begin, sizeof begin);
    put_stream(out, RECORDS_PARAMS, params.data, params.length, 32768);
    records_put(out, RECORDS_PARAMS, REQUEST_ID, NULL, 0);
    put_stream(out, RECORDS_STDIN, request->body, request->body_length,
               request->record == 0 ? 32768 : request->record);
    if (!request->open_end)
        records_put(out, RECORDS_STDIN, REQUEST_ID, NULL, 0);
    buf_free(&params);
}

int fcgi_client_send_bytes(int fd, const void *bytes, size_t length)
{
    const char *p = bytes;

    while (length > 0) {
        ssize_t n = send(fd, p, length, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

int fcgi_client_send(int fd, const struct fcgi_client_request *request)
{
    struct buf out;
    int rc;

    buf_init(&out, OUTPUT_MAX);
    fcgi_client_build(request, &out);
    rc = fcgi_client_send_bytes(fd, out.data, out.length);
    buf_free(&out);
    return rc;
}

static bool read_exactly(int fd, void *bytes, size_t length)
{
    for (char *p = bytes; length > 0;) {
        ssize_t n = read(fd, p, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        length -= (size_t)n;
    }
    return true;
}

static void understand(struct fcgi_client_reply *reply)
{
    const char *text = buf_text(&reply->output), *blank = strstr(text, "\r\n\r\n");
    char status[16];

    if (blank != NULL) {
        reply->body = blank + 4;
        reply->body_length = reply->output.length - (size_t)(reply->body - text);
    }
    fcgi_client_header(reply, "Status", status, sizeof status);
    reply->status = (int)strtol(status, NULL, 10);
}

bool fcgi_client_receive(int fd, struct fcgi_client_reply *reply)
{
    unsigned char header[RECORDS_HEADER];
    char content[65536 + 256];

    memset(reply, 0, sizeof *reply);
    buf_init(&reply->output, OUTPUT_MAX);
    while (!reply->ended && read_exactly(fd, header, sizeof header)) {
        size_t length = (size_t)(header[4] << 8 | header[5]);

        if (header[0] != 1 || (header[2] << 8 | header[3]) != REQUEST_ID ||
            !read_exactly(fd, content, length + header[6]))
            return false;
        if (header[1] == RECORDS_STDOUT)
            buf_append(&reply->output, content, length);
        else if (header[1] == RECORDS_END)
            reply->ended = true;
    }
    understand(reply);
    return reply->status != 0;
}

void fcgi_client_reply_free(struct fcgi_client_reply *reply)
{
    buf_free(&reply->output);
}

void fcgi_client_header(const struct fcgi_client_reply *reply, const char *name, char *value,
                        size_t size)
{
    size_t length = strlen(name);

    value[0] = '\0';
    for (const char *line = buf_text(&reply->output); *line != '\0' && *line != '\r';) {
        const char *end = strstr(line, "\r\n");

        if (end == NULL)
            return;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            line += length + 1;
            line += strspn(line, " ");
            snprintf(value, size, "%.*s", (int)(end - line), line);
            return;
        }
        line = end + 2;
    }
}

bool fcgi_client_ask(const char *path, const struct fcgi_client_request *request,
                     struct fcgi_client_reply *reply)
{
    int fd = fcgi_client_connect(path);
    bool good;

    memset(reply, 0, sizeof *reply);
    if (fd < 0)
        return false;
    good = fcgi_client_send(fd, request) == 0 && fcgi_client_receive(fd, reply);
    close(fd);
    return good;
}

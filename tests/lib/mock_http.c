/* SPDX-License-Identifier: MIT */
/* Plays the upstream, well-behaved or not. */
#include "mock_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256 };

struct mock_http {
    int fd, port;
    mock_handler handler;
    void *arg;
    pthread_t accepter;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    bool stopping;
    int requests, connections, open;
    int sockets[CONNECTIONS_MAX];
};

struct mock_conn {
    struct mock_http *server;
    int fd, slot;
};

static bool stopping(struct mock_http *server)
{
    bool yes;

    pthread_mutex_lock(&server->lock);
    yes = server->stopping;
    pthread_mutex_unlock(&server->lock);
    return yes;
}

static bool read_more(struct mock_conn *conn, char *to, size_t room, size_t *have)
{
    ssize_t got = recv(conn->fd, to + *have, room - *have, 0);

    if (got <= 0)
        return false;
    *have += (size_t)got;
    return true;
}

static size_t content_length(const char *head)
{
    const char *line = strcasestr(head, "\r\ncontent-length:");

    return line == NULL ? 0 : strtoul(line + 17, NULL, 10);
}

/* Clients of these tests never pipeline, so what follows the head is the body. */
static bool read_request(struct mock_conn *conn, struct mock_request *request)
{
    size_t have = 0, head;
    char *end;

    do {
        if (!read_more(conn, request->head, sizeof request->head - 1, &have))
            return false;
        request->head[have] = '\0';
        end = strstr(request->head, "\r\n\r\n");
    } while (end == NULL);
    head = (size_t)(end - request->head) + 4;
    request->body_length = content_length(request->head);
    request->body = calloc(1, request->body_length + 1);
    have -= head;
    memcpy(request->body, request->head + head, have);
    request->head[head] = '\0';
    while (have < request->body_length)
        if (!read_more(conn, request->body, request->body_length, &have))
            return false;
    return true;
}

static void *serve(void *arg)
{
    struct mock_conn *conn = arg;
    struct mock_http *server = conn->server;
    struct mock_request *request = calloc(1, sizeof *request);
    bool more = true;

    while (more && read_request(conn, request)) {
        pthread_mutex_lock(&server->lock);
        request->number = ++server->requests;
        pthread_mutex_unlock(&server->lock);
        request->on_connection++;
        more = server->handler(conn, request, server->arg);
        free(request->body);
        request->body = NULL;
    }
    free(request->body);
    free(request);
    pthread_mutex_lock(&server->lock);
    server->sockets[conn->slot] = -1;
    close(conn->fd);
    server->open--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    free(conn);
    return NULL;
}

static void start_connection(struct mock_http *server, int fd)
{
    struct mock_conn *conn = calloc(1, sizeof *conn);
    pthread_t thread;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    conn->server = server;
    conn->fd = fd;
    pthread_mutex_lock(&server->lock);
    while (conn->slot < CONNECTIONS_MAX - 1 && server->sockets[conn->slot] >= 0)
        conn->slot++;
    server->sockets[conn->slot] = fd;
    server->connections++;
    server->open++;
    pthread_mutex_unlock(&server->lock);
    pthread_create(&thread, NULL, serve, conn);
    pthread_detach(thread);
}

static void *accept_all(void *arg)
{
    struct mock_http *server = arg;

    for (;;) {
        int fd = accept(server->fd, NULL, NULL);

        if (fd < 0 || stopping(server)) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        start_connection(server, fd);
    }
}

struct mock_http *mock_http_start(mock_handler handler, void *arg)
{
    struct mock_http *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;

    server->handler = handler;
    server->arg = arg;
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        server->sockets[i] = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->fd, 128) != 0 ||
        getsockname(server->fd, (struct sockaddr *)&address, &length) != 0)
        abort();
    server->port = ntohs(address.sin_port);
    pthread_create(&server->accepter, NULL, accept_all, server);
    return server;
}

void mock_http_stop(struct mock_http **slot)
{
    struct mock_http *server = *slot;

    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    shutdown(server->fd, SHUT_RDWR);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (server->sockets[i] >= 0)
            shutdown(server->sockets[i], SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->accepter, NULL);
    pthread_mutex_lock(&server->lock);
    while (server->open > 0)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
    close(server->fd);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    free(server);
    *slot = NULL;
}

int mock_http_port(const struct mock_http *server)
{
    return server->port;
}

int mock_http_requests(struct mock_http *server)
{
    int count;

    pthread_mutex_lock(&server->lock);
    count = server->requests;
    pthread_mutex_unlock(&server->lock);
    return count;
}

int mock_http_connections(struct mock_http *server)
{
    int count;

    pthread_mutex_lock(&server->lock);
    count = server->connections;
    pthread_mutex_unlock(&server->lock);
    return count;
}

bool mock_write(struct mock_conn *conn, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(conn->fd, bytes, length, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

void mock_reply(struct mock_conn *conn, int status, const char *type, const char *headers,
                const char *body)
{
    char head[1024];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %d Mock\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
                          status, type, strlen(body), headers);

    mock_write(conn, head, (size_t)length);
    mock_write(conn, body, strlen(body));
}

void mock_head(struct mock_conn *conn, int status, const char *type, bool chunked)
{
    char head[512];
    int length = snprintf(head, sizeof head, "HTTP/1.1 %d Mock\r\nContent-Type: %s\r\n%s\r\n",
                          status, type,
                          chunked ? "Transfer-Encoding: chunked\r\n" : "Connection: close\r\n");

    mock_write(conn, head, (size_t)length);
}

bool mock_chunk(struct mock_conn *conn, const char *text)
{
    char size[32];
    int length = snprintf(size, sizeof size, "%zx\r\n", strlen(text));

    return mock_write(conn, size, (size_t)length) && mock_write(conn, text, strlen(text)) &&
           mock_write(conn, "\r\n", 2);
}

bool mock_end(struct mock_conn *conn)
{
    return mock_write(conn, "0\r\n\r\n", 5);
}

void mock_reset(struct mock_conn *conn)
{
    struct linger linger = {.l_onoff = 1};

    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

bool mock_sleep(struct mock_conn *conn, int ms)
{
    struct pollfd p = {.fd = conn->fd, .events = POLLRDHUP};

    return poll(&p, 1, ms) > 0;
}

/* SPDX-License-Identifier: MIT */
/* Any bytes as an MCP server's answer over HTTP: the whole exchange, with a server in this
 * process that sends them. The first byte says as what: a document, an event stream, or all of
 * the response. */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mcp_consume.h"
#include "net/http_client.h"
#include "tools/mcp_link.h"
#include "util/clock.h"

enum { DEADLINE_MS = 1000, RESUMED_MS = 30, ROOM = 1 << 17 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    int listener;
    void *link;
    struct config_tool config;
    char url[64];
    pthread_mutex_t lock;
    char data[ROOM];     /* what the server sends, under the lock: it may still be at an answer
                            that nobody waits for any more */
    size_t size;
} scene = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const heads[] = {
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 400 No\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
    ""};

/* Reads the request's head and body, then answers. */
static void serve_one(int fd)
{
    static char request[ROOM], data[ROOM];
    size_t got = 0, size;
    char *body = NULL;
    const char *head;
    unsigned long length = 0;

    pthread_mutex_lock(&scene.lock);
    size = scene.size;
    memcpy(data, scene.data, size);
    pthread_mutex_unlock(&scene.lock);
    head = heads[size > 0 ? (unsigned char)data[0] % 4 : 0];

    while (body == NULL || got < (size_t)(body - request) + length) {
        ssize_t more = recv(fd, request + got, sizeof request - 1 - got, 0);

        if (more <= 0)
            return;
        got += (size_t)more;
        request[got] = '\0';
        body = strstr(request, "\r\n\r\n");
        if (body == NULL)
            continue;
        body += 4;
        if (strcasestr(request, "content-length: ") != NULL)
            length = strtoul(strcasestr(request, "content-length: ") + 16, NULL, 10);
    }
    send(fd, head, strlen(head), MSG_NOSIGNAL);
    if (size > 1)
        send(fd, data + 1, size - 1, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        int fd = accept4(scene.listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            return NULL;
        serve_one(fd);
        close(fd);
    }
}

static void on_note(void *arg, const struct mcp_message *message)
{
    (void)arg;
    assert(message->method != NULL);
}

static void set_up(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct mcp_listener listener = {.notified = on_note};
    socklen_t length = sizeof address;
    struct err e = {0};
    pthread_t thread;

    assert(http_client_init() == 0);
    scene.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(bind(scene.listener, (struct sockaddr *)&address, length) == 0);
    assert(listen(scene.listener, 64) == 0);
    assert(getsockname(scene.listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(scene.url, sizeof scene.url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    scene.config = (struct config_tool){.name = "f", .url = scene.url, .allow_private = true};
    scene.link = mcp_http.open(&scene.config, &listener, &e);
    assert(scene.link != NULL);
    assert(pthread_create(&thread, NULL, serve, NULL) == 0);
    pthread_detach(thread);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mcp_ask ask = {.text = "{}", .id = 1, .watch_fd = -1,
                          .resumable = size > 0 && data[0] & 4};
    struct mcp_answer answer;
    struct err e = {0};
    int code;

    if (scene.link == NULL)
        set_up();
    size = size < ROOM ? size : ROOM;
    pthread_mutex_lock(&scene.lock);
    scene.size = size;
    memcpy(scene.data, data, size);
    pthread_mutex_unlock(&scene.lock);
    ask.deadline_ms = clock_mono_ms() + (ask.resumable ? RESUMED_MS : DEADLINE_MS);
    code = mcp_http.exchange(scene.link, &ask, &answer, &e);
    assert(code == 0 || code == AGW_EUPSTREAM || code == AGW_EUNAVAILABLE ||
           code == AGW_ETIMEOUT);
    assert(code == 0 || e.message[0] != '\0');
    assert(code == 0 || answer.message.whole == NULL || answer.status == 200);
    if (answer.message.whole != NULL) {
        assert(answer.message.kind == MCP_RESULT || answer.message.kind == MCP_ERROR);
        assert(mcp_message_answers(&answer.message, 1) || answer.message.id == NULL);
        mcp_consume(&answer.message);
    }
    mcp_message_clear(&answer.message);
    return 0;
}

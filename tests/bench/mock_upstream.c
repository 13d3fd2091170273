/* SPDX-License-Identifier: MIT */
/* Stands in for a provider of models whose own cost is known and small: one thread, epoll,
 * kept-alive connections, an answer of fixed size.
 *
 * mock_upstream [--chunks N] [--every MS] [--delay MS]: prints the port it listens on.
 * A request whose body says "stream":true is answered with N chunks, one every MS ms, each
 * with the monotonic time it was sent at ("t=<us>;"); any other one with 500 bytes of JSON.
 * A model named "wait-<ms>" is answered so much later; one named "call-<function>" calls that
 * function until it has been told a result. It ends with SIGTERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 16384, EVENTS = 256, COMPLETION = 500, FUNCTION = 64 };

struct conn {
    int fd;
    char in[REQUEST_MAX + 1];
    size_t have;
    bool chunked, close_after, streaming;
    char function[FUNCTION]; /* to be called, "" = none */
    int left;            /* chunks still to be sent */
    bool waits;
    int64_t due;         /* us */
    size_t heap_at;      /* its place in the heap while it waits */
};

static int chunks = 20, every_ms = 250, delay_ms;
static int epoll_fd;
static char completion[COMPLETION + 1];

/* Connections that wait, the soonest on top. */
static struct conn **heap;
static size_t heap_count, heap_room;

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void place(struct conn *c, size_t at)
{
    heap[at] = c;
    c->heap_at = at;
}

static void sift(size_t at)
{
    struct conn *c = heap[at];

    while (at > 0 && heap[(at - 1) / 2]->due > c->due) {
        place(heap[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < heap_count && heap[child + 1]->due < heap[child]->due)
            child++;
        if (child >= heap_count || heap[child]->due >= c->due)
            break;
        place(heap[child], at);
        at = child;
    }
    place(c, at);
}

static void wait_until(struct conn *c, int64_t due)
{
    if (heap_count == heap_room) {
        heap_room = heap_room == 0 ? 1024 : 2 * heap_room;
        heap = realloc(heap, heap_room * sizeof(struct conn *));
        if (heap == NULL)
            abort();
    }
    c->due = due;
    c->waits = true;
    place(c, heap_count++);
    sift(heap_count - 1);
}

static void stop_waiting(struct conn *c)
{
    size_t at = c->heap_at;

    if (!c->waits)
        return;
    c->waits = false;
    heap_count--;
    if (at == heap_count)
        return;
    place(heap[heap_count], at);
    sift(at);
}

static void drop(struct conn *c)
{
    stop_waiting(c);
    close(c->fd);
    free(c);
}

/* False when the connection is gone. Answers are small: a full socket counts as dead. */
static bool send_all(struct conn *c, const char *bytes, size_t length)
{
    return send(c->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static bool send_chunk(struct conn *c, const char *text)
{
    char frame[1024];
    int n = c->chunked ? snprintf(frame, sizeof frame, "%zx\r\n%s\r\n", strlen(text), text)
                       : snprintf(frame, sizeof frame, "%s", text);

    return send_all(c, frame, (size_t)n);
}

static bool send_head(struct conn *c)
{
    char head[512];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                     "X-Accel-Buffering: no\r\n%s%s\r\n",
                     c->chunked ? "Transfer-Encoding: chunked\r\n" : "",
                     c->close_after ? "Connection: close\r\n" : "");

    return send_all(c, head, (size_t)n);
}

/* The next chunk of a stream; after the last one the end, at once. */
static bool send_delta(struct conn *c)
{
    char text[512];
    bool fine;

    snprintf(text, sizeof text,
             "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\","
             "\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":"
             "{\"content\":\"t=%lld;\"},\"finish_reason\":null}]}\n\n", (long long)now_us());
    fine = send_chunk(c, text);
    if (--c->left > 0 || !fine)
        return fine;
    fine = send_chunk(c, "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\","
                         "\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,"
                         "\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n") &&
           send_chunk(c, "data: [DONE]\n\n");
    if (fine && c->chunked)
        fine = send_all(c, "0\r\n\r\n", 5);
    return fine && !c->close_after;
}

static bool send_call(struct conn *c)
{
    char answer[COMPLETION + 512], text[COMPLETION + 256];
    int length = snprintf(
        text, sizeof text,
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
        "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":null,\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\","
        "\"function\":{\"name\":\"%s\",\"arguments\":\"{\\\"city\\\":\\\"Bern\\\"}\"}}]},"
        "\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":9,"
        "\"completion_tokens\":40,\"total_tokens\":49}}", c->function);
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     "Content-Length: %d\r\n%s\r\n%s", length,
                     c->close_after ? "Connection: close\r\n" : "", text);

    return send_all(c, answer, (size_t)n) && !c->close_after;
}

static bool send_completion(struct conn *c)
{
    char answer[COMPLETION + 256];
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     "Content-Length: %d\r\n%s\r\n%s", COMPLETION,
                     c->close_after ? "Connection: close\r\n" : "", completion);

    return send_all(c, answer, (size_t)n) && !c->close_after;
}

/* What is due now; false: the connection is done. */
static bool step(struct conn *c)
{
    bool alive = true;

    if (!c->streaming)
        return c->function[0] != '\0' ? send_call(c) : send_completion(c);
    if (c->left == chunks)
        alive = send_head(c);
    alive = alive && send_delta(c);
    if (alive && c->left > 0)
        wait_until(c, c->due + every_ms * 1000);
    return alive;
}

static int wait_of(const char *body)
{
    const char *model = strstr(body, "\"wait-");

    return model == NULL ? delay_ms : (int)strtol(model + 6, NULL, 10);
}

static void find_function(struct conn *c, const char *body)
{
    static const char word[] = "\"model\":\"call-";
    const char *model = strstr(body, word);

    c->function[0] = '\0';
    if (model != NULL && strstr(body, "\"role\":\"tool\"") == NULL)
        snprintf(c->function, sizeof c->function, "%.*s",
                 (int)strcspn(model + sizeof word - 1, "\""), model + sizeof word - 1);
}

/* Answers the whole request at the buffer's beginning; false: the connection is done. */
static bool serve(struct conn *c, char *body, size_t length)
{
    int wait;
    char end = body[length];

    body[length] = '\0';
    c->chunked = strstr(c->in, " HTTP/1.1\r\n") != NULL;
    c->close_after = !c->chunked || strcasestr(c->in, "connection: close") != NULL;
    c->streaming = strstr(body, "\"stream\":true") != NULL;
    c->left = chunks;
    find_function(c, body);
    wait = wait_of(body);
    body[length] = end;
    c->due = now_us() + wait * 1000;
    if (wait == 0)
        return step(c);
    wait_until(c, c->due);
    return true;
}

/* Takes whole requests off the buffer; false: the connection is done. */
static bool take_requests(struct conn *c)
{
    while (!c->waits) {
        char *body, *field;
        size_t length, whole;

        c->in[c->have] = '\0';
        body = strstr(c->in, "\r\n\r\n");
        if (body == NULL)
            return c->have < REQUEST_MAX;
        body += 4;
        field = strcasestr(c->in, "\r\ncontent-length:");
        length = field == NULL || field > body ? 0 : strtoul(field + 17, NULL, 10);
        whole = (size_t)(body - c->in) + length;
        if (whole > c->have)
            return whole < REQUEST_MAX;
        if (!serve(c, body, length))
            return false;
        memmove(c->in, c->in + whole, c->have - whole);
        c->have -= whole;
    }
    return true;
}

static void on_readable(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->have, REQUEST_MAX - c->have, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        c->have += (size_t)n;
    if (n <= 0 || !take_requests(c))
        drop(c);
}

static void on_connection(int listen_fd)
{
    int one = 1, fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

        if (c == NULL)
            abort();
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void run_due(void)
{
    int64_t now = now_us();

    while (heap_count > 0 && heap[0]->due <= now) {
        struct conn *c = heap[0];

        stop_waiting(c);
        if (!step(c) || !take_requests(c))
            drop(c);
    }
}

static int timeout_ms(void)
{
    int64_t left;

    if (heap_count == 0)
        return -1;
    left = heap[0]->due - now_us();
    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 4096) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        perror("mock_upstream");
        exit(1);
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void make_completion(void)
{
    static const char head[] =
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
        "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"";
    static const char tail[] =
        "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,"
        "\"completion_tokens\":40,\"total_tokens\":49}}";

    memset(completion, 'x', COMPLETION);
    memcpy(completion, head, sizeof head - 1);
    memcpy(completion + COMPLETION - (sizeof tail - 1), tail, sizeof tail - 1);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct epoll_event events[EVENTS], listening = {.events = EPOLLIN, .data.ptr = NULL};
    int listen_fd;

    for (int i = 1; i + 1 < argc; i += 2) {
        int value = (int)strtol(argv[i + 1], NULL, 10);

        if (strcmp(argv[i], "--chunks") == 0)
            chunks = value;
        else if (strcmp(argv[i], "--every") == 0)
            every_ms = value;
        else if (strcmp(argv[i], "--delay") == 0)
            delay_ms = value;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    make_completion();
    listen_fd = listen_anywhere();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &listening);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, timeout_ms());

        /* A connection that waits and is dropped here is off the heap before that is walked. */
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr == NULL)
                on_connection(listen_fd);
            else
                on_readable(events[i].data.ptr);
        run_due();
    }
}

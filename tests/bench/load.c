/* SPDX-License-Identifier: MIT */
/* Opens requests at given instants, however slow the answers are, and says what became of
 * them: the part of the load that wrk cannot make.
 *
 * load --port P --rate R --total N --body FILE [--key SECRET] [--chunks N]
 *
 * Starts N requests, R a second, each on a connection of its own (HTTP/1.0), and prints one
 * JSON object. Without --chunks answers are whole: latency from the instant a request was
 * due. With --chunks they are streams of mock_upstream: frames lost, time to the first one,
 * and how long each took from the upstream to here ("t=<us>;").
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_MAX = 8192, EVENTS = 256, REQUEST_MAX = 8192, GIVE_UP_S = 60 };

struct call {
    int fd;
    int64_t due, first;  /* us; first = its first frame, 0 = none yet */
    bool sent, head_seen, done_seen;
    int status, frames;
    size_t have;
    char *in;
};

/* Microseconds, to be sorted once. */
struct samples {
    int64_t *values;
    size_t count, room;
};

static int port, chunks, rate = 100, total = 100;
static char request[REQUEST_MAX];
static size_t request_length;
static int epoll_fd, open_now, open_most, failed, refused;
static long frames_lost, streams_whole;
static struct samples latency, first_frame, frame_delay;

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void add(struct samples *s, int64_t value)
{
    if (s->count == s->room) {
        s->room = s->room == 0 ? 4096 : 2 * s->room;
        s->values = realloc(s->values, s->room * sizeof *s->values);
        if (s->values == NULL)
            abort();
    }
    s->values[s->count++] = value;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile(const struct samples *s, double p)
{
    size_t at = (size_t)((double)s->count * p / 100);

    return s->count == 0 ? -1 : (double)s->values[at < s->count ? at : s->count - 1] / 1000;
}

static void end(struct call *c)
{
    int64_t now = now_us();

    if (c->status != 200)
        c->status == 503 || c->status == 429 ? refused++ : failed++;
    else if (chunks == 0)
        add(&latency, now - c->due);
    else
        streams_whole += c->done_seen && c->frames == chunks;
    if (c->status == 200)
        frames_lost += chunks - c->frames;
    close(c->fd);
    free(c->in);
    free(c);
    open_now--;
}

static void begin(int64_t due)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct call *c = calloc(1, sizeof *c);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLIN, .data.ptr = c};
    int one = 1;

    if (c == NULL || (c->in = malloc(IN_MAX + 1)) == NULL)
        abort();
    c->due = due;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    open_now++;
    if (open_now > open_most)
        open_most = open_now;
    if (c->fd >= 0)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 &&
                      errno != EINPROGRESS) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        end(c);
}

static void take_frame(struct call *c, const char *line, int64_t now)
{
    const char *stamp;

    if (strncmp(line, "data: [DONE]", 12) == 0)
        c->done_seen = true;
    stamp = strstr(line, "t=");
    if (strncmp(line, "data: ", 6) != 0 || stamp == NULL)
        return;
    if (c->first == 0) {
        c->first = now;
        add(&first_frame, now - c->due);
    }
    c->frames++;
    add(&frame_delay, now - strtoll(stamp + 2, NULL, 10));
}

/* Looks at whole lines and keeps the rest. */
static void take_lines(struct call *c, int64_t now)
{
    char *line = c->in, *stop;

    c->in[c->have] = '\0';
    if (!c->head_seen) {
        stop = strstr(c->in, "\r\n\r\n");
        if (stop == NULL)
            return;
        c->head_seen = true;
        c->status = strncmp(c->in, "HTTP/1.", 7) == 0 ? (int)strtol(c->in + 9, NULL, 10) : 0;
        line = stop + 4;
    }
    while ((stop = strchr(line, '\n')) != NULL) {
        *stop = '\0';
        if (chunks > 0)
            take_frame(c, line, now);
        line = stop + 1;
    }
    if (chunks == 0 || c->status != 200) /* nobody looks at it */
        line = c->in + c->have;
    c->have -= (size_t)(line - c->in);
    memmove(c->in, line, c->have);
}

static void on_event(struct call *c, uint32_t events)
{
    struct epoll_event reading = {.events = EPOLLIN, .data.ptr = c};
    ssize_t n;

    if (!c->sent && (events & EPOLLOUT) != 0) {
        c->sent = send(c->fd, request, request_length, MSG_NOSIGNAL) == (ssize_t)request_length;
        if (!c->sent) {
            end(c);
            return;
        }
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &reading);
        return;
    }
    n = recv(c->fd, c->in + c->have, IN_MAX - c->have, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0) {
        c->have += (size_t)n;
        take_lines(c, now_us());
    }
    if (n <= 0 || c->have == IN_MAX)
        end(c);
}

static void report(const char *name, struct samples *s, const char *after)
{
    qsort(s->values, s->count, s->count == 0 ? 1 : sizeof *s->values, compare);
    printf("\"%s\":{\"count\":%zu,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f}%s", name, s->count, percentile(s, 50), percentile(s, 90),
           percentile(s, 99), percentile(s, 100), after);
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    int64_t start = now_us(), last = start;
    int begun = 0;

    while (begun < total || open_now > 0) {
        int64_t now = now_us(), next = start + (int64_t)begun * 1000000 / rate;
        int n;

        while (begun < total && next <= now) {
            begin(next);
            begun++;
            next = start + (int64_t)begun * 1000000 / rate;
        }
        n = epoll_wait(epoll_fd, events, EVENTS, begun < total ? 1 : 1000);
        for (int i = 0; i < n; i++)
            on_event(events[i].data.ptr, events[i].events);
        if (n > 0 || begun < total)
            last = now_us();
        if (now_us() - last > GIVE_UP_S * 1000000LL)
            break;
    }
}

static void make_request(const char *file, const char *key)
{
    char body[REQUEST_MAX / 2];
    FILE *from = fopen(file, "r");
    size_t length = from == NULL ? 0 : fread(body, 1, sizeof body, from);

    if (length == 0) {
        perror(file);
        exit(1);
    }
    fclose(from);
    request_length = (size_t)snprintf(
        request, sizeof request,
        "POST /v1/chat/completions HTTP/1.0\r\nHost: bench\r\nAuthorization: Bearer %.200s\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%.*s",
        key, length, (int)length, body);
}

int main(int argc, char **argv)
{
    const char *file = "", *key = "none";
    struct rlimit files;

    for (int i = 1; i + 1 < argc; i += 2) {
        int value = (int)strtol(argv[i + 1], NULL, 10);

        if (strcmp(argv[i], "--port") == 0)
            port = value;
        else if (strcmp(argv[i], "--rate") == 0)
            rate = value;
        else if (strcmp(argv[i], "--total") == 0)
            total = value;
        else if (strcmp(argv[i], "--chunks") == 0)
            chunks = value;
        else if (strcmp(argv[i], "--body") == 0)
            file = argv[i + 1];
        else if (strcmp(argv[i], "--key") == 0)
            key = argv[i + 1];
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    make_request(file, key);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run();
    printf("{\"requests\":%d,\"failed\":%d,\"refused\":%d,\"stuck\":%d,\"most_open\":%d,", total,
           failed, refused, open_now, open_most);
    if (chunks > 0) {
        printf("\"whole\":%ld,\"frames_lost\":%ld,", streams_whole, frames_lost);
        report("first_frame", &first_frame, ",");
        report("frame_delay", &frame_delay, "}\n");
    } else {
        report("latency", &latency, "}\n");
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Carries MCP messages to a program and back: a line each, over its standard input and output.
 * A thread for each server, its keeper, starts the program, reads all it writes, and sees to it
 * that nothing of it stays behind. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "net/http_client.h"
#include "tools/launch.h"
#include "tools/mcp_lines.h"
#include "tools/mcp_link.h"
#include "tools/mcp_pending.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/permit.h"

enum {
    START_MS = 10000,            /* until the program runs */
    PAUSE_MS = 100, PAUSE_MAX_MS = 30000,
    PATIENCE_MS = 2000,          /* a longer pause is not waited for */
    STEADY_MS = 10000,           /* who lived so long is started without a pause again */
    LEAVE_MS = 400,              /* from the end of its input to SIGTERM, and then to SIGKILL */
    LOOK_MS = 200,
    OUT_MAX = 16 << 20,          /* what it has not read yet */
    CHUNK = 16384,
    LOG_LINE = 1000, LOG_LINES = 50, LOG_PERIOD_MS = 10000 /* of its stderr */
};

enum keeping { IDLE, WANTED, STARTING, RUNNING, ENDING };

struct stdio_link {
    const struct config_tool *config;
    struct mcp_listener listener;
    struct mcp_pending pending;
    pthread_t keeper;
    int wake;                    /* eventfd: there is something for the keeper */
    pthread_mutex_t lock;        /* of all below, up to the keeper's own */
    pthread_cond_t turned;       /* the state is another one */
    enum keeping state;
    bool has_keeper, closing;
    bool deaf;                   /* the program has closed its input: it is to end */
    uint64_t life;
    unsigned starts, failures;
    pid_t pid;
    int in;                      /* the program's stdin; -1 = none */
    struct buf out;              /* not written yet */
    int64_t start_at, pause_ms;
    char problem[MCP_PROBLEM_SIZE]; /* why it does not run */
    json_t *sandbox;
    /* the keeper's own */
    struct launch_child child;
    struct mcp_lines said, muttered;
    char chunk[CHUNK];
    int64_t log_since;
    int logged;
};

/* ---- open and close ---- */

static void *keep(void *arg);

static void *open_link(const struct config_tool *config, const struct mcp_listener *listener,
                       struct err *e)
{
    struct stdio_link *link = calloc(1, sizeof *link);
    pthread_condattr_t monotonic;

    if (link != NULL)
        link->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (link == NULL || link->wake < 0) {
        free(link);
        err_set(e, AGW_ENOMEM, "memory is out");
        return NULL;
    }
    link->config = config;
    link->listener = *listener;
    link->in = -1;
    link->pause_ms = PAUSE_MS;
    buf_init(&link->out, OUT_MAX);
    mcp_pending_init(&link->pending);
    pthread_mutex_init(&link->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&link->turned, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return link;
}

static void wake_keeper(const struct stdio_link *link)
{
    static const uint64_t one = 1;

    while (write(link->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void close_link(void *state)
{
    struct stdio_link *link = state;

    pthread_mutex_lock(&link->lock);
    link->closing = true;
    pthread_cond_broadcast(&link->turned);
    pthread_mutex_unlock(&link->lock);
    wake_keeper(link);
    if (link->has_keeper)
        pthread_join(link->keeper, NULL);
    close(link->wake);
    buf_free(&link->out);
    json_decref(link->sandbox);
    mcp_pending_destroy(&link->pending);
    pthread_cond_destroy(&link->turned);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

/* ---- writing ---- */

/* Under the lock. */
static void turn(struct stdio_link *link, enum keeping state)
{
    link->state = state;
    pthread_cond_broadcast(&link->turned);
}

/* A program that has closed its input is no reason for a signal. -1 with errno. */
static ssize_t write_quietly(int fd, const struct iovec *parts, int count)
{
    static const struct timespec now;
    sigset_t pipe, before, waiting;
    ssize_t written;
    int problem;
    bool was_there;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&waiting);
    was_there = sigismember(&waiting, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    written = writev(fd, parts, count);
    problem = errno;
    if (written < 0 && problem == EPIPE && !was_there)
        sigtimedwait(&pipe, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = problem;
    return written;
}

/* Under the lock: nobody reads there any more; most likely it has just ended. */
static void give_up(struct stdio_link *link)
{
    link->deaf = true;
    if (link->state == RUNNING)
        turn(link, ENDING);
    wake_keeper(link);
}

/* Under the lock: as much as the program takes now. */
static void flush(struct stdio_link *link)
{
    struct iovec rest = {link->out.data, link->out.length};
    ssize_t written = rest.iov_len == 0 ? 0 : write_quietly(link->in, &rest, 1);

    if (written > 0)
        buf_consume(&link->out, (size_t)written);
    else if (written < 0 && errno != EAGAIN && errno != EINTR)
        give_up(link);
}

/* Under the lock: a message and the end of its line, behind what waits already. */
static int put(struct stdio_link *link, const char *text, struct err *e)
{
    static char newline[] = "\n";
    size_t length = strlen(text), done = 0;
    struct iovec parts[2] = {{(char *)(uintptr_t)text, length}, {newline, 1}};
    ssize_t written;

    if (link->out.length + length + 1 > OUT_MAX)
        return err_set(e, AGW_EUNAVAILABLE, "its server does not read what it is asked");
    if (link->out.length == 0) {
        written = write_quietly(link->in, parts, 2);
        if (written < 0 && errno != EAGAIN && errno != EINTR) {
            give_up(link);
            return err_set(e, AGW_EUNAVAILABLE, "its server has closed its input");
        }
        done = written < 0 ? 0 : (size_t)written;
    }
    if (done == length + 1)
        return 0;
    if (done < length)
        buf_append(&link->out, text + done, length - done);
    buf_append(&link->out, "\n", 1);
    wake_keeper(link);
    return link->out.failed ? err_set(e, AGW_ENOMEM, "memory is out") : 0;
}

/* ---- reading, by the keeper ---- */

static void reply(void *arg, const char *text)
{
    struct stdio_link *link = arg;
    struct err e = {0};

    pthread_mutex_lock(&link->lock);
    put(link, text, &e);
    pthread_mutex_unlock(&link->lock);
}

static int on_said(void *arg, const char *line, size_t length)
{
    struct stdio_link *link = arg;

    mcp_pending_take(&link->pending, line, length, &link->listener, reply, link);
    return 0;
}

static int on_muttered(void *arg, const char *text, size_t length)
{
    struct stdio_link *link = arg;
    int64_t now = clock_mono_ms();
    char shown[LOG_LINE + 1];
    struct log_line line;

    if (now - link->log_since >= LOG_PERIOD_MS) {
        link->log_since = now;
        link->logged = 0;
    }
    if (length == 0 || link->logged++ >= LOG_LINES)
        return 0;
    snprintf(shown, sizeof shown, "%.*s", (int)(length < LOG_LINE ? length : LOG_LINE), text);
    log_begin(&line, LOG_INFO, "tool.server.stderr");
    log_str(&line, "tool", link->config->name);
    log_str(&line, "text", shown);
    log_end(&line);
    return 0;
}

/* False when the stream has ended. */
static bool read_some(struct stdio_link *link, int fd, struct mcp_lines *lines, mcp_line_fn fn,
                      int *code)
{
    ssize_t got = read(fd, link->chunk, CHUNK);

    *code = 0;
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    *code = mcp_lines_feed(lines, link->chunk, (size_t)got, fn, link);
    return true;
}

static void read_stderr(struct stdio_link *link)
{
    int code;

    if (!read_some(link, link->child.err, &link->muttered, on_muttered, &code))
        launch_close(&link->child.err);
    if (code != 0) { /* a line without end */
        mcp_lines_free(&link->muttered);
        mcp_lines_init(&link->muttered, LOG_LINE * 4);
    }
}

static void take_wakes(const struct stdio_link *link)
{
    uint64_t count;

    while (read(link->wake, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

/* Until the program ends, or has to: then why is not "". */
static void pump(struct stdio_link *link, char why[MCP_PROBLEM_SIZE])
{
    bool closing = false, open = true;
    int code = 0;

    why[0] = '\0';
    while (open && !closing && code == 0) {
        struct pollfd fds[4] = {{.fd = link->child.out, .events = POLLIN},
                                {.fd = link->child.err, .events = POLLIN},
                                {.fd = link->wake, .events = POLLIN},
                                {.fd = -1, .events = POLLOUT}};

        pthread_mutex_lock(&link->lock);
        flush(link);
        closing = link->closing || link->deaf;
        if (link->out.length > 0)
            fds[3].fd = link->in;
        pthread_mutex_unlock(&link->lock);
        if (closing || (poll(fds, 4, -1) < 0 && errno != EINTR))
            break;
        if (fds[2].revents != 0)
            take_wakes(link);
        if (fds[1].revents != 0)
            read_stderr(link);
        if (fds[0].revents != 0)
            open = read_some(link, link->child.out, &link->said, on_said, &code);
    }
    if (code != 0)
        snprintf(why, MCP_PROBLEM_SIZE, code == AGW_ENOMEM ? "memory is out"
                                        : "it wrote a line of more than %d bytes",
                 MCP_MESSAGE_MAX);
}

/* ---- the life of a program, by the keeper ---- */

/* Gives it the time to end by itself. */
static void let_go(struct stdio_link *link)
{
    for (int i = 0; i < 2 && !launch_has_ended(&link->child); i++) {
        struct pollfd ended = {.fd = link->child.ended_fd, .events = POLLIN};

        launch_close(&link->child.in);
        if (i == 1)
            launch_ask(&link->child);
        poll(&ended, 1, LEAVE_MS);
    }
}

/* Under the lock: when the next one may be started. */
static void pause_before_next(struct stdio_link *link, int64_t lived_ms)
{
    if (lived_ms >= STEADY_MS)
        link->pause_ms = PAUSE_MS;
    link->start_at = clock_mono_ms() + link->pause_ms;
    link->pause_ms = link->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : link->pause_ms * 2;
}

static void log_end_of(const struct stdio_link *link, const char *problem)
{
    struct log_line line;

    log_begin(&line, LOG_WARN, "tool.server.ended");
    log_str(&line, "tool", link->config->name);
    log_str(&line, "problem", problem);
    log_end(&line);
}

static void run(struct stdio_link *link)
{
    char why[MCP_PROBLEM_SIZE], how[64], problem[MCP_PROBLEM_SIZE];
    int64_t since = clock_mono_ms();
    bool closing;

    mcp_lines_init(&link->said, MCP_MESSAGE_MAX);
    mcp_lines_init(&link->muttered, LOG_LINE * 4);
    pump(link, why);
    mcp_lines_free(&link->said);
    mcp_lines_free(&link->muttered);
    pthread_mutex_lock(&link->lock);
    closing = link->closing;
    link->in = -1;
    link->pid = 0;
    turn(link, ENDING);
    buf_free(&link->out);
    pthread_mutex_unlock(&link->lock);
    let_go(link);
    launch_end(&link->child);
    launch_status_text(link->child.status, how, sizeof how);
    snprintf(problem, sizeof problem, "its server ended: %s", why[0] != '\0' ? why : how);
    if (!closing)
        log_end_of(link, problem);
    pthread_mutex_lock(&link->lock);
    snprintf(link->problem, sizeof link->problem, "%s", problem);
    pause_before_next(link, clock_mono_ms() - since);
    turn(link, IDLE);
    pthread_mutex_unlock(&link->lock);
    mcp_pending_fail(&link->pending, AGW_EUPSTREAM, problem);
    if (!closing)
        link->listener.ended(link->listener.arg);
}

/* True when there is a program. */
static bool start(struct stdio_link *link)
{
    struct err e = {0};
    int code = launch_start(link->config, 0, clock_mono_ms() + START_MS, NULL, 0, &link->child,
                            &e);

    pthread_mutex_lock(&link->lock);
    if (code != 0) {
        snprintf(link->problem, sizeof link->problem, "its server cannot be started: %.200s",
                 e.message);
        link->failures++;
        pause_before_next(link, 0);
        turn(link, IDLE);
    } else {
        link->life++;
        link->starts++;
        link->deaf = false;
        link->pid = link->child.pid;
        link->in = link->child.in;
        json_decref(link->sandbox);
        link->sandbox = launch_sandbox_json(&link->child);
        turn(link, RUNNING);
    }
    pthread_mutex_unlock(&link->lock);
    return code == 0;
}

static void *keep(void *arg)
{
    struct stdio_link *link = arg;

    pthread_mutex_lock(&link->lock);
    while (!link->closing) {
        if (link->state != WANTED) {
            pthread_cond_wait(&link->turned, &link->lock);
            continue;
        }
        turn(link, STARTING);
        pthread_mutex_unlock(&link->lock);
        if (start(link))
            run(link);
        pthread_mutex_lock(&link->lock);
    }
    pthread_mutex_unlock(&link->lock);
    return NULL;
}

/* Under the lock. */
static int start_keeper(struct stdio_link *link, struct err *e)
{
    sigset_t all, before;
    int problem;

    if (link->has_keeper)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    problem = pthread_create(&link->keeper, NULL, keep, link);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (problem != 0)
        return err_set(e, AGW_EUNAVAILABLE, "no thread for its server: %s", strerror(problem));
    link->has_keeper = true;
    return 0;
}

/* ---- what the session asks for ---- */

/* Under the lock, which is given back meanwhile: until something may be different. */
static int wait_a_little(struct stdio_link *link, int64_t deadline_ms, int watch_fd,
                         struct err *e)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    permit_wait_begin();
    pthread_cond_timedwait(&link->turned, &link->lock, &until);
    pthread_mutex_unlock(&link->lock);
    permit_wait_end();
    pthread_mutex_lock(&link->lock);
    if (http_client_peer_gone(watch_fd))
        return err_set(e, AGW_EGONE, "the client hung up");
    if (clock_mono_ms() >= deadline_ms)
        return err_set(e, AGW_ETIMEOUT, "its server was not started in time");
    return 0;
}

/* Under the lock, which is given back meanwhile: until it may be started. */
static int wait_out_pause(struct stdio_link *link, int64_t deadline_ms, int watch_fd,
                          struct err *e)
{
    int64_t left = link->start_at - clock_mono_ms();
    int code;

    if (left <= 0)
        return 0;
    if (left > PATIENCE_MS || clock_mono_ms() + left >= deadline_ms)
        return err_set(e, AGW_EUNAVAILABLE, "%s; it is started again in %lld s", link->problem,
                       (long long)(left + 999) / 1000);
    pthread_mutex_unlock(&link->lock);
    code = http_client_pause(watch_fd, left);
    pthread_mutex_lock(&link->lock);
    return code == 0 ? 0 : err_set(e, code, "the client hung up");
}

static int connect_link(void *state, int64_t deadline_ms, int watch_fd, uint64_t *life,
                        struct err *e)
{
    struct stdio_link *link = state;
    unsigned failures;
    int code;

    pthread_mutex_lock(&link->lock);
    failures = link->failures;
    code = start_keeper(link, e);
    while (code == 0 && link->state != RUNNING) {
        if (link->failures != failures) {
            code = err_set(e, AGW_EUNAVAILABLE, "%s", link->problem);
            break;
        }
        if (link->state == IDLE) {
            code = wait_out_pause(link, deadline_ms, watch_fd, e);
            if (code == 0 && link->state == IDLE && clock_mono_ms() >= link->start_at)
                turn(link, WANTED);
        } else {
            code = wait_a_little(link, deadline_ms, watch_fd, e);
        }
    }
    *life = link->life;
    pthread_mutex_unlock(&link->lock);
    return code;
}

static int exchange(void *state, const struct mcp_ask *ask, struct mcp_answer *answer,
                    struct err *e)
{
    struct stdio_link *link = state;
    struct mcp_waiter waiter;
    int gone = 0, code = ask->id == 0 ? 0 : mcp_pending_add(&link->pending, &waiter, ask->id, e);

    memset(answer, 0, sizeof *answer);
    if (code != 0)
        return code;
    pthread_mutex_lock(&link->lock);
    if (link->state == RUNNING && link->life == ask->life)
        code = put(link, ask->text, e);
    while (link->life == ask->life && link->state == ENDING && gone == 0)
        gone = wait_a_little(link, ask->deadline_ms, ask->watch_fd, e);
    if (gone != 0 || link->state != RUNNING || link->life != ask->life)
        code = gone != 0 ? gone : err_set(e, AGW_EUNAVAILABLE, "%s", link->problem);
    pthread_mutex_unlock(&link->lock);
    answer->sent = code == 0;
    if (ask->id == 0)
        return code;
    if (code != 0) {
        mcp_pending_drop(&link->pending, &waiter);
        return code;
    }
    code = mcp_pending_wait(&link->pending, &waiter, ask->deadline_ms, ask->watch_fd, e);
    answer->message = waiter.message;
    return code;
}

static void describe(void *state, json_t *object)
{
    static const char *const states[] = {"not running", "not running", "starting", "running",
                                         "ending"};
    struct stdio_link *link = state;

    pthread_mutex_lock(&link->lock);
    json_object_set_new(object, "state", json_string(states[link->state]));
    json_object_set_new(object, "pid", link->pid > 0 ? json_integer(link->pid) : json_null());
    json_object_set_new(object, "restarts",
                        json_integer(link->starts > 1 ? link->starts - 1 : 0));
    if (link->sandbox != NULL)
        json_object_set_new(object, "sandbox", json_deep_copy(link->sandbox));
    pthread_mutex_unlock(&link->lock);
}

const struct mcp_transport mcp_stdio = {
    .name = "stdio",
    .open = open_link,
    .close = close_link,
    .connect = connect_link,
    .exchange = exchange,
    .describe = describe,
};

/* SPDX-License-Identifier: MIT */
/* Keeps an MCP server that is a program. */
#include "tools/mcp_keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"

enum {
    START_MS = 10000,            /* until the program runs */
    PAUSE_MS = 100, PAUSE_MAX_MS = 30000,
    STEADY_MS = 10000,           /* who lived so long is started without a pause again */
    LEAVE_MS = 400,              /* from the end of its input to SIGTERM, and then to SIGKILL */
    LOG_LINE = 1000, LOG_LINES = 50, LOG_PERIOD_MS = 10000, /* of its stderr */
    MUTTER_MAX = 4000
};

static const size_t out_max = (size_t)16 << 20; /* what it has not read yet */

/* ---- open and close ---- */

struct mcp_keeper *mcp_keeper_new(const struct config_tool *config,
                                  const struct mcp_listener *listener, struct err *e)
{
    struct mcp_keeper *keeper = calloc(1, sizeof *keeper);

    if (keeper != NULL)
        keeper->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (keeper == NULL || keeper->wake < 0) {
        free(keeper);
        err_set(e, AGW_ENOMEM, "memory is out");
        return NULL;
    }
    keeper->config = config;
    keeper->listener = *listener;
    keeper->in = -1;
    keeper->pause_ms = PAUSE_MS;
    buf_init(&keeper->out, out_max);
    mcp_pending_init(&keeper->pending);
    pthread_mutex_init(&keeper->lock, NULL);
    clock_condition_init(&keeper->turned);
    return keeper;
}

static void wake_keeper(const struct mcp_keeper *keeper)
{
    static const uint64_t one = 1;

    while (write(keeper->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void mcp_keeper_free(struct mcp_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->closing = true;
    pthread_cond_broadcast(&keeper->turned);
    pthread_mutex_unlock(&keeper->lock);
    wake_keeper(keeper);
    if (keeper->has_thread)
        pthread_join(keeper->thread, NULL);
    close(keeper->wake);
    buf_free(&keeper->out);
    json_decref(keeper->sandbox);
    mcp_pending_destroy(&keeper->pending);
    pthread_cond_destroy(&keeper->turned);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}

/* ---- writing ---- */

void mcp_keeper_turn(struct mcp_keeper *keeper, enum mcp_keeping state)
{
    keeper->state = state;
    pthread_cond_broadcast(&keeper->turned);
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

void mcp_keeper_give_up(struct mcp_keeper *keeper)
{
    keeper->given_up = true;
    if (keeper->state == KEEPER_RUNNING)
        mcp_keeper_turn(keeper, KEEPER_ENDING);
    wake_keeper(keeper);
}

/* Under the lock: as much as the program takes now. */
static void flush(struct mcp_keeper *keeper)
{
    struct iovec rest = {keeper->out.data, keeper->out.length};
    ssize_t written = rest.iov_len == 0 ? 0 : write_quietly(keeper->in, &rest, 1);

    if (written > 0)
        buf_consume(&keeper->out, (size_t)written);
    else if (written < 0 && errno != EAGAIN && errno != EINTR)
        mcp_keeper_give_up(keeper);
}

int mcp_keeper_put(struct mcp_keeper *keeper, const char *text, struct err *e)
{
    static char newline[] = "\n";
    size_t length = strlen(text), done = 0;
    struct iovec parts[2] = {{(char *)(uintptr_t)text, length}, {newline, 1}};
    ssize_t written;

    if (keeper->out.length + length + 1 > out_max)
        return err_set(e, AGW_EUNAVAILABLE, "its server does not read what it is asked");
    if (keeper->out.length == 0) {
        written = write_quietly(keeper->in, parts, 2);
        if (written < 0 && errno != EAGAIN && errno != EINTR) {
            mcp_keeper_give_up(keeper);
            return err_set(e, AGW_EUNAVAILABLE, "its server has closed its input");
        }
        done = written < 0 ? 0 : (size_t)written;
    }
    if (done == length + 1)
        return 0;
    if (done < length)
        buf_append(&keeper->out, text + done, length - done);
    buf_append(&keeper->out, "\n", 1);
    wake_keeper(keeper);
    if (!keeper->out.failed)
        return 0;
    mcp_keeper_give_up(keeper); /* half of a line may be on its way */
    return err_set(e, AGW_ENOMEM, "memory is out");
}

/* ---- reading, by the keeper ---- */

static void reply(void *arg, const char *text)
{
    struct mcp_keeper *keeper = arg;
    struct err e = {0};

    pthread_mutex_lock(&keeper->lock);
    mcp_keeper_put(keeper, text, &e);
    pthread_mutex_unlock(&keeper->lock);
}

static int on_said(void *arg, const char *line, size_t length)
{
    struct mcp_keeper *keeper = arg;

    mcp_pending_take(&keeper->pending, line, length, &keeper->listener, reply, keeper);
    return 0;
}

static int on_muttered(void *arg, const char *text, size_t length)
{
    struct mcp_keeper *keeper = arg;
    int64_t now = clock_mono_ms();
    char shown[LOG_LINE + 1];
    struct log_line line;

    if (now - keeper->log_since >= LOG_PERIOD_MS) {
        keeper->log_since = now;
        keeper->logged = 0;
    }
    if (length == 0 || keeper->logged++ >= LOG_LINES)
        return 0;
    snprintf(shown, sizeof shown, "%.*s", (int)(length < LOG_LINE ? length : LOG_LINE), text);
    log_begin(&line, LOG_INFO, "tool.server.stderr");
    log_str(&line, "tool", keeper->config->name);
    log_str(&line, "text", shown);
    log_end(&line);
    return 0;
}

/* False when the stream has ended. */
static bool read_some(struct mcp_keeper *keeper, int fd, struct mcp_lines *lines, mcp_line_fn fn,
                      int *code)
{
    ssize_t got = read(fd, keeper->chunk, MCP_KEEPER_CHUNK);

    *code = 0;
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    *code = mcp_lines_feed(lines, keeper->chunk, (size_t)got, fn, keeper);
    return true;
}

static void read_stderr(struct mcp_keeper *keeper)
{
    int code;

    if (!read_some(keeper, keeper->child.err, &keeper->muttered, on_muttered, &code))
        launch_close(&keeper->child.err);
    if (code != 0) { /* a line without end */
        mcp_lines_free(&keeper->muttered);
        mcp_lines_init(&keeper->muttered, MUTTER_MAX);
    }
}

static void take_wakes(const struct mcp_keeper *keeper)
{
    uint64_t count;

    while (read(keeper->wake, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

/* Until the program ends, or has to: then why is not "". */
static void pump(struct mcp_keeper *keeper, char why[MCP_PROBLEM_SIZE])
{
    bool closing = false, open = true;
    int code = 0;

    why[0] = '\0';
    while (open && !closing && code == 0) {
        struct pollfd fds[4] = {{.fd = keeper->child.out, .events = POLLIN},
                                {.fd = keeper->child.err, .events = POLLIN},
                                {.fd = keeper->wake, .events = POLLIN},
                                {.fd = -1, .events = POLLOUT}};

        pthread_mutex_lock(&keeper->lock);
        flush(keeper);
        closing = keeper->closing || keeper->given_up;
        if (keeper->out.length > 0)
            fds[3].fd = keeper->in;
        pthread_mutex_unlock(&keeper->lock);
        if (closing || (poll(fds, 4, -1) < 0 && errno != EINTR))
            break;
        if (fds[2].revents != 0)
            take_wakes(keeper);
        if (fds[1].revents != 0)
            read_stderr(keeper);
        if (fds[0].revents != 0)
            open = read_some(keeper, keeper->child.out, &keeper->said, on_said, &code);
    }
    if (code != 0)
        snprintf(why, MCP_PROBLEM_SIZE, code == AGW_ENOMEM ? "memory is out"
                                        : "it wrote a line of more than %d bytes",
                 MCP_MESSAGE_MAX);
}

/* ---- the life of a program, by the keeper ---- */

/* Gives it the time to end by itself. */
static void let_go(struct mcp_keeper *keeper)
{
    for (int i = 0; i < 2 && !launch_has_ended(&keeper->child); i++) {
        struct pollfd ended = {.fd = keeper->child.ended_fd, .events = POLLIN};

        launch_close(&keeper->child.in);
        if (i == 1)
            launch_ask(&keeper->child);
        poll(&ended, 1, LEAVE_MS);
    }
}

/* Under the lock: when the next one may be started. */
static void pause_before_next(struct mcp_keeper *keeper, int64_t lived_ms)
{
    if (lived_ms >= STEADY_MS)
        keeper->pause_ms = PAUSE_MS;
    keeper->start_at = clock_mono_ms() + keeper->pause_ms;
    keeper->pause_ms = keeper->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : keeper->pause_ms * 2;
}

static void log_end_of(const struct mcp_keeper *keeper, const char *problem)
{
    struct log_line line;

    log_begin(&line, LOG_WARN, "tool.server.ended");
    log_str(&line, "tool", keeper->config->name);
    log_str(&line, "problem", problem);
    log_end(&line);
}

static void run(struct mcp_keeper *keeper)
{
    char why[MCP_PROBLEM_SIZE], how[64], problem[MCP_PROBLEM_SIZE];
    bool closing;

    mcp_lines_init(&keeper->said, MCP_MESSAGE_MAX);
    mcp_lines_init(&keeper->muttered, MUTTER_MAX);
    pump(keeper, why);
    mcp_lines_free(&keeper->said);
    mcp_lines_free(&keeper->muttered);
    pthread_mutex_lock(&keeper->lock);
    closing = keeper->closing;
    keeper->in = -1;
    keeper->pid = 0;
    mcp_keeper_turn(keeper, KEEPER_ENDING);
    buf_free(&keeper->out);
    pthread_mutex_unlock(&keeper->lock);
    let_go(keeper);
    launch_end(&keeper->child);
    launch_status_text(keeper->child.status, how, sizeof how);
    snprintf(problem, sizeof problem, "its server ended: %.200s", why[0] != '\0' ? why : how);
    if (!closing)
        log_end_of(keeper, problem);
    pthread_mutex_lock(&keeper->lock);
    snprintf(keeper->problem, sizeof keeper->problem, "%s", problem);
    pause_before_next(keeper, clock_mono_ms() - keeper->started_at);
    mcp_keeper_turn(keeper, KEEPER_IDLE);
    pthread_mutex_unlock(&keeper->lock);
    mcp_pending_fail(&keeper->pending, AGW_EUPSTREAM, problem);
    if (!closing)
        keeper->listener.ended(keeper->listener.arg);
}

/* True when there is a program. */
static bool start(struct mcp_keeper *keeper)
{
    struct err e = {0};
    int code = launch_start(keeper->config, 0, clock_mono_ms() + START_MS, NULL, 0,
                            &keeper->child, &e);

    pthread_mutex_lock(&keeper->lock);
    if (code != 0) {
        snprintf(keeper->problem, sizeof keeper->problem, "its server cannot be started: %.200s",
                 e.message);
        keeper->failures++;
        pause_before_next(keeper, 0);
        mcp_keeper_turn(keeper, KEEPER_IDLE);
    } else {
        keeper->life++;
        keeper->starts++;
        keeper->given_up = false;
        keeper->started_at = clock_mono_ms();
        keeper->pid = keeper->child.pid;
        keeper->in = keeper->child.in;
        json_decref(keeper->sandbox);
        keeper->sandbox = launch_sandbox_json(&keeper->child);
        mcp_keeper_turn(keeper, KEEPER_RUNNING);
    }
    pthread_mutex_unlock(&keeper->lock);
    return code == 0;
}

static void *keep(void *arg)
{
    struct mcp_keeper *keeper = arg;

    pthread_mutex_lock(&keeper->lock);
    while (!keeper->closing) {
        if (keeper->state != KEEPER_WANTED) {
            pthread_cond_wait(&keeper->turned, &keeper->lock);
            continue;
        }
        mcp_keeper_turn(keeper, KEEPER_STARTING);
        pthread_mutex_unlock(&keeper->lock);
        if (start(keeper))
            run(keeper);
        pthread_mutex_lock(&keeper->lock);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

int mcp_keeper_begin(struct mcp_keeper *keeper, struct err *e)
{
    sigset_t all, before;
    int problem;

    if (keeper->has_thread)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    problem = pthread_create(&keeper->thread, NULL, keep, keeper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (problem != 0)
        return err_set(e, AGW_EUNAVAILABLE, "no thread for its server: %s", strerror(problem));
    keeper->has_thread = true;
    return 0;
}

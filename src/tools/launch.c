/* SPDX-License-Identifier: MIT */
/* Starts the programs of tools in their sandbox, and ends them. */
#include "tools/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/report.h"
#include "tools/launch_plan.h"
#include "util/clock.h"
#include "util/permit.h"
#include "util/proc.h"

enum { CHANNEL_FD = 5, END_MS = 5000 };

/* ---- the launcher program ---- */

static char launcher[PATH_MAX];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* $GATEWAY_EXEC, or as proc_program() finds it. */
static void find_launcher(void)
{
    const char *named = getenv("GATEWAY_EXEC");

    if (named != NULL && named[0] != '\0')
        snprintf(launcher, sizeof launcher, "%s", named);
    else
        proc_program("agw-exec", AGW_LIBEXECDIR, launcher, sizeof launcher);
}

/* ---- start ---- */

enum { PIPE_IN, PIPE_OUT, PIPE_ERR, PIPE_REPORT, PIPE_CONTROL, PIPES };

/* Which end of each is ours: 1 the writing one. */
static const int our_end[PIPES] = {1, 0, 0, 0, 1};

static void close_pipes(int pipes[PIPES][2])
{
    for (size_t i = 0; i < PIPES; i++) {
        launch_close(&pipes[i][0]);
        launch_close(&pipes[i][1]);
    }
}

/* The child's ends are above the numbers that they get, so that none overwrites another. */
static int make_pipes(int pipes[PIPES][2])
{
    for (size_t i = 0; i < PIPES; i++)
        pipes[i][0] = pipes[i][1] = -1;
    for (size_t i = 0; i < PIPES; i++) {
        int theirs = 1 - our_end[i], moved;

        /* Of a socket both sides see that the other one has gone. */
        if ((i == PIPE_CONTROL ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipes[i])
                               : pipe2(pipes[i], O_CLOEXEC)) != 0 ||
            fcntl(pipes[i][our_end[i]], F_SETFL, O_NONBLOCK) != 0)
            return -1;
        moved = fcntl(pipes[i][theirs], F_DUPFD_CLOEXEC, CHANNEL_FD + 1);
        if (moved < 0)
            return -1;
        close(pipes[i][theirs]);
        pipes[i][theirs] = moved;
    }
    return 0;
}

static int spawn(char *const *words, const struct launch_command *command, int channel,
                 int pipes[PIPES][2], pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    int problem;

    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < PIPES; i++)
        posix_spawn_file_actions_adddup2(&actions, pipes[i][1 - our_end[i]], i);
    if (channel >= 0)
        posix_spawn_file_actions_adddup2(&actions, channel, CHANNEL_FD);
    problem = posix_spawn(pid, launcher, &actions, &attributes, words,
                          (char *const *)command->environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return problem;
}

/* The launcher's own options, then the command's words; NULL when memory is out. */
static char **all_words(const struct launch_command *command)
{
    static const char *const own[] = {"agw-exec", "--report", "3", "--control", "4",
                                      "--channel", "5"};
    size_t own_count = sizeof own / sizeof own[0] - (command->channel < 0 ? 2 : 0), count = 0;
    char **words;

    while (command->words[count] != NULL)
        count++;
    words = malloc((own_count + count + 1) * sizeof *words);
    if (words == NULL)
        return NULL;
    memcpy(words, own, own_count * sizeof *words);
    memcpy(words + own_count, command->words, (count + 1) * sizeof *words);
    return words;
}

/* As much as the pipe takes. */
static size_t fill(int fd, const char *input, size_t length)
{
    ssize_t wrote = length == 0 ? 0 : write(fd, input, length);

    return wrote < 0 ? 0 : (size_t)wrote;
}

/* 0, or errno. */
static int begin(const struct launch_command *command, struct launch_child *child)
{
    int pipes[PIPES][2], problem = ENOMEM, channel = -1;
    char **words = all_words(command);

    if (words == NULL)
        return problem;
    if (make_pipes(pipes) != 0 ||
        (command->channel >= 0 &&
         (channel = fcntl(command->channel, F_DUPFD_CLOEXEC, CHANNEL_FD + 1)) < 0))
        problem = errno;
    else {
        child->fed = fill(pipes[PIPE_IN][1], command->input, command->length);
        problem = spawn(words, command, channel, pipes, &child->pid);
    }
    free(words);
    launch_close(&channel);
    if (problem != 0) {
        child->pid = 0;
        close_pipes(pipes);
        return problem;
    }
    for (int i = 0; i < PIPES; i++)
        launch_close(&pipes[i][1 - our_end[i]]);
    child->in = pipes[PIPE_IN][1];
    child->out = pipes[PIPE_OUT][0];
    child->err = pipes[PIPE_ERR][0];
    child->ended_fd = pipes[PIPE_CONTROL][1];
    child->starting = pipes[PIPE_REPORT][0];
    return 0;
}

int launch_spawn(const struct launch_command *command, struct launch_child *child,
                 struct err *e)
{
    int problem;

    *child = (struct launch_child){.ended_fd = -1, .in = -1, .out = -1, .err = -1,
                                   .starting = -1};
    pthread_once(&once, find_launcher);
    problem = begin(command, child);
    if (problem == 0)
        return 0;
    if (problem == ENOMEM)
        return err_set(e, AGW_ENOMEM, "starting a program");
    return err_set(e, AGW_EUNAVAILABLE, "cannot run %s: %s", launcher, strerror(problem));
}

/* Reads what is there; 1 = it was the last of it. */
static int read_report(int fd, struct launch_child *child)
{
    size_t used = strlen(child->report);
    char rest[256];
    ssize_t got;

    do {
        bool full = used + 1 >= sizeof child->report;

        got = full ? read(fd, rest, sizeof rest)
                   : read(fd, child->report + used, sizeof child->report - used - 1);
        if (got > 0 && !full)
            child->report[used += (size_t)got] = '\0';
    } while (got > 0 || (got < 0 && errno == EINTR));
    return got == 0 || errno != EAGAIN;
}

int launch_look(struct launch_child *child, struct err *e)
{
    char why[256];

    if (child->starting >= 0) {
        if (read_report(child->starting, child) != 1)
            return 0;
        launch_close(&child->starting);
        report_take_tmp(child->report, child->tmp, sizeof child->tmp);
    }
    if (report_has_started(child->report, why, sizeof why))
        return 1;
    return err_set(e, AGW_EUNAVAILABLE, "%s", why);
}

/* As launch_look(), but never 0. */
static int await_start(int64_t deadline_ms, struct launch_child *child, struct err *e)
{
    struct pollfd watched = {.fd = child->starting, .events = POLLIN};
    int64_t left;
    int status = 0;

    permit_wait_begin();
    while (status == 0 && (left = deadline_ms - clock_mono_ms()) > 0)
        if (poll(&watched, 1, left > INT_MAX ? INT_MAX : (int)left) > 0)
            status = launch_look(child, e);
    permit_wait_end();
    return status != 0 ? status
                       : err_set(e, AGW_EUNAVAILABLE, "it takes too long to start");
}

/* Paths that are not there are passed over when the program starts. */
static int check_paths(const char *option, const char **paths, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (access(paths[i], F_OK) != 0)
            return err_set(e, AGW_EUNAVAILABLE, "%s: %s: %s", option, paths[i],
                           strerror(errno));
    return 0;
}

int launch_check(const struct config_tool *tool, struct err *e)
{
    struct launch_plan p;
    int status = launch_plan_open(&p, tool, e);

    pthread_once(&once, find_launcher);
    arena_free(&p.arena);
    if (status == 0 && access(launcher, X_OK) != 0)
        status = err_set(e, AGW_EUNAVAILABLE, "cannot run %s: %s", launcher, strerror(errno));
    if (status == 0)
        status = check_paths("read", tool->program.read, tool->program.read_count, e);
    if (status == 0)
        status = check_paths("write", tool->program.write, tool->program.write_count, e);
    return status;
}

int launch_start(const struct config_tool *tool, int64_t cpu_s, int64_t deadline_ms,
                 const char *input, size_t length, struct launch_child *child, struct err *e)
{
    struct launch_plan p;
    struct launch_command command = {.channel = -1, .input = input, .length = length};
    int status = launch_plan_open(&p, tool, e);

    *child = (struct launch_child){.ended_fd = -1, .in = -1, .out = -1, .err = -1,
                                   .starting = -1};
    if (status == 0)
        status = launch_plan_words(&p, cpu_s);
    if (status == 0)
        status = launch_plan_environment(&p);
    if (status == 0) {
        command.words = (const char *const *)p.words;
        command.environment = (const char *const *)p.environment;
        status = launch_spawn(&command, child, e);
    }
    arena_free(&p.arena);
    if (status == 0 && await_start(deadline_ms, child, e) != 1) {
        launch_end(child);
        status = AGW_EUNAVAILABLE;
    }
    return status;
}

/* ---- end ---- */

void launch_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool reap(struct launch_child *child, int options)
{
    int status;
    pid_t ended;

    if (child->ended || child->pid == 0)
        return true;
    do
        ended = waitpid(child->pid, &status, options);
    while (ended < 0 && errno == EINTR);
    if (ended == 0)
        return false;
    child->ended = true;
    child->killed = ended < 0 || !WIFEXITED(status);
    child->status = ended < 0 || !WIFEXITED(status) ? 128 + SIGKILL : WEXITSTATUS(status);
    return true;
}

bool launch_has_ended(struct launch_child *child)
{
    struct pollfd watched = {.fd = child->ended_fd, .events = POLLIN};

    /* Its descriptors are closed a moment before it can be waited for. */
    return reap(child, WNOHANG) ||
           (poll(&watched, 1, 0) > 0 && (watched.revents & POLLHUP) != 0 && reap(child, 0));
}

void launch_ask(const struct launch_child *child)
{
    if (child->pid > 0 && !child->ended)
        kill(child->pid, SIGTERM);
}

void launch_kill(const struct launch_child *child)
{
    if (child->ended_fd >= 0)
        shutdown(child->ended_fd, SHUT_WR);
}

void launch_end(struct launch_child *child)
{
    struct pollfd watched = {.fd = child->ended_fd, .events = POLLIN};
    int64_t until = clock_mono_ms() + END_MS;

    launch_kill(child);
    launch_close(&child->in);
    launch_close(&child->out);
    launch_close(&child->err);
    if (child->starting >= 0) { /* it has not said all: what must be removed comes first */
        read_report(child->starting, child);
        report_take_tmp(child->report, child->tmp, sizeof child->tmp);
        launch_close(&child->starting);
    }
    permit_wait_begin();
    while (!launch_has_ended(child)) {
        int64_t left = until - clock_mono_ms();

        if (left > 0) {
            poll(&watched, 1, (int)left);
        } else {
            kill(child->pid, SIGKILL); /* what it keeps ends with it */
            reap(child, 0);
        }
    }
    permit_wait_end();
    launch_close(&child->ended_fd);
    if (child->killed)
        tmp_remove(child->tmp);
}

void launch_status_text(int status, char *text, size_t size)
{
    int number = status - 128;

    if (number > 0 && number < NSIG)
        snprintf(text, size, "signal %d (%s)", number, strsignal(number));
    else
        snprintf(text, size, "exit status %d", status);
}

json_t *launch_sandbox_json(const struct launch_child *child)
{
    return report_json(child->report);
}

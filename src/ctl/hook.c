/* SPDX-License-Identifier: MIT */
/* Runs a program with a document on its standard input. */
#include "ctl/hook.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/call.h"
#include "util/clock.h"

enum { WORDS_MAX = 64, WAIT_MS = 60000, POLL_NS = 10000000 };

/* Cuts `text` into words in place; -1 when a quote is left open or there are too many. */
static int split(char *text, char *words[WORDS_MAX + 1])
{
    int count = 0;
    char *to = text;

    for (;;) {
        char quote = '\0';

        text += strspn(text, " \t\n");
        if (*text == '\0')
            break;
        if (count == WORDS_MAX)
            return -1;
        words[count++] = to;
        for (; *text != '\0' && (quote != '\0' || strchr(" \t\n", *text) == NULL); text++) {
            if (quote == '\0' && (*text == '"' || *text == '\''))
                quote = *text;
            else if (quote != '\0' && *text == quote)
                quote = '\0';
            else
                *to++ = *text;
        }
        if (quote != '\0')
            return -1;
        text += *text != '\0'; /* before its place is taken by the end of the word */
        *to++ = '\0';
    }
    words[count] = NULL;
    return count;
}

static int spawn(char **words, int input, pid_t *pid)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t usual;
    int problem;

    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    problem = posix_spawnp(pid, words[0], &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return problem;
}

/* The document as a file without a name: nobody has to write while the other reads. */
static int as_file(const char *text)
{
    int fd = memfd_create("report", MFD_CLOEXEC);
    size_t left = strlen(text);
    ssize_t n = 0;

    for (; fd >= 0 && left > 0; left -= (size_t)n, text += n)
        if ((n = write(fd, text, left)) <= 0)
            break;
    if (fd < 0 || (left == 0 && lseek(fd, 0, SEEK_SET) == 0))
        return fd;
    close(fd);
    return -1;
}

static int wait_for(pid_t pid, const char *name)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    int64_t until = clock_mono_ms() + WAIT_MS;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_mono_ms() >= until) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return call_fail("the hook %s did not end within a minute", name);
        }
        nanosleep(&pause, NULL);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return CTL_FINE;
    if (WIFSIGNALED(status))
        return call_fail("the hook %s was ended by signal %d", name, WTERMSIG(status));
    return call_fail("the hook %s ended with status %d", name, WEXITSTATUS(status));
}

int hook_run(const char *command, const char *text)
{
    char *words[WORDS_MAX + 1], *copy = strdup(command);
    int status, problem, input;
    pid_t pid;

    if (copy == NULL)
        return call_fail("out of memory");
    input = as_file(text);
    if (split(copy, words) < 1)
        status = call_fail("the hook '%.200s' is no command: words in blanks, quotes in pairs",
                           command);
    else if (input < 0)
        status = call_fail("the report for the hook: %s", strerror(errno));
    else if ((problem = spawn(words, input, &pid)) != 0)
        status = call_fail("the hook %.200s cannot be run: %s", words[0], strerror(problem));
    else
        status = wait_for(pid, words[0]);
    if (input >= 0)
        close(input);
    free(copy);
    return status;
}

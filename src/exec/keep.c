/* SPDX-License-Identifier: MIT */
/* Waits for a process, and leaves none behind. */
#include "exec/keep.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/proc.h"

enum { KILLED = 128, PAUSE_MIN_NS = 500000, PAUSE_MAX_NS = 50000000, PROCESSES_MAX = 1 << 16 };

static const int taken[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
static int signals = -1;

static void taken_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        sigaddset(set, taken[i]);
}

int keep_begin(void)
{
    sigset_t set;

    taken_set(&set);
    if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
        return -1;
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals < 0 ? -1 : 0;
}

void keep_release(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- ending all ---- */

struct process {
    pid_t pid, parent;
    bool ours;
};

static size_t list_processes(struct process **list)
{
    size_t count = 0, room = 0;
    struct dirent *entry;
    DIR *d = opendir("/proc");

    *list = NULL;
    while (d != NULL && (entry = readdir(d)) != NULL && count < PROCESSES_MAX) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid <= 0)
            continue;
        if (count == room) {
            struct process *more = realloc(*list, (room = room * 2 + 256) * sizeof **list);

            if (more == NULL)
                break;
            *list = more;
        }
        (*list)[count++] = (struct process){pid, proc_parent(pid), false};
    }
    if (d != NULL)
        closedir(d);
    return count;
}

static bool comes_from_us(const struct process *list, size_t count, const struct process *p)
{
    if (p->parent == getpid())
        return true;
    for (size_t i = 0; i < count; i++)
        if (list[i].ours && list[i].pid == p->parent)
            return true;
    return false;
}

static void kill_descendants(void)
{
    struct process *list;
    size_t count = list_processes(&list);
    bool found = true;

    while (found) {
        found = false;
        for (size_t i = 0; i < count; i++)
            if (!list[i].ours && comes_from_us(list, count, &list[i])) {
                list[i].ours = found = true;
                kill(list[i].pid, SIGKILL);
            }
    }
    free(list);
}

/* What forks while it is being killed is found in the next round: orphans become our children.
 * In a PID namespace all others are ours; what /proc shows may be another one's. */
static void end_all(bool init)
{
    struct timespec pause = {0, PAUSE_MIN_NS};
    pid_t ended;

    for (;;) {
        do
            ended = waitpid(-1, NULL, WNOHANG);
        while (ended > 0 || (ended < 0 && errno == EINTR));
        if (ended < 0)
            return; /* no child is left */
        if (init)
            kill(-1, SIGKILL);
        else
            kill_descendants();
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < PAUSE_MAX_NS)
            pause.tv_nsec *= 2;
    }
}

/* ---- waiting ---- */

/* Takes note of all that have ended; true when `child` was among them. */
static bool reap(pid_t child, int *result)
{
    bool gone = false;
    int status;
    pid_t ended;

    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
        if (ended == child) {
            *result = WIFEXITED(status) ? WEXITSTATUS(status) : KILLED + WTERMSIG(status);
            gone = true;
        }
    return gone;
}

/* True when the child has ended. */
static bool take_signals(pid_t child, bool group, int *result)
{
    struct signalfd_siginfo info;
    bool gone = false;

    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            gone = reap(child, result) || gone;
        else if (!gone && kill(group ? -child : child, (int)info.ssi_signo) != 0)
            kill(child, (int)info.ssi_signo); /* it has no group of its own yet */
    }
    return gone;
}

int keep_watch(pid_t child, bool inside, bool init, int control)
{
    struct pollfd watched[] = {{.fd = signals, .events = POLLIN}, {.fd = control, .events = POLLIN}};
    int result = KILLED + SIGKILL;

    for (;;) {
        if (take_signals(child, inside, &result))
            break;
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            break;
        if (watched[1].revents != 0)
            break;
    }
    end_all(init);
    return result;
}

/* SPDX-License-Identifier: MIT */
/* Namespaces: a view of the system in which there is little besides the program itself. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

enum { FILE_TEXT = 64, PID_MAX_LOWEST = 301 };

static const struct {
    enum report_layer layer;
    int flag;
} spaces[] = {{REPORT_USER_NAMESPACE, CLONE_NEWUSER},
              {REPORT_PID_NAMESPACE, CLONE_NEWPID},
              {REPORT_MOUNT_NAMESPACE, CLONE_NEWNS},
              {REPORT_IPC_NAMESPACE, CLONE_NEWIPC},
              {REPORT_NETWORK_NAMESPACE, CLONE_NEWNET}};
enum { SPACES = sizeof spaces / sizeof spaces[0] };

#define INNER (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC)

/* clone() and not clone3(): filters of containers and of systemd let only it through. */
static pid_t fork_into(int flags)
{
#if defined(__s390__) || defined(__CRIS__)
    return (pid_t)syscall(SYS_clone, NULL, (unsigned long)(flags | SIGCHLD), NULL, NULL, 0UL);
#else
    return (pid_t)syscall(SYS_clone, (unsigned long)(flags | SIGCHLD), NULL, NULL, NULL, 0UL);
#endif
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t written;

    if (fd < 0)
        return -1;
    written = write(fd, text, strlen(text));
    close(fd);
    return written < 0 ? -1 : 0;
}

static int map_of(pid_t child, const char *file, const char *text)
{
    char path[FILE_TEXT];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)child, file);
    return write_file(path, text);
}

/* Inside, it is who we are outside. */
static int map_identity(pid_t child)
{
    char text[FILE_TEXT];

    snprintf(text, sizeof text, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
    if (map_of(child, "uid_map", text) != 0)
        return -1;
    if (map_of(child, "setgroups", "deny") != 0)
        return -1;
    snprintf(text, sizeof text, "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
    return map_of(child, "gid_map", text);
}

/* The child goes on when the parent has set it up, and ends when that failed. */
static void await_parent(int go)
{
    char byte;
    ssize_t got;

    do
        got = read(go, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1)
        _exit(0);
}

static pid_t give_up(pid_t child, int go)
{
    int problem = errno;

    close(go);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    errno = problem;
    return -1;
}

static pid_t attempt(int flags)
{
    int go[2];
    pid_t child;
    int problem;

    if (pipe2(go, O_CLOEXEC) != 0)
        return -1;
    child = fork_into(flags);
    problem = errno;
    if (child == 0) {
        close(go[1]);
        await_parent(go[0]);
        close(go[0]);
        return 0;
    }
    close(go[0]);
    if (child < 0) {
        close(go[1]);
        errno = problem;
        return -1;
    }
    if ((flags & CLONE_NEWUSER) != 0 && map_identity(child) != 0)
        return give_up(child, go[1]);
    if (write(go[1], "", 1) != 1)
        return give_up(child, go[1]);
    close(go[1]);
    return child;
}

static void tell(const struct sandbox_spec *spec, struct report *report, bool wanted, int flags,
                 const int *reasons)
{
    for (size_t i = 0; i < SPACES; i++) {
        if (!wanted || (spaces[i].flag == CLONE_NEWNET && spec->network))
            report_layer(report, spaces[i].layer, REPORT_UNWANTED, "%s", "");
        else if ((flags & spaces[i].flag) != 0)
            report_layer(report, spaces[i].layer, REPORT_APPLIED, "%s", "");
        else
            report_layer(report, spaces[i].layer, REPORT_MISSING, "%s", strerror(reasons[i]));
    }
}

pid_t spaces_fork(const struct sandbox_spec *spec, bool wanted, struct report *report,
                  bool *own_pids)
{
    int network = spec->network ? 0 : CLONE_NEWNET;
    const int attempts[] = {CLONE_NEWUSER | INNER | network, CLONE_NEWUSER | INNER,
                            INNER | network, INNER, 0};
    int reasons[SPACES] = {0}, flags = 0;
    pid_t child = -1;

    for (size_t a = wanted ? 0 : 4; a < 5 && child < 0; a++) {
        flags = attempts[a];
        child = attempt(flags);
        for (size_t i = 0; i < SPACES && child < 0; i++)
            if (reasons[i] == 0 && (flags & spaces[i].flag) != 0)
                reasons[i] = errno;
    }
    *own_pids = (flags & CLONE_NEWPID) != 0;
    /* Both need to know; the child tells. */
    if (child == 0) {
        tell(spec, report, wanted, flags, reasons);
    } else if (child > 0) {
        int fd = report->fd;

        report->fd = -1;
        tell(spec, report, wanted, flags, reasons);
        report->fd = fd;
    }
    return child;
}

/* ---- mounts ---- */

/* Since Linux 6.14 each PID namespace has a limit of its own; before, this would be everybody's. */
static bool has_own_pid_max(void)
{
    struct utsname name;
    char *end;
    long major, minor;

    if (uname(&name) != 0)
        return false;
    major = strtol(name.release, &end, 10);
    minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    return major > 6 || (major == 6 && minor >= 14);
}

/* The processes of root have no other limit. Once the numbers have come to the highest they begin
 * again above PID_MAX_LOWEST, so that many have to be left there, or a program that lives long
 * could start nothing any more. */
static void limit_pids(const struct sandbox_spec *spec, struct report *report)
{
    char text[FILE_TEXT];
    long long limit = PID_MAX_LOWEST + spec->processes;

    if (spec->processes == 0 || geteuid() != 0 || !has_own_pid_max())
        return;
    snprintf(text, sizeof text, "%lld", limit);
    if (write_file("/proc/sys/kernel/pid_max", text) == 0)
        report_layer(report, REPORT_PROCESS_LIMIT, REPORT_APPLIED,
                     "%lld processes and threads, by the namespace", limit - 1);
}

static void mount_tmp(const struct sandbox_spec *spec, struct report *report)
{
    char options[FILE_TEXT];

    snprintf(options, sizeof options, "mode=0700,size=%lld,nr_inodes=4096",
             (long long)spec->tmp_bytes);
    if (mount("tmpfs", spec->tmp, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0)
        report_layer(report, REPORT_PRIVATE_TMP, REPORT_APPLIED, "in memory, %lld MiB",
                     (long long)(spec->tmp_bytes >> 20));
    else
        report_layer(report, REPORT_PRIVATE_TMP, REPORT_MISSING, "on disk: %s", strerror(errno));
}

/* Not permitted where parts of /proc are covered, as in many containers; the files of other
 * processes are then kept from it by Landlock alone. */
static void mount_proc(const struct sandbox_spec *spec, struct report *report)
{
    if ((report->applied & (1u << REPORT_PID_NAMESPACE)) == 0) {
        report_layer(report, REPORT_PRIVATE_PROC, REPORT_MISSING, "no PID namespace");
    } else if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) {
        report_layer(report, REPORT_PRIVATE_PROC, REPORT_MISSING, "%s", strerror(errno));
    } else {
        report_layer(report, REPORT_PRIVATE_PROC, REPORT_APPLIED, "%s", "");
        limit_pids(spec, report);
    }
}

void spaces_mount(const struct sandbox_spec *spec, struct report *report)
{
    const char *lacks = (report->applied & (1u << REPORT_MOUNT_NAMESPACE)) == 0
                            ? "no mount namespace"
                        : mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0
                            ? strerror(errno)
                            : NULL;

    if (lacks != NULL) {
        report_layer(report, REPORT_PRIVATE_PROC, REPORT_MISSING, "%s", lacks);
        report_layer(report, REPORT_PRIVATE_TMP, REPORT_MISSING, "on disk: %s", lacks);
        return;
    }
    mount_proc(spec, report);
    if (spec->tmp[0] != '\0')
        mount_tmp(spec, report);
}

/* SPDX-License-Identifier: MIT */
/* agw-exec: runs one program in the sandbox, and ends with it all that came from it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/keep.h"
#include "sandbox/sandbox.h"

enum { USAGE = 2, CANNOT_RUN = 126, FDS_MAX = 4096, PASSED_FD = 3 };

struct settings {
    struct sandbox_spec spec;
    bool off, require;
    const char *directory;
    int report, control, channel; /* descriptors, -1 = none */
    char **command;
};

static const char usage[] =
    "usage: agw-exec [OPTION]... -- PROGRAM [ARGUMENT]...\n"
    "Runs PROGRAM (a file name with a /) in a sandbox; agw-exec(8) describes it.\n"
    "\n"
    "  --read PATH         it may read this too; may be given often\n"
    "  --write PATH        it may read and write this too; may be given often\n"
    "  --network           it may use the network and Unix sockets\n"
    "  --no-unix           with --network: no Unix sockets\n"
    "  --directory DIR     its working directory\n"
    "  --memory BYTES      limit of one process\n"
    "  --cpu SECONDS       processor time of one process\n"
    "  --processes N       processes and threads\n"
    "  --files N           open files of one process\n"
    "  --file-size BYTES   of a file that it writes\n"
    "  --tmp-size BYTES    of its temporary folder\n"
    "  --require           do not run it if a part of the sandbox is missing\n"
    "  --off               no sandbox; only end with it all that came from it\n"
    "  --report FD         descriptor to which the layers of the sandbox are reported\n"
    "  --control FD        when the other end of this descriptor is closed, end all\n"
    "  --channel FD        the program gets this descriptor, as its descriptor 3\n"
    "  --help, --version\n";

/* ---- options ---- */

enum option_id { READ = 256, WRITE, NETWORK, NO_UNIX, DIRECTORY, MEMORY, CPU, PROCESSES, FILES, FILE_SIZE,
                 TMP_SIZE, REQUIRE, OFF, REPORT, CONTROL, CHANNEL, HELP, VERSION_OPTION };

static const struct option options[] = {
    {"read", required_argument, NULL, READ},
    {"write", required_argument, NULL, WRITE},
    {"network", no_argument, NULL, NETWORK},
    {"no-unix", no_argument, NULL, NO_UNIX},
    {"directory", required_argument, NULL, DIRECTORY},
    {"memory", required_argument, NULL, MEMORY},
    {"cpu", required_argument, NULL, CPU},
    {"processes", required_argument, NULL, PROCESSES},
    {"files", required_argument, NULL, FILES},
    {"file-size", required_argument, NULL, FILE_SIZE},
    {"tmp-size", required_argument, NULL, TMP_SIZE},
    {"require", no_argument, NULL, REQUIRE},
    {"off", no_argument, NULL, OFF},
    {"report", required_argument, NULL, REPORT},
    {"control", required_argument, NULL, CONTROL},
    {"channel", required_argument, NULL, CHANNEL},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION_OPTION},
    {NULL, 0, NULL, 0}};

static void refuse(const char *what, const char *value)
{
    fprintf(stderr, "agw-exec: %s: %s\n", what, value);
    exit(USAGE);
}

static int64_t number(const char *text, int64_t max)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0 || value > max)
        refuse("not a usable number", text);
    return value;
}

static int descriptor(const char *text)
{
    int fd = (int)number(text, 1 << 20);

    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        refuse("no such descriptor", text);
    return fd;
}

static void add_path(const char *list[SANDBOX_PATHS_MAX], size_t *count, const char *path)
{
    if (*count == SANDBOX_PATHS_MAX)
        refuse("too many paths", path);
    list[(*count)++] = path;
}

static void take_limit(struct sandbox_spec *spec, int id, const char *value)
{
    int64_t *field = id == MEMORY      ? &spec->memory_bytes
                     : id == CPU       ? &spec->cpu_s
                     : id == PROCESSES ? &spec->processes
                     : id == FILES     ? &spec->files
                     : id == FILE_SIZE ? &spec->file_bytes
                                       : &spec->tmp_bytes;

    *field = number(value, INT64_MAX);
}

static void take(struct settings *s, int id, char *value)
{
    switch (id) {
    case READ:
        add_path(s->spec.read, &s->spec.read_count, value);
        return;
    case WRITE:
        add_path(s->spec.write, &s->spec.write_count, value);
        return;
    case NETWORK:
        s->spec.network = true;
        return;
    case NO_UNIX:
        s->spec.no_unix = true;
        return;
    case DIRECTORY:
        s->directory = value;
        return;
    case REQUIRE:
        s->require = true;
        return;
    case OFF:
        s->off = true;
        return;
    case REPORT:
        s->report = descriptor(value);
        return;
    case CONTROL:
        s->control = descriptor(value);
        return;
    case CHANNEL:
        s->channel = descriptor(value);
        return;
    case HELP:
        fputs(usage, stdout);
        exit(0);
    case VERSION_OPTION:
        puts("agw-exec " PACKAGE_VERSION);
        exit(0);
    default:
        take_limit(&s->spec, id, value);
    }
}

static void parse(struct settings *s, int argc, char **argv)
{
    int id;

    while ((id = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (id == '?') {
            fputs(usage, stderr);
            exit(USAGE);
        }
        take(s, id, optarg);
    }
    s->command = argv + optind;
    if (s->command[0] == NULL || strchr(s->command[0], '/') == NULL) {
        fputs(usage, stderr);
        exit(USAGE);
    }
    if (s->off && s->require)
        refuse("these do not go together", "--off --require");
}

/* ---- the program ---- */

static void confine(struct settings *s, struct report *report)
{
    limits_apply(&s->spec, report);
    privileges_drop(report);
    files_confine(&s->spec, report);
    calls_filter(&s->spec, report);
}

/* What has the program's number moves out of its way. */
static int pass_channel(int channel, struct report *report)
{
    if (report->fd == PASSED_FD)
        report->fd = fcntl(report->fd, F_DUPFD_CLOEXEC, PASSED_FD + 1);
    if (channel == PASSED_FD)
        return fcntl(channel, F_SETFD, 0);
    return dup2(channel, PASSED_FD) < 0 ? -1 : 0;
}

static void become(struct settings *s, struct report *report)
{
    const char *lack;

    setsid();
    umask(077);
    if (!s->off)
        confine(s, report);
    if (s->directory != NULL && chdir(s->directory) != 0) {
        report_failed(report, "cannot enter %s: %s", s->directory, strerror(errno));
        _exit(CANNOT_RUN);
    }
    lack = s->require ? report_lacks(report, s->spec.network) : NULL;
    if (lack != NULL) {
        report_failed(report, "the sandbox is required, but %s", lack);
        _exit(CANNOT_RUN);
    }
    if (s->channel >= 0 && pass_channel(s->channel, report) != 0) {
        report_failed(report, "no descriptor for its channel: %s", strerror(errno));
        _exit(CANNOT_RUN);
    }
    report_started(report);
    keep_release();
    execv(s->command[0], s->command);
    report_failed(report, "cannot run %s: %s", s->command[0],
                  errno == ENOEXEC ? "it is no program and does not begin with #!"
                                   : strerror(errno));
    _exit(CANNOT_RUN);
}

/* ---- who keeps it ---- */

/* Pipes end when the program ends them, not when we do. */
static void close_own_ends(const struct settings *s, const struct report *report)
{
    if (report->fd >= 0)
        close(report->fd);
    if (s->channel >= 0)
        close(s->channel);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);
}

/* Kernels before 5.9 have no close_range(). */
static void close_from(unsigned first, unsigned last)
{
    if (syscall(SYS_close_range, first, last, 0) == 0)
        return;
    for (unsigned fd = first; fd <= last && fd < FDS_MAX; fd++)
        close((int)fd);
}

static int by_number(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;

    return (left > right) - (left < right);
}

/* Whatever else the caller had open is not for the program. */
static void close_others(const struct settings *s)
{
    unsigned next = STDERR_FILENO + 1;
    int kept[] = {s->report, s->control, s->channel, INT_MAX};

    qsort(kept, sizeof kept / sizeof kept[0], sizeof kept[0], by_number);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (kept[i] < (int)next)
            continue;
        if (kept[i] > (int)next)
            close_from(next, (unsigned)kept[i] - 1);
        next = (unsigned)kept[i] + 1;
    }
}

/* The parent of the program, in the same namespaces. `life` ends when its own parent does. */
static int keep_inside(struct settings *s, struct report *report, bool own_pids, int life)
{
    pid_t child;

    if (own_pids)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    else
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!s->off)
        spaces_mount(&s->spec, report);
    child = fork();
    if (child == 0)
        become(s, report);
    if (child < 0)
        report_failed(report, "no process can be made: %s", strerror(errno));
    close_own_ends(s, report);
    return child < 0 ? CANNOT_RUN : keep_watch(child, true, own_pids, life);
}

static int keep_outside(struct settings *s, struct report *report)
{
    int life[2];
    bool own_pids;
    pid_t child;

    if (pipe2(life, O_CLOEXEC) != 0 || keep_begin() != 0) {
        report_failed(report, "no descriptors: %s", strerror(errno));
        return CANNOT_RUN;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    child = spaces_fork(&s->spec, !s->off, report, &own_pids);
    if (child == 0) {
        close(life[1]);
        if (s->control >= 0)
            close(s->control);
        _exit(keep_inside(s, report, own_pids, life[0]));
    }
    if (child < 0)
        report_failed(report, "no process can be made: %s", strerror(errno));
    close_own_ends(s, report);
    return child < 0 ? CANNOT_RUN : keep_watch(child, false, false, s->control);
}

int main(int argc, char **argv)
{
    struct settings s = {.report = -1, .control = -1, .channel = -1};
    struct report report;
    int result;

    parse(&s, argc, argv);
    report = (struct report){.fd = s.report};
    close_others(&s);
    setsid();
    if (tmp_make(s.spec.tmp) != 0 || setenv("TMPDIR", s.spec.tmp, 1) != 0 ||
        setenv("HOME", s.spec.tmp, 1) != 0) {
        report_failed(&report, "no temporary folder: %s", strerror(errno));
        return CANNOT_RUN;
    }
    report_tmp(&report, s.spec.tmp);
    result = keep_outside(&s, &report);
    tmp_remove(s.spec.tmp);
    return result;
}

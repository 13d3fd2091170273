/* SPDX-License-Identifier: MIT */
/* Limits what a program can use up: memory, processor time, files, processes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

static bool limit(int resource, int64_t value)
{
    struct rlimit now, wanted = {.rlim_cur = (rlim_t)value, .rlim_max = (rlim_t)value};

    if (getrlimit(resource, &now) == 0 && now.rlim_max < wanted.rlim_max)
        wanted = (struct rlimit){now.rlim_max, now.rlim_max};
    return setrlimit(resource, &wanted) == 0;
}

/* The kernel counts the processes of a user, in a user namespace of its own by themselves.
 * Those of root it does not count at all. */
static void limit_processes(const struct sandbox_spec *spec, struct report *report)
{
    bool counted = (report->applied & (1u << REPORT_USER_NAMESPACE)) != 0;

    if (spec->processes == 0)
        report_layer(report, REPORT_PROCESS_LIMIT, REPORT_UNWANTED, "%s", "");
    else if ((report->applied & (1u << REPORT_PROCESS_LIMIT)) != 0)
        return; /* by the namespace */
    else if (geteuid() == 0)
        report_layer(report, REPORT_PROCESS_LIMIT, REPORT_MISSING, "not for root");
    else if (!counted)
        report_layer(report, REPORT_PROCESS_LIMIT, REPORT_MISSING,
                     "without a user namespace the gateway's own threads would count");
    else if (limit(RLIMIT_NPROC, spec->processes))
        report_layer(report, REPORT_PROCESS_LIMIT, REPORT_APPLIED, "%lld processes and threads",
                     (long long)spec->processes);
    else
        report_layer(report, REPORT_PROCESS_LIMIT, REPORT_MISSING, "%s", strerror(errno));
}

/* When the memory of the machine is out, this goes before those who serve others. What processes
 * share has no other limit, and for who may not raise it nothing is lost. */
static void go_first(void)
{
    static const char highest[] = "1000";
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, highest, sizeof highest - 1);
    close(fd);
}

void limits_apply(const struct sandbox_spec *spec, struct report *report)
{
    /* RLIMIT_DATA and not RLIMIT_AS: runtimes reserve address space that they never use. */
    const struct {
        int resource;
        int64_t value;
        const char *name;
    } rows[] = {{RLIMIT_DATA, spec->memory_bytes, "memory"},
                {RLIMIT_CPU, spec->cpu_s, "processor time"},
                {RLIMIT_NOFILE, spec->files, "open files"},
                {RLIMIT_FSIZE, spec->file_bytes, "size of files"}};
    struct rlimit no_core = {0, 0};
    const char *failed = setrlimit(RLIMIT_CORE, &no_core) == 0 ? NULL : "core files";

    go_first();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value > 0 && !limit(rows[i].resource, rows[i].value))
            failed = rows[i].name;
    limit_processes(spec, report);
    if (failed != NULL)
        report_layer(report, REPORT_RLIMITS, REPORT_MISSING, "%s: %s", failed, strerror(errno));
    else
        report_layer(report, REPORT_RLIMITS, REPORT_APPLIED, "%lld MiB of memory a process",
                     (long long)(spec->memory_bytes >> 20));
}

/* SPDX-License-Identifier: MIT */
/* What a program may do that runs in the sandbox, and the steps that keep it to that. Used by a
 * small program with one thread (src/exec/) between fork and exec; nothing here is for the
 * gateway's own processes. Each step notes its layers in the report; none of them is an error
 * by itself: report_lacks() says whether all of it is enough.
 */
#ifndef AGW_SANDBOX_SANDBOX_H
#define AGW_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/report.h"

enum { SANDBOX_PATHS_MAX = 64, SANDBOX_TMP_SIZE = 64 };

/* 0 = no limit, for each number. */
struct sandbox_spec {
    bool network;                /* it may use the network and Unix sockets */
    bool no_unix;                /* not the latter: Landlock does not see their paths */
    const char *read[SANDBOX_PATHS_MAX], *write[SANDBOX_PATHS_MAX];
    size_t read_count, write_count;
    char tmp[SANDBOX_TMP_SIZE];  /* its folder for temporary files, "" = none */
    int64_t memory_bytes;        /* of one process */
    int64_t cpu_s, processes, files, file_bytes, tmp_bytes;
};

/* ---- spaces.c: namespaces ---- */

/* Forks into as many new namespaces as are permitted (into none if not `wanted`), and returns as
 * fork() does: in the child after its identity was set up. *own_pids: the child is the init
 * process of a PID namespace. -1 with errno. */
pid_t spaces_fork(const struct sandbox_spec *spec, bool wanted, struct report *report,
                  bool *own_pids);
/* In the child: /proc and the temporary folder of its own. */
void spaces_mount(const struct sandbox_spec *spec, struct report *report);

/* ---- the steps of who becomes the program, in this order ---- */

void limits_apply(const struct sandbox_spec *spec, struct report *report);
/* No privilege is left, and none can be had. */
void privileges_drop(struct report *report);
/* Landlock: files, TCP, signals. */
void files_confine(const struct sandbox_spec *spec, struct report *report);
/* seccomp. */
void calls_filter(const struct sandbox_spec *spec, struct report *report);

/* ---- tmp.c: the temporary folder ---- */

/* Makes one of its own under /tmp (or $TMPDIR) and puts its name into `path`; -1 with errno. */
int tmp_make(char path[SANDBOX_TMP_SIZE]);
/* Removes it with all that is in it; only what tmp_make() may have named. */
void tmp_remove(const char *path);

#endif

/* SPDX-License-Identifier: MIT */
/* What the sandbox of a program consists of, layer by layer: written by who sets it up, read by
 * who started it. No allocation but for JSON; any thread.
 *
 * One line a layer: "landlock applied ABI 7", "user_namespace missing Operation not permitted".
 * A first line "tmp PATH" names the temporary folder. Last comes "started" just before the program begins, or "failed" and why. After the last line the
 * file ends.
 */
#ifndef AGW_SANDBOX_REPORT_H
#define AGW_SANDBOX_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Name and what it is for, in the order of reports. */
#define REPORT_LAYERS(X)                                             \
    X(USER_NAMESPACE, "user_namespace")       /* makes the next ones possible */ \
    X(PID_NAMESPACE, "pid_namespace")         /* sees and signals only its own processes */ \
    X(MOUNT_NAMESPACE, "mount_namespace")     /* can have folders of its own */     \
    X(PRIVATE_PROC, "private_proc")           /* has /proc of its own, with no other's */ \
    X(IPC_NAMESPACE, "ipc_namespace")         /* no shared memory of others */ \
    X(NETWORK_NAMESPACE, "network_namespace") /* no network interface */ \
    X(PRIVATE_TMP, "private_tmp")             /* in memory, with a size limit */ \
    X(NO_NEW_PRIVS, "no_new_privs")           /* setuid programs give nothing */ \
    X(CAPABILITIES, "capabilities")           /* none, for root neither */ \
    X(RLIMITS, "rlimits")                     /* memory, processor time, files */ \
    X(PROCESS_LIMIT, "process_limit")         /* no fork bomb */ \
    X(LANDLOCK, "landlock")                   /* only the files it needs */ \
    X(LANDLOCK_NETWORK, "landlock_network")   /* no TCP */ \
    X(LANDLOCK_SCOPE, "landlock_scope")       /* no signal, no abstract socket to the outside */ \
    X(SECCOMP, "seccomp")                     /* no dangerous system calls, no sockets */

enum report_layer {
#define X(id, name) REPORT_##id,
    REPORT_LAYERS(X)
#undef X
    REPORT_COUNT
};

enum report_state { REPORT_APPLIED, REPORT_MISSING, REPORT_UNWANTED };

/* Notes one layer: on `fd` (-1: nowhere) and in *applied, a bit mask by layer. `format` says
 * what is worth knowing: an ABI, the reason. */
struct report {
    int fd;
    unsigned applied;
};
void report_layer(struct report *r, enum report_layer layer, enum report_state state,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Where its temporary folder is, for who has to remove it when the keeper cannot. */
void report_tmp(struct report *r, const char *path);
void report_started(struct report *r);
void report_failed(struct report *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What a sandbox that is required has to do and does not: a text, or NULL when all is well.
 * `network`: the program may use it. */
const char *report_lacks(const struct report *r, bool network);

/* ---- for the reader of such a text ---- */

/* Whether the program was started; else, when why is not NULL, what it says about that. */
bool report_has_started(const char *text, char *why, size_t size);
/* Takes the temporary folder, which the first line names, out of the text; "" when none is. */
void report_take_tmp(char *text, char *path, size_t size);
/* Object: layer -> "applied (ABI 7)", "missing (...)", "unwanted". New reference; NULL when
 * memory is out. */
json_t *report_json(const char *text);
/* "landlock pid_namespace ..." : the layers in that state, for a log line. */
void report_names(const char *text, enum report_state state, char *names, size_t size);

#endif

/* SPDX-License-Identifier: MIT */
/* Children: programs of tools, started in the sandbox (agw-exec) with pipes, and ended together
 * with all that came from them. For one call as well as for a server that lives long. Nothing
 * of it uses SIGCHLD, and when this process dies, however it does, its children are ended too.
 *
 * A child belongs to who started it; its functions are for one thread at a time.
 */
#ifndef AGW_TOOLS_LAUNCH_H
#define AGW_TOOLS_LAUNCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "sandbox/sandbox.h"
#include "util/err.h"

enum { LAUNCH_REPORT_SIZE = 2048 };

struct launch_child {
    pid_t pid;           /* of agw-exec; 0 = none */
    int ended_fd;        /* readable when it has ended */
    int starting;        /* readable when there is something for launch_look(); else -1 */
    int in, out, err;    /* the program's stdin, stdout and stderr: our ends, not blocking,
                            close on exec; close one yourself with launch_close() */
    int status;          /* once launch_has_ended(): exit status, 128 + signal */
    bool ended, killed;  /* ... and it is agw-exec itself that was killed */
    size_t fed;          /* bytes of its input that are in its stdin already */
    char tmp[SANDBOX_TMP_SIZE]; /* its folder for temporary files */
    char report[LAUNCH_REPORT_SIZE]; /* the layers of its sandbox, see sandbox/report.h */
};

/* Starts the command of a tool and waits until its program runs, giving the run permit back.
 * `cpu_s`: limit of its processor time, 0 = none. The beginning of `input` (`length` bytes, may
 * be 0) is in its stdin before it runs: should this process die right then, the end that the
 * program sees is none of an empty input. AGW_EUNAVAILABLE with a text that models and
 * operators may read: there is no such program, the sandbox is required but not complete, it has
 * not begun at `deadline_ms`. AGW_ENOMEM. After an error there is no child. */
int launch_start(const struct config_tool *tool, int64_t cpu_s, int64_t deadline_ms,
                 const char *input, size_t length, struct launch_child *child, struct err *e);

/* What would keep launch_start() from it that can be seen without starting anything: 0, or
 * AGW_EUNAVAILABLE and AGW_ENOMEM with a text. */
int launch_check(const struct config_tool *tool, struct err *e);

/* ---- for who waits for many of them, and has commands of its own ---- */

/* Options of agw-exec(8), without the launcher's own (--report, --control, --channel), "--",
 * program and arguments; and the environment. Both end with NULL. */
struct launch_command {
    const char *const *words;
    const char *const *environment;
    int channel;       /* becomes descriptor 3 of the program; stays the caller's; -1 = none */
    const char *input; /* its beginning is in the program's stdin before it runs */
    size_t length;
};

/* Starts it and does not wait: child->starting tells of the rest. AGW_EUNAVAILABLE, AGW_ENOMEM;
 * then there is no child. */
int launch_spawn(const struct launch_command *command, struct launch_child *child,
                 struct err *e);

/* Reads what there is of the report, without waiting. 0: the program does not run yet; 1: it
 * runs; AGW_EUNAVAILABLE and why it does not: end it with launch_end(). */
int launch_look(struct launch_child *child, struct err *e);

/* Closes one of in, out, err (-1: nothing happens) and sets it to -1. */
void launch_close(int *fd);

/* Whether the program, and all that came from it, has ended; does not wait. */
bool launch_has_ended(struct launch_child *child);

/* Asks the program to end (SIGTERM). */
void launch_ask(const struct launch_child *child);

/* Begins to end the program and all that came from it (SIGKILL), and does not wait:
 * launch_has_ended(), and child->ended_fd, say when. */
void launch_kill(const struct launch_child *child);

/* Ends the program and all that came from it, at once (SIGKILL), and waits until they are gone,
 * giving the run permit back; closes what is open. Also for a child that has ended, or none. */
void launch_end(struct launch_child *child);

/* "exit status 3" "signal 9 (Killed)": how it ended. */
void launch_status_text(int status, char *text, size_t size);

/* Object with the layers of the sandbox, for describe(); NULL when memory is out. */
json_t *launch_sandbox_json(const struct launch_child *child);

#endif

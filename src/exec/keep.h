/* SPDX-License-Identifier: MIT */
/* Keeps a process and all that come from it, and ends all of them together. One thread; the
 * process is a child subreaper or the init process of a PID namespace.
 */
#ifndef AGW_EXEC_KEEP_H
#define AGW_EXEC_KEEP_H

#include <stdbool.h>
#include <sys/types.h>

/* Blocks the signals that keep_watch() takes; before the first fork. -1 with errno. */
int keep_begin(void);
/* In the process that becomes the program: signals are as for a new program. */
void keep_release(void);

/* Waits until `child` has ended, or until the other end of `control` is closed (-1: none).
 * `inside`: this is the parent of the program itself, else of the inner keeper. `init`: of a PID
 * namespace. SIGTERM and its like are passed on, to the program's process group. In either case nothing
 * that came from it runs any more on return. The exit status, 128 + signal if it was killed. */
int keep_watch(pid_t child, bool inside, bool init, int control);

#endif

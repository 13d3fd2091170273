/* SPDX-License-Identifier: MIT */
/* The writer gate: one writer at a time among all processes of a database.
 *
 * SQLite before 3.51.3 can lose committed writes when a checkpoint overlaps another
 * connection's commit, and its busy handler starves writers. An flock on a file beside the
 * database, held around every write transaction and every checkpoint, excludes both. The
 * kernel gives it back when its holder dies. Any thread.
 */
#ifndef AGW_STORE_GATE_H
#define AGW_STORE_GATE_H

#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"

struct gate;

/* Creates (mode 0660) or opens the file; after fork(), never shared over it. */
int gate_open(const char *path, struct gate **gate, struct err *e);
void gate_close(struct gate **gate);

/* Waits at most `wait_ms`, without the run permit; AGW_ESTORE past it. Threads of one process get
 * it in turn: who releases it and asks at once comes after those who wait. */
int gate_acquire(struct gate *gate, int64_t wait_ms, struct err *e);
void gate_release(struct gate *gate);

/* Who holds the gate of this file, from the kernel's list of locks; 0 = nobody, or it cannot be
 * told. For diagnosis. */
pid_t gate_holder(const char *path);

#endif

/* SPDX-License-Identifier: MIT */
/* Processes: is this one still the one it was? A pid alone may have been reused. */
#ifndef AGW_UTIL_PROC_H
#define AGW_UTIL_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Start time of a process in clock ticks since boot (/proc/PID/stat field 22); 0 when
 * there is no such process. */
uint64_t proc_start_time(pid_t pid);

/* The parent's pid, as this process sees it; 0 when there is no such process. */
pid_t proc_parent(pid_t pid);

/* Whether `pid` runs (not a zombie) and started at `start_time`. */
bool proc_is_alive(pid_t pid, uint64_t start_time);

/* Full name of one of our programs: beside this one, when it was not installed; else in the
 * folder where it is installed. */
void proc_program(const char *name, const char *installed, char *path, size_t size);

enum { PROC_BOOT_SIZE = 40 };

/* The kernel's id of this boot; "" when it cannot be read. */
void proc_boot_id(char boot[PROC_BOOT_SIZE]);

#endif

/* SPDX-License-Identifier: MIT */
/* A file of named regions that every process of this host maps: counters that survive the
 * death of any process.
 *
 * Regions start zeroed, are 64-byte aligned and never move. Users put lock-free atomics in
 * them only: a process may die at any instruction. shm_region() may be called by several
 * processes at once (the directory is changed under an flock), but only if each opened the
 * file itself after fork(); within a process one thread at a time calls in here. A file of
 * another layout version, or one damaged or cut short, is set aside as `<path>.bad` and begun
 * anew: what it holds are counters, never records.
 */
#ifndef AGW_UTIL_SHM_H
#define AGW_UTIL_SHM_H

#include <stddef.h>

#include "util/err.h"

struct shm;

enum { SHM_NAME_MAX = 23, SHM_REGIONS = 16 };

/* Creates (mode 0660) or opens `path`. AGW_ESTORE with the reason. */
int shm_open_file(const char *path, struct shm **shm, struct err *e);

/* Unmaps; pointers into regions die. Nulls the pointer. */
void shm_close(struct shm **shm);

/* The region `name` (1..SHM_NAME_MAX bytes), made with `size` bytes when it is new, its disk
 * blocks reserved. AGW_ESTORE when it exists with another size, or no room is left. */
int shm_region(struct shm *shm, const char *name, size_t size, void **start, struct err *e);

#endif

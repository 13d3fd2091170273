/* SPDX-License-Identifier: MIT */
/* Sees to it that a few descriptors are left. */
#include "runnerd/descriptors.h"

#include <sys/resource.h>

/* A search holds two for each level of folders, a copy three. */
enum { RESERVE = 64, RESERVE_PART = 4 };

const char descriptors_short[] =
    "the runner has as many files and sockets open as it may (RLIMIT_NOFILE)";

bool descriptors_are_short(int fd)
{
    struct rlimit files;
    rlim_t reserve;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
        return false;
    reserve = files.rlim_cur / RESERVE_PART < RESERVE ? files.rlim_cur / RESERVE_PART : RESERVE;
    return fd >= 0 && (rlim_t)fd >= files.rlim_cur - reserve;
}

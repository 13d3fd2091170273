/* SPDX-License-Identifier: MIT */
/* Leaves after a moment, as clients do. */
#include "hang_up.h"

#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOMENT_US = 200000 };

void *hang_up(void *fd)
{
    usleep(MOMENT_US);
    shutdown(*(int *)fd, SHUT_RDWR);
    return NULL;
}

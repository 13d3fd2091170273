/* SPDX-License-Identifier: MIT */
/* The listening socket: handed over by who started the program, or made here. */
#ifndef AGW_NET_LISTEN_H
#define AGW_NET_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/err.h"

struct listen_socket {
    int fd;             /* close-on-exec */
    bool made;          /* ours to remove */
    char path[108];     /* "" unless made */
    dev_t device;
    ino_t inode;
};

/* The socket a service manager (LISTEN_FDS, LISTEN_PID; both are taken out of the
 * environment) or a web server (descriptor 0, then replaced by /dev/null) passed on.
 * 0; AGW_ENOTFOUND: none was; AGW_EINVALID: something that is no listening stream socket. */
int listen_inherit(struct listen_socket *s, struct err *e);

/* Makes a Unix socket for "unix:PATH" with `mode` and `group` (NULL = ours). A socket file
 * that nobody listens on is replaced, anything else at PATH is AGW_EINVALID. */
int listen_make(struct listen_socket *s, const char *address, int mode, const char *group,
                struct err *e);

/* Closes; removes the file if it is still the one that was made. */
void listen_close(struct listen_socket *s);

#endif

/* SPDX-License-Identifier: MIT */
/* One FastCGI exchange on an accepted connection. http/fcgi.c is the only file that
 * includes fcgiapp.h; libfcgi only parses and frames, accepting, closing and waiting are
 * ours. An exchange belongs to one thread.
 */
#ifndef AGW_HTTP_FCGI_H
#define AGW_HTTP_FCGI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"

struct fcgi;

/* Once per process. */
int fcgi_init(void);

/* Parses the next request on `fd` (blocking, at most read_timeout_ms a read). The exchange
 * owns fd from here on. NULL: the peer closed, or sent what is not FastCGI; fd is closed. */
struct fcgi *fcgi_accept(int fd, int64_t read_timeout_ms, int64_t write_timeout_ms);

const char *fcgi_param(const struct fcgi *x, const char *name); /* NULL = absent */
char *const *fcgi_params(const struct fcgi *x);                 /* "NAME=value", NULL-ended */

/* Bytes of the body; 0 at its end; -1 on a broken connection. */
ssize_t fcgi_read(struct fcgi *x, char *data, size_t size);

/* AGW_EGONE when the peer has left or takes nothing for write_timeout_ms (the run permit is
 * given back while waiting). Data is buffered until fcgi_flush() or 8 KiB. */
int fcgi_write(struct fcgi *x, const char *data, size_t length);
int fcgi_flush(struct fcgi *x);

/* Nobody will read any more: what has come is dropped, and the buffer for it given back, for
 * the long time that a stream may take. */
void fcgi_end_reading(struct fcgi *x);

int fcgi_fd(const struct fcgi *x);
bool fcgi_peer_gone(const struct fcgi *x);

/* Ends the request. Returns the still open fd when the web server keeps the connection
 * (FCGI_KEEP_CONN, nothing failed), for the waiter; else -1. Frees x. */
int fcgi_finish(struct fcgi **x);

#endif

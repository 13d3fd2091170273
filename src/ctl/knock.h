/* SPDX-License-Identifier: MIT */
/* Asks whether a gateway answers: through its own socket, as a web server does, or through the
 * web server.
 */
#ifndef AGW_CTL_KNOCK_H
#define AGW_CTL_KNOCK_H

#include <stdint.h>

#include "util/err.h"

/* GET /health as a FastCGI request on a Unix socket. 0 and the HTTP status of the answer. */
int knock_socket(const char *path, int64_t wait_ms, int *http_status, struct err *e);

/* A connection to a Unix socket; the caller's to close. AGW_EINVALID, AGW_EUNAVAILABLE. */
int knock_open(const char *path, int64_t wait_ms, struct err *e);

/* GET of a URL. 0 and the status of the answer, whatever it is. */
int knock_url(const char *url, int64_t wait_ms, int *http_status, struct err *e);

#endif

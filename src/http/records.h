/* SPDX-License-Identifier: MIT */
/* The framing of FastCGI records, followed byte by byte without blocking: how far one
 * request has come. libfcgi parses requests that are served; this answers questions about
 * those that are not (yet). Protocol: FastCGI 1.0, sections 3.3 and 5.
 */
#ifndef AGW_HTTP_RECORDS_H
#define AGW_HTTP_RECORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "util/buf.h"

enum { RECORDS_HEADER = 8, RECORDS_BEGIN = 1, RECORDS_END = 3, RECORDS_PARAMS = 4,
       RECORDS_STDIN = 5, RECORDS_STDOUT = 6 };

struct records {
    bool broken;               /* not FastCGI, or not the order of one request */
    bool begun;                /* BEGIN_REQUEST seen: request_id, role and keep are set */
    bool params_done, stdin_done;
    bool keep;                 /* FCGI_KEEP_CONN */
    int request_id, role;
    struct buf *params;        /* collects PARAMS bytes when not NULL, up to its maximum */
    unsigned char header[RECORDS_HEADER], begin[8];
    size_t have;               /* bytes of the header */
    size_t content, padding;   /* bytes of the record still to come */
    size_t begin_have;
};

void records_init(struct records *r, struct buf *params);

/* Takes bytes until the request is complete (stdin_done), broken, or they are used up;
 * returns how many it took. */
size_t records_feed(struct records *r, const unsigned char *bytes, size_t length);

/* The whole request has been taken. */
bool records_complete(const struct records *r);

/* The value of a parameter in collected PARAMS bytes, *length its length; NULL = absent. */
const char *records_param(const struct buf *params, const char *name, size_t *length);

/* Appends one record with its header; at most 65,535 bytes. */
void records_put(struct buf *out, int type, int request_id, const void *content,
                 size_t length);

#endif

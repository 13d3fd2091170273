/* SPDX-License-Identifier: MIT */
/* Writes one response: headers once, then a body or an event stream.
 *
 * Headers are collected and leave with the first byte of the body, so until then a handler
 * may still refuse. Every write may return AGW_EGONE.
 */
#ifndef AGW_HTTP_RESPONSE_H
#define AGW_HTTP_RESPONSE_H

#include <jansson.h>
#include <stdbool.h>

#include "http/fcgi.h"
#include "http/request.h"
#include "util/buf.h"

enum { RESPONSE_BODY_MAX = 64 << 20 };

struct response {
    struct request *request;
    struct buf headers;     /* "Name: value\r\n" each */
    int status;             /* what was sent, 0 = nothing yet */
    bool head_sent, streaming;
    int64_t bytes;          /* of the body */
};

void response_init(struct response *r, struct request *request);
void response_free(struct response *r);

/* Collects a header; CR, LF and other control bytes in the value are dropped. */
void response_header(struct response *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Status line and headers, for an answer that streams; once. */
int response_head(struct response *r, int status);
/* "Not Found" for 404. Static. */
const char *response_reason(int status);

/* Compact JSON appended to `out`, safe in one line of any protocol: no control characters,
 * no U+2028/9. AGW_ENOMEM. */
int response_dump(const json_t *value, struct buf *out);

/* A whole JSON body (`value` is borrowed). Sends x-request-id, cache-control: no-store,
 * x-content-type-options: nosniff, content-length. */
int response_json(struct response *r, int status, const json_t *value);
int response_text(struct response *r, int status, const char *content_type, const char *text,
                  size_t length);
int response_empty(struct response *r, int status);

/* The OpenAI error object for `code` and *e, with Retry-After and x-should-retry where the
 * table says so. */
int response_error(struct response *r, int code, const struct err *e);

/* The same object for a body that is already streaming; new reference. */
json_t *response_error_json(int code, const struct err *e);

#endif

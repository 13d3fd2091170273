/* SPDX-License-Identifier: MIT */
/* An event stream as answer; frames are built here, never passed through. */
#ifndef AGW_HTTP_SSE_WRITE_H
#define AGW_HTTP_SSE_WRITE_H

#include <jansson.h>

#include "http/response.h"

/* Sends status 200 and the stream's headers (x-accel-buffering: no among them). */
int sse_write_begin(struct response *r);
/* `data: {json}\n\n`, flushed. */
int sse_write_json(struct response *r, const json_t *value);
/* `data: [DONE]\n\n`. */
int sse_write_done(struct response *r);
/* `: ping\n\n`. */
int sse_write_ping(struct response *r);

#endif

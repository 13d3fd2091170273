/* SPDX-License-Identifier: MIT */
/* Incremental parser for text/event-stream (WHATWG HTML, 9.2.6): LF, CR and CRLF line ends,
 * comments, multi-line data, a BOM, fields other than data and event ignored. Not shared.
 */
#ifndef AGW_NET_SSE_PARSE_H
#define AGW_NET_SSE_PARSE_H

#include <stddef.h>

#include "util/err.h"

struct sse_parser;

/* Non-zero stops the parser, which returns that value. `data` is NUL-terminated and valid
 * during the call; `event` is "message" when none was given. */
typedef int (*sse_event_fn)(void *arg, const char *event, const char *data, size_t length);

/* An event larger than `max_event` bytes is AGW_EUPSTREAM. */
struct sse_parser *sse_parse_new(size_t max_event, sse_event_fn fn, void *arg);
void sse_parse_free(struct sse_parser **parser);
int sse_parse_feed(struct sse_parser *parser, const char *bytes, size_t length, struct err *e);

#endif

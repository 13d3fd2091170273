/* SPDX-License-Identifier: MIT */
/* Incremental parser for text/event-stream (WHATWG HTML, 9.2.6): LF, CR and CRLF line ends,
 * comments, multi-line data, a BOM; fields that are not of the standard are ignored. Not shared.
 */
#ifndef AGW_NET_SSE_PARSE_H
#define AGW_NET_SSE_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct sse_parser;

/* Non-zero stops the parser, which returns that value. `data` is NUL-terminated and valid
 * during the call; `event` is "message" when none was given. */
typedef int (*sse_event_fn)(void *arg, const char *event, const char *data, size_t length);

/* An event larger than `max_event` bytes is AGW_EUPSTREAM. */
struct sse_parser *sse_parse_new(size_t max_event, sse_event_fn fn, void *arg);
void sse_parse_free(struct sse_parser **parser);
int sse_parse_feed(struct sse_parser *parser, const char *bytes, size_t length, struct err *e);

/* For who takes a broken stream up again: the id of the last event that came whole ("" = none;
 * longer ones than SSE_ID_MAX do not count), and how long the server asks to wait first, -1 =
 * it did not say. */
enum { SSE_ID_MAX = 255 };
const char *sse_parse_last_id(const struct sse_parser *parser);
int64_t sse_parse_retry_ms(const struct sse_parser *parser);

#endif

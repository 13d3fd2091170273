/* SPDX-License-Identifier: MIT */
/* What a model is told of an HTTP tool's answer. Any thread. */
#ifndef AGW_TOOLS_HTTP_ANSWER_H
#define AGW_TOOLS_HTTP_ANSWER_H

#include "net/http_client.h"
#include "tools/tool.h"

/* Bytes of a body that are read for a result of at most `max_result`. */
size_t http_answer_room(size_t max_result);

/* A whole head came, and `length` bytes of the body: all of it, or http_answer_room(). 2xx is a
 * result: JSON and text as they are (as UTF-8), anything else described. All other statuses are
 * failures, with the beginning of their text. `name` is the tool's. */
void http_answer_take(const char *name, const struct http_result *head, const char *body,
                      size_t length, size_t max_result, struct tool_result *result);

#endif

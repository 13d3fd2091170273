/* SPDX-License-Identifier: MIT */
/* Inside of upstream/: how the echo is made to call tools, for trying agents out. */
#ifndef AGW_UPSTREAM_ECHO_CALLS_H
#define AGW_UPSTREAM_ECHO_CALLS_H

#include <jansson.h>
#include <stdbool.h>

/* Whether `text`, the last message of a request, asks for calls: each line is
 *     call NAME ARGUMENTS
 * with the name of a function of the request's `tools`; and `tool_choice` is not "none". */
bool echo_calls_wanted(const json_t *body, const char *text);

/* The calls, as `tool_calls` of an assistant's message, with `prefix` in their ids. Arguments
 * are as they are written, "{}" when there are none. New reference, NULL when memory is out. */
json_t *echo_calls_make(const char *text, const char *prefix);

#endif

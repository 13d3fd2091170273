/* SPDX-License-Identifier: MIT */
/* Puts the arguments of a call into the request of an HTTP tool, so that a value stays where its
 * place is: it can end no path segment, query value or header, and name no other path. Any
 * thread.
 */
#ifndef AGW_TOOLS_HTTP_TEMPLATE_H
#define AGW_TOOLS_HTTP_TEMPLATE_H

#include <jansson.h>

#include "config/config.h"
#include "util/buf.h"

enum { HTTP_TEMPLATE_PROBLEM_SIZE = 256 };

/* All of these: 0; AGW_EINVALID with `problem`, a text for the model; AGW_ENOMEM. The arguments
 * are only read. */

/* The URL; for GET with the arguments that stand in no template as its query: texts, numbers
 * and booleans as they are, a list as one parameter an element, an object as JSON, null not at
 * all. */
int http_template_url(const struct config_tool *tool, const json_t *arguments, struct buf *url,
                      char problem[HTTP_TEMPLATE_PROBLEM_SIZE]);

/* "Name: value"; nothing when an argument in it was not given. */
int http_template_header(const struct config_header *header, const json_t *arguments,
                         struct buf *line, char problem[HTTP_TEMPLATE_PROBLEM_SIZE]);

/* JSON of the arguments that stand in no template. */
int http_template_body(const struct config_tool *tool, const json_t *arguments, struct buf *body,
                       char problem[HTTP_TEMPLATE_PROBLEM_SIZE]);

#endif

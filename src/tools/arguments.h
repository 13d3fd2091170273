/* SPDX-License-Identifier: MIT */
/* The JSON Schema of a tool's arguments, compiled once and then asked for each call. What a
 * schema may say is util/json_schema.h's business. Any thread.
 */
#ifndef AGW_TOOLS_ARGUMENTS_H
#define AGW_TOOLS_ARGUMENTS_H

#include <jansson.h>
#include <stddef.h>

#include "util/err.h"

struct arguments;

enum { ARGUMENTS_PROBLEM_SIZE = 600 };

/* `schema` (an object, of which a copy is kept) describes the arguments. A server's schema may
 * say more than we check: keywords that are not understood are passed over. AGW_EINVALID with
 * *e: it is no schema at all; AGW_ENOMEM. */
int arguments_compile(const json_t *schema, struct arguments **arguments, struct err *e);
void arguments_free(struct arguments **arguments);

/* Names the keywords that were passed over; NULL when there are none. */
const char *arguments_note(const struct arguments *arguments);

/* Parses what a model wrote ("" = no arguments) and checks it. 0 and *value, an object, with a
 * new reference; AGW_EINVALID with `problem` filled in, a text for the model that says where
 * (JSON pointer) and what is wrong; AGW_ENOMEM. */
int arguments_parse(const struct arguments *arguments, const char *text, size_t length,
                    json_t **value, char problem[ARGUMENTS_PROBLEM_SIZE]);

#endif

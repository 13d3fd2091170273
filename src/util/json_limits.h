/* SPDX-License-Identifier: MIT */
/* Parses untrusted JSON with bounded memory.
 *
 * jansson turns 10 MiB of `{},` into 773 MiB of tree, so depth and tokens are counted
 * before a tree is built; duplicate keys are refused (the last would win silently).
 * Any thread.
 */
#ifndef AGW_UTIL_JSON_LIMITS_H
#define AGW_UTIL_JSON_LIMITS_H

#include <jansson.h>
#include <stddef.h>

#include "util/err.h"

struct json_limits {
    int depth;     /* nested arrays and objects, e.g. 64 */
    size_t tokens; /* values and keys, e.g. 100,000 */
};

/* The gateway's limits for request bodies and upstream answers. */
extern const struct json_limits json_limits_default;

/* A new reference in *value; AGW_EINVALID with a public message that says line and
 * column, or AGW_ENOMEM. */
int json_limits_parse(const char *text, size_t length, const struct json_limits *limits,
                      json_t **value, struct err *e);

/* About how many bytes of memory it takes. */
size_t json_limits_weight(const json_t *value);

#endif

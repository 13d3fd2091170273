/* SPDX-License-Identifier: MIT */
/* Paths and queries of request targets, read strictly: one meaning or none. */
#ifndef AGW_HTTP_URI_H
#define AGW_HTTP_URI_H

#include <stddef.h>

#include "util/arena.h"
#include "util/err.h"

/* Splits a raw request target. *path is decoded once, *query raw ("" = none). AGW_EINVALID
 * for anything but an absolute path of RFC 3986 characters without ';': no other form of
 * target, no empty or dot segment, no encoded separator or control character, no broken
 * escape, no broken UTF-8. `path_max` is in decoded bytes.
 * Below the raw prefix `ids_below` (NULL = nowhere) "%2F" is a '/' inside an identifier: the
 * official OpenAI clients escape the ids that they put into a path. */
int uri_split(struct arena *arena, const char *target, const char *ids_below, size_t path_max,
              size_t query_max, const char **path, const char **query, struct err *e);

/* The first value of `name` in a query that uri_split() let pass, with '+' as a space. NULL:
 * absent (or out of memory). */
const char *uri_query_value(struct arena *arena, const char *query, const char *name);

#endif

/* SPDX-License-Identifier: MIT */
/* Reads ordinary JSON fast: what jansson's own reader does byte by byte, run by run.
 *
 * Whatever is not plainly in order (a syntax error, a duplicate key, a number out of range,
 * memory that is out) is not judged here but left to json_loadb(), which then says what is
 * wrong. What is accepted is what json_loadb() with JSON_REJECT_DUPLICATES accepts. The
 * caller has counted the depth: nesting recurses. Any thread.
 */
#ifndef AGW_UTIL_JSON_READ_H
#define AGW_UTIL_JSON_READ_H

#include <jansson.h>
#include <stddef.h>

/* A new reference to an object or array, or NULL: ask json_loadb(). */
json_t *json_read(const char *text, size_t length);

#endif

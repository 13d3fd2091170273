/* SPDX-License-Identifier: MIT */
/* Finds what "$ref": "#/..." means. Any thread. */
#ifndef AGW_UTIL_JSON_SCHEMA_PLACE_H
#define AGW_UTIL_JSON_SCHEMA_PLACE_H

#include <jansson.h>

/* The value at `fragment` of `root`: a JSON pointer (RFC 6901) as it stands in a URI, "" or "/a~1b%25";
 * borrowed. NULL: there is none, or the pointer is malformed. */
const json_t *json_schema_place_find(const json_t *root, const char *fragment);

#endif

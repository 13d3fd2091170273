/* SPDX-License-Identifier: MIT */
/* The one pattern matcher: fnmatch globs where `*` crosses `/`, no escapes, no EXTMATCH
 * (whose cost is unbounded). Case-sensitive, bytes. Any thread.
 */
#ifndef AGW_UTIL_GLOB_H
#define AGW_UTIL_GLOB_H

#include <stdbool.h>

enum { GLOB_MAX = 256 }; /* longest pattern and longest text, in bytes */

/* Longer patterns or texts never match. */
bool glob_match(const char *pattern, const char *text);

/* Why this pattern cannot be used (static text), or NULL when it can. */
const char *glob_problem(const char *pattern);

#endif

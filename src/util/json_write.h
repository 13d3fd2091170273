/* SPDX-License-Identifier: MIT */
/* Writes compact JSON fast, safe in one line of any protocol: no control characters, no
 * U+2028/9. Any thread.
 */
#ifndef AGW_UTIL_JSON_WRITE_H
#define AGW_UTIL_JSON_WRITE_H

#include <jansson.h>

#include "util/buf.h"

/* Appends `value`; reals with at most `precision` significant digits. -1: it is nested
 * absurdly deep, or the buffer is full or out of memory. */
int json_write(const json_t *value, int precision, struct buf *out);

#endif

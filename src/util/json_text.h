/* SPDX-License-Identifier: MIT */
/* Writes a text as a JSON string that is safe in a line of its own. Any thread. */
#ifndef AGW_UTIL_JSON_TEXT_H
#define AGW_UTIL_JSON_TEXT_H

#include <stddef.h>

/* Writes `length` bytes of `text` as the inside of a JSON string (no quotes) to `out`,
 * at most `room` bytes, no NUL. Control characters, DEL, U+2028/9, quote and backslash
 * are escaped; a byte that is not UTF-8 becomes U+FFFD. Stops before an escape that does
 * not fit. Returns the bytes written; *used = bytes of `text` consumed. */
size_t json_text_escape(char *out, size_t room, const char *text, size_t length, size_t *used);

/* Length of the UTF-8 sequence at `text` (1..4), 0 when it is malformed (overlong,
 * surrogate, cut, above U+10FFFF). */
size_t json_text_utf8(const char *text, size_t length);

/* Puts '?' in the place of bytes that are not UTF-8, as a cut leaves them ("%.64s"): a message
 * must not become unsayable in JSON. */
void json_text_repair(char *text);

#endif

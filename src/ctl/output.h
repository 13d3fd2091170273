/* SPDX-License-Identifier: MIT */
/* What agwctl prints. Whatever comes from files, database or command line goes through here:
 * control characters in it are shown, never sent, so no value can drive the terminal.
 */
#ifndef AGW_CTL_OUTPUT_H
#define AGW_CTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "util/buf.h"

enum output_style { STYLE_PLAIN, STYLE_BOLD, STYLE_GOOD, STYLE_WARNING, STYLE_BAD, STYLE_FAINT };

/* Whether a stream is a terminal that may have colours (not with NO_COLOR, TERM=dumb). */
bool output_may_colour(FILE *stream);

/* Appends `text` as it may be shown: control characters and those that turn the direction of
 * writing as \xNN or \u{N}, bytes that are not UTF-8 as \xNN. Returns its columns on a
 * terminal. At most `most` columns, then an ellipsis; 0 = all of it. */
size_t output_escape(struct buf *out, const char *text, size_t most);

/* One line of text, formatted and escaped as a whole, to standard output. */
void output_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with a style for the whole line, when `colour`. */
void output_styled(bool colour, enum output_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Any stream; each of several lines by itself. */
void output_text(FILE *stream, const char *text);

/* The escape sequence that begins a style; "" for STYLE_PLAIN. It ends with OUTPUT_RESET. */
const char *output_style_begin(enum output_style style);
#define OUTPUT_RESET "\033[0m"

/* A JSON string of any bytes: what is not UTF-8 becomes '?'. NULL becomes null. */
json_t *output_json_text(const char *text);

/* Prints a document (a reference is taken over) and an end of line. NULL: memory is out. -1
 * when it cannot be written. */
int output_json(json_t *document);
/* The same on one line, for streams of documents. */
int output_json_line(json_t *document);

#endif

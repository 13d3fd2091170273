/* SPDX-License-Identifier: MIT */
/* Makes any text harmless for a terminal, and prints it. */
#include "ctl/output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "util/json_text.h"

enum { LINE_MAX_BYTES = 16 << 20 };

bool output_may_colour(FILE *stream)
{
    const char *forbidden = getenv("NO_COLOR"), *term = getenv("TERM");

    return (forbidden == NULL || forbidden[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0 && isatty(fileno(stream)) == 1;
}

/* A well-formed sequence of `length` bytes. */
static unsigned decode(const char *text, size_t length)
{
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned point = (unsigned char)text[0] & first_bits[length];

    for (size_t i = 1; i < length; i++)
        point = point << 6 | ((unsigned char)text[i] & 0x3f);
    return point;
}

/* Besides control characters: what reorders or breaks the line that it stands in. */
static bool is_hostile(unsigned point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0xad ||
           point == 0x061c || (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) ||
           point == 0xfeff || (point >= 0xfff9 && point <= 0xfffb) ||
           (point >= 0xe0000 && point <= 0xe0fff);
}

/* How one character is shown; returns its columns. */
static size_t show(char shown[16], const char *text, size_t *used)
{
    size_t length = json_text_utf8(text, strlen(text));
    unsigned point;
    int width;

    *used = length == 0 ? 1 : length;
    if (length == 0)
        return (size_t)snprintf(shown, 16, "\\x%02x", (unsigned char)text[0]);
    point = decode(text, length);
    width = is_hostile(point) ? -1 : wcwidth((wchar_t)point);
    if (point == '\n' || point == '\t' || point == '\r')
        return (size_t)snprintf(shown, 16, "\\%c",
                                point == '\n' ? 'n' : point == '\t' ? 't' : 'r');
    if (width < 0)
        return (size_t)snprintf(shown, 16, point < 0x80 ? "\\x%02x" : "\\u{%x}", point);
    memcpy(shown, text, length);
    shown[length] = '\0';
    return (size_t)width;
}

size_t output_escape(struct buf *out, const char *text, size_t most)
{
    size_t columns = 0, fits_columns = 0, fits = out->length;
    char shown[16];

    while (*text != '\0') {
        size_t used, width = show(shown, text, &used);

        if (most != 0 && columns + width > most) {
            if (!out->failed)
                out->length = fits;
            buf_puts(out, "\xe2\x80\xa6");
            return fits_columns + 1;
        }
        buf_puts(out, shown);
        columns += width;
        text += used;
        if (columns < most) { /* an ellipsis would still fit */
            fits = out->length;
            fits_columns = columns;
        }
    }
    return columns;
}

const char *output_style_begin(enum output_style style)
{
    static const char *const sequences[] = {
        [STYLE_PLAIN] = "",         [STYLE_BOLD] = "\033[1m",      [STYLE_GOOD] = "\033[32m",
        [STYLE_WARNING] = "\033[33m", [STYLE_BAD] = "\033[1;31m", [STYLE_FAINT] = "\033[2m",
    };

    return sequences[style];
}

__attribute__((format(printf, 3, 0))) static void
print_line(bool colour, enum output_style style, const char *format, va_list args)
{
    struct buf line;
    char *text;

    if (vasprintf(&text, format, args) < 0)
        return;
    buf_init(&line, LINE_MAX_BYTES);
    output_escape(&line, text, 0);
    free(text);
    if (colour && style != STYLE_PLAIN)
        printf("%s%s" OUTPUT_RESET "\n", output_style_begin(style), buf_text(&line));
    else
        printf("%s\n", buf_text(&line));
    buf_free(&line);
}

void output_line(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_line(false, STYLE_PLAIN, format, args);
    va_end(args);
}

void output_styled(bool colour, enum output_style style, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_line(colour, style, format, args);
    va_end(args);
}

void output_text(FILE *stream, const char *text)
{
    struct buf line;

    buf_init(&line, LINE_MAX_BYTES);
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        char *copy = strndup(text, length);

        if (copy != NULL) {
            buf_reset(&line);
            output_escape(&line, copy, 0);
            fprintf(stream, "%s\n", buf_text(&line));
        }
        free(copy);
        text += length + (text[length] == '\n');
    }
    buf_free(&line);
}

json_t *output_json_text(const char *text)
{
    char *copy = text == NULL ? NULL : strdup(text);
    json_t *value;

    if (copy == NULL)
        return text == NULL ? json_null() : NULL;
    json_text_repair(copy);
    value = json_string(copy);
    free(copy);
    return value;
}

/* jansson leaves C1 controls and marks of direction as they are: written as escapes they are
 * harmless when a person looks at them, and mean the same. */
static int dump(json_t *document, size_t flags)
{
    int result;

    if (document == NULL) {
        fputs("agwctl: out of memory\n", stderr);
        return -1;
    }
    result = json_dumpf(document, stdout,
                        flags | (isatty(STDOUT_FILENO) == 1 ? JSON_ENSURE_ASCII : 0));
    json_decref(document);
    putchar('\n');
    return result;
}

int output_json(json_t *document)
{
    return dump(document, JSON_INDENT(2));
}

int output_json_line(json_t *document)
{
    return dump(document, JSON_COMPACT);
}

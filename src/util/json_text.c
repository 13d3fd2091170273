/* SPDX-License-Identifier: MIT */
/* Makes any bytes harmless inside a JSON string. */
#include "util/json_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool continues(const char *text, size_t length, size_t at)
{
    return at < length && ((unsigned char)text[at] & 0xC0) == 0x80;
}

size_t json_text_utf8(const char *text, size_t length)
{
    unsigned char first, second;

    if (length == 0)
        return 0;
    first = (unsigned char)text[0];
    second = length > 1 ? (unsigned char)text[1] : 0;
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return continues(text, length, 1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F))
            return 0;
        return continues(text, length, 1) && continues(text, length, 2) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
            return 0;
        return continues(text, length, 1) && continues(text, length, 2) &&
                       continues(text, length, 3)
                   ? 4
                   : 0;
    }
    return 0;
}

/* The escape of the sequence of `size` bytes at `text`, or NULL when it may stand as it is. */
static const char *escape_of(const char *text, size_t size, char scratch[8])
{
    unsigned char c = (unsigned char)text[0];

    if (size == 0)
        return "\xEF\xBF\xBD";
    if (size == 3 && c == 0xE2 && (unsigned char)text[1] == 0x80 &&
        ((unsigned char)text[2] == 0xA8 || (unsigned char)text[2] == 0xA9))
        return (unsigned char)text[2] == 0xA8 ? "\\u2028" : "\\u2029";
    if (size > 1)
        return NULL;
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    }
    if (c >= 0x20 && c != 0x7F)
        return NULL;
    snprintf(scratch, 8, "\\u%04x", c);
    return scratch;
}

/* How many of the first bytes stand for themselves. */
static size_t plain_length(const char *text, size_t length)
{
    size_t n = 0;

    while (n < length && (unsigned char)text[n] >= 0x20 && (unsigned char)text[n] < 0x7f &&
           text[n] != '"' && text[n] != '\\')
        n++;
    return n;
}

size_t json_text_escape(char *out, size_t room, const char *text, size_t length, size_t *used)
{
    size_t written = 0, at = 0;
    char scratch[8];

    while (at < length) {
        size_t plain = plain_length(text + at, length - at), size;
        const char *escaped, *piece;
        size_t piece_length;

        if (plain > 0) {
            plain = plain < room - written ? plain : room - written;
            if (plain == 0)
                break;
            memcpy(out + written, text + at, plain);
            written += plain;
            at += plain;
            continue;
        }
        size = json_text_utf8(text + at, length - at);
        escaped = escape_of(text + at, size, scratch);
        piece = escaped != NULL ? escaped : text + at;
        piece_length = escaped != NULL ? strlen(escaped) : size;

        if (piece_length > room - written)
            break;
        memcpy(out + written, piece, piece_length);
        written += piece_length;
        at += size == 0 ? 1 : size;
    }
    *used = at;
    return written;
}

void json_text_repair(char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t size = json_text_utf8(text, left);

        if (size == 0) {
            *text = '?';
            size = 1;
        }
        text += size;
        left -= size;
    }
}

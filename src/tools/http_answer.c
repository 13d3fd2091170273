/* SPDX-License-Identifier: MIT */
/* Makes an HTTP answer into a text for a model. */
#include "tools/http_answer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/json_text.h"

enum {
    EXCERPT_MAX = 1000,
    SNIFF = 1024,
    SLACK = 4,  /* the rest of a character that is cut */
    WIDEST = 3  /* bytes in UTF-8 of one of a single-byte charset */
};

size_t http_answer_room(size_t max_result)
{
    return (max_result > EXCERPT_MAX ? max_result : EXCERPT_MAX) + SLACK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static bool looks_like_text(const char *body, size_t length)
{
    size_t seen = length < SNIFF ? length : SNIFF;

    for (size_t at = 0; at < seen;) {
        size_t step = json_text_utf8(body + at, length - at);

        if (step == 0 || (step == 1 && (unsigned char)body[at] < 0x20 &&
                          strchr("\t\n\r\f\x1b", body[at]) == NULL) || body[at] == '\0')
            return false;
        at += step;
    }
    return true;
}

static bool is_text(const struct http_result *head, const char *body, size_t length)
{
    static const char *const types[] = {
        "application/json", "application/xml", "application/javascript", "application/yaml",
        "application/x-yaml", "application/x-ndjson", "application/x-www-form-urlencoded",
        "application/toml", "application/sql", "application/graphql"};
    const char *type = head->content_type;

    if (head->encoded)
        return false;
    if (type[0] == '\0')
        return looks_like_text(body, length);
    if (strncmp(type, "text/", 5) == 0 || ends_with(type, "+json") || ends_with(type, "+xml"))
        return true;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

/* The names of ISO 8859-1 stand for windows-1252, its superset, on the Web (WHATWG Encoding,
 * 4.2). Only these are converted, and not by the C library: it would load one of its many
 * converters, some of which have had holes, into the gateway. */
static bool is_latin(const char *charset)
{
    static const char *const names[] = {"iso-8859-1", "iso8859-1", "latin1", "windows-1252",
                                        "cp1252"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(charset, names[i]) == 0)
            return true;
    return false;
}

/* `room` has WIDEST bytes for each. Returns how many it became. */
static size_t from_latin(const char *body, size_t length, char *room)
{
    static const uint16_t high[] = { /* 0x80 to 0x9f */
        0x20ac, '?', 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
        0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, '?', 0x017d, '?',
        '?', 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
        0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, '?', 0x017e, 0x0178};
    char *out = room;

    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)body[i];
        unsigned c = byte >= 0x80 && byte < 0xa0 ? high[byte - 0x80] : byte;

        if (c >= 0x800) {
            *out++ = (char)(0xe0 | c >> 12);
            *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        } else if (c >= 0x80) {
            *out++ = (char)(0xc0 | c >> 6);
        }
        *out++ = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    return (size_t)(out - room);
}

static void put_text(const struct http_result *head, const char *body, size_t length, size_t max,
                     struct tool_result *result)
{
    char *room = is_latin(head->charset) ? malloc(length * WIDEST + 1) : NULL;

    if (room != NULL) {
        length = from_latin(body, length, room);
        body = room;
    } else if (length >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
        body += 3;
        length -= 3;
    }
    tool_result_put(result, TOOL_OK, body, length, max);
    free(room);
}

static void say_binary(const struct http_result *head, size_t length, bool whole,
                       struct tool_result *result)
{
    tool_result_say(result, TOOL_OK, "(The answer is %s%zu bytes of %s%s, which is no text.)",
                    whole ? "" : "more than ", length,
                    head->content_type[0] == '\0' ? "an unknown type" : head->content_type,
                    head->encoded ? ", compressed though nobody asked for that" : "");
}

static void say_failure(const char *name, const struct http_result *head, const char *body,
                        size_t length, struct tool_result *result)
{
    struct tool_result text = {0};
    const char *excerpt;

    if (length > 0 && is_text(head, body, length))
        put_text(head, body, length, EXCERPT_MAX, &text);
    excerpt = text.content == NULL ? "" : text.content + strspn(text.content, " \t\r\n");
    if (head->status < 400)
        tool_result_say(result, TOOL_FAILED,
                        "The tool '%s' failed: its server answered with the redirect %d, which "
                        "is not followed.", name, head->status);
    else
        tool_result_say(result, TOOL_FAILED, "The tool '%s' failed: HTTP status %d%s%s%s", name,
                        head->status, *excerpt == '\0' ? "." : ": ", excerpt,
                        text.truncated ? " ..." : "");
    tool_result_clear(&text);
}

void http_answer_take(const char *name, const struct http_result *head, const char *body,
                      size_t length, size_t max_result, struct tool_result *result)
{
    if (head->status < 200 || head->status > 299)
        say_failure(name, head, body, length, result);
    else if (length == 0)
        tool_result_say(result, TOOL_OK, "(Done: HTTP status %d, without content.)",
                        head->status);
    else if (is_text(head, body, length))
        put_text(head, body, length, max_result, result);
    else
        say_binary(head, length, length < http_answer_room(max_result), result);
}

/* SPDX-License-Identifier: MIT */
/* Puts arguments where the configuration wants them, and nowhere else. */
#include "tools/http_template.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "util/err.h"
#include "util/json_text.h"
#include "util/template.h"

enum { NUMBER_SIZE = 64, NAME_SHOWN = 100 };

/* A value as a text: a string itself, else written to `room`. NULL: it is none. */
static const char *scalar_text(const json_t *value, char room[NUMBER_SIZE], size_t *length)
{
    if (json_is_string(value)) {
        *length = json_string_length(value);
        return json_string_value(value);
    }
    if (!json_is_number(value) && !json_is_boolean(value))
        return NULL;
    *length = json_dumpb(value, room, NUMBER_SIZE,
                         JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    return *length > 0 && *length < NUMBER_SIZE ? room : NULL;
}

static void encode(struct buf *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x80 && (isalnum(c) || (c != '\0' && strchr("-._~", c) != NULL)))
            buf_append(out, text + i, 1);
        else
            buf_printf(out, "%%%02X", c);
    }
}

static bool has_control(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return true;
    return false;
}

/* "." or "..", also where the dots are encoded. */
static bool is_dots(const char *text, size_t length)
{
    size_t dots = 0;

    while (length > 0) {
        size_t step = text[0] == '.'                                      ? 1
                      : length >= 3 && strncasecmp(text, "%2e", 3) == 0 ? 3
                                                                          : 0;

        if (step == 0)
            return false;
        dots++;
        text += step;
        length -= step;
    }
    return dots == 1 || dots == 2;
}

/* Servers are not at one on what is a separator once it is decoded. */
static bool climbs(const char *text, size_t length)
{
    for (size_t at = 0; at <= length;) {
        size_t end = at;

        while (end < length && strchr("/\\;", text[end]) == NULL)
            end++;
        if (is_dots(text + at, end - at))
            return true;
        at = end + 1;
    }
    return false;
}

static const json_t *find(const json_t *arguments, const struct template_piece *piece)
{
    return json_object_getn(arguments, piece->text, piece->length);
}

static int complain(char problem[HTTP_TEMPLATE_PROBLEM_SIZE], const char *name, size_t length,
                    const char *what)
{
    snprintf(problem, HTTP_TEMPLATE_PROBLEM_SIZE, "The argument '%.*s' %s.",
             (int)(length < NAME_SHOWN ? length : NAME_SHOWN), name, what);
    json_text_repair(problem);
    return AGW_EINVALID;
}

/* One text with its values, up to `end`. *filled: a value stands in it. */
static int expand(const char *at, const char *end, const json_t *arguments, bool is_path,
                  struct buf *out, bool *filled, char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    struct template_piece piece;

    while (template_next(&at, end, &piece)) {
        char room[NUMBER_SIZE];
        size_t length = 0;
        const char *text;

        if (!piece.is_name) {
            buf_append(out, piece.text, piece.length);
            continue;
        }
        *filled = true;
        text = scalar_text(find(arguments, &piece), room, &length);
        if (text == NULL)
            return complain(problem, piece.text, piece.length,
                            "must be a text, a number or a boolean");
        if (is_path && has_control(text, length))
            return complain(problem, piece.text, piece.length,
                            "must not have control characters");
        if (is_path && climbs(text, length))
            return complain(problem, piece.text, piece.length,
                            "must not have '.' or '..' as a part of a path");
        encode(out, text, length);
    }
    return 0;
}

/* A segment keeps being one: neither empty nor a step elsewhere. */
static int expand_path(const char *at, const char *end, const json_t *arguments, struct buf *url,
                       char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    while (at < end) {
        const char *stop = memchr(at + 1, '/', (size_t)(end - at - 1));
        size_t before = url->length + 1; /* at is a '/' */
        bool filled = false;
        int code;

        if (stop == NULL)
            stop = end;
        code = expand(at, stop, arguments, true, url, &filled, problem);
        if (code != 0)
            return code;
        if (filled && !url->failed &&
            (url->length == before || is_dots(url->data + before, url->length - before))) {
            snprintf(problem, HTTP_TEMPLATE_PROBLEM_SIZE,
                     "The arguments must not make '%.*s' empty, '.' or '..'.",
                     (int)(stop - at < NAME_SHOWN ? stop - at : NAME_SHOWN), at);
            return AGW_EINVALID;
        }
        at = stop;
    }
    return 0;
}

/* ---- what stands in no template ---- */

static bool is_placed(const struct config_tool *tool, const char *name)
{
    if (template_names(tool->url, name))
        return true;
    for (size_t i = 0; i < tool->header_count; i++)
        if (!tool->headers[i].expanded && template_names(tool->headers[i].value, name))
            return true;
    return false;
}

static int add_piece(const char *piece, size_t length, void *out)
{
    return buf_append(out, piece, length);
}

static void add_json(struct buf *out, const json_t *value)
{
    if (json_dump_callback(value, add_piece, out,
                           JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15)) != 0)
        out->failed = true;
}

static void add_parameter(struct buf *url, const char *name, const json_t *value)
{
    char room[NUMBER_SIZE];
    size_t length;
    const char *text = scalar_text(value, room, &length);
    struct buf json;

    if (json_is_null(value))
        return;
    buf_puts(url, strchr(buf_text(url), '?') == NULL ? "?" : "&");
    encode(url, name, strlen(name));
    buf_puts(url, "=");
    if (text != NULL) {
        encode(url, text, length);
        return;
    }
    buf_init(&json, url->max);
    add_json(&json, value);
    encode(url, buf_text(&json), json.length);
    url->failed = url->failed || json.failed;
    buf_free(&json);
}

static void add_query(const struct config_tool *tool, const json_t *arguments, struct buf *url)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)arguments, name, value)
    {
        json_t *element;
        size_t i;

        if (is_placed(tool, name))
            continue;
        if (!json_is_array(value))
            add_parameter(url, name, value);
        else
            json_array_foreach(value, i, element) add_parameter(url, name, element);
    }
}

static int too_long(const struct buf *b, const char *what,
                    char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    if (!b->failed)
        return 0;
    snprintf(problem, HTTP_TEMPLATE_PROBLEM_SIZE,
             "The arguments are too much: %s may have %zu bytes.", what, b->max);
    return AGW_EINVALID;
}

int http_template_url(const struct config_tool *tool, const json_t *arguments, struct buf *url,
                      char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    const char *host = strstr(tool->url, "://");
    const char *path = host == NULL ? tool->url : host + 3 + strcspn(host + 3, "/?");
    const char *query = path + strcspn(path, "?");
    bool filled = false;
    int code;

    buf_append(url, tool->url, (size_t)(path - tool->url));
    code = expand_path(path, query, arguments, url, problem);
    if (code == 0)
        code = expand(query, NULL, arguments, false, url, &filled, problem);
    if (code == 0 && strcmp(tool->method, "GET") == 0)
        add_query(tool, arguments, url);
    return code != 0 ? code : too_long(url, "the URL", problem);
}

int http_template_header(const struct config_header *header, const json_t *arguments,
                         struct buf *line, char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    const char *at = header->value;
    struct template_piece piece;

    buf_printf(line, "%s: ", header->name);
    while (!header->expanded && template_next(&at, NULL, &piece)) {
        const json_t *value = piece.is_name ? find(arguments, &piece) : NULL;
        char room[NUMBER_SIZE];
        size_t length = piece.length;
        const char *text = piece.is_name ? scalar_text(value, room, &length) : piece.text;

        if (piece.is_name && (value == NULL || json_is_null(value))) {
            buf_reset(line);
            return 0;
        }
        if (text == NULL)
            return complain(problem, piece.text, piece.length,
                            "must be a text, a number or a boolean");
        if (piece.is_name && has_control(text, length))
            return complain(problem, piece.text, piece.length,
                            "must not have line ends or control characters");
        buf_append(line, text, length);
    }
    if (header->expanded)
        buf_puts(line, header->value);
    return too_long(line, "a header", problem);
}

int http_template_body(const struct config_tool *tool, const json_t *arguments, struct buf *body,
                       char problem[HTTP_TEMPLATE_PROBLEM_SIZE])
{
    const char *name;
    json_t *value;
    const char *before = "{";

    json_object_foreach((json_t *)(uintptr_t)arguments, name, value)
    {
        char escaped[256];
        size_t left = strlen(name), used;

        if (is_placed(tool, name))
            continue;
        buf_printf(body, "%s\"", before);
        for (const char *at = name; left > 0; at += used, left -= used)
            buf_append(body, escaped,
                       json_text_escape(escaped, sizeof escaped, at, left, &used));
        buf_puts(body, "\":");
        add_json(body, value);
        before = ",";
    }
    buf_puts(body, before[0] == '{' ? "{}" : "}");
    return too_long(body, "the body", problem);
}

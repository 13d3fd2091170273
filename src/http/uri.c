/* SPDX-License-Identifier: MIT */
/* Decides which request targets have exactly one meaning. */
#include "http/uri.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "util/json_text.h"
#include "util/sha.h"

static bool is_control(int c)
{
    return c < 0x20 || c == 0x7f;
}

/* RFC 3986 pchar and '/', less ';': servers disagree on path parameters. */
static bool is_path_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("/-._~!$&'()*+,=:@", c) != NULL);
}

static bool is_utf8(const char *text, size_t length)
{
    for (size_t i = 0, n; i < length; i += n) {
        n = json_text_utf8(text + i, length - i);
        if (n == 0)
            return false;
    }
    return true;
}

/* Decodes `length` bytes at `raw` into `out` (room for as many); -1 or the decoded length.
 * From `ids_at` on an encoded '/' is allowed. */
static long decode_path(const char *raw, size_t length, size_t ids_at, char *out,
                        const char **problem)
{
    long n = 0;

    for (size_t i = 0; i < length; i++) {
        int c = (unsigned char)raw[i];

        if (c == '%') {
            const char *separators = i < ids_at ? "/\\;?#" : "\\;?#";

            c = length - i > 2 ? sha_unhex_byte(raw + i + 1) : -1;
            i += 2;
            if (c < 0 || is_control(c) || strchr(separators, c) != NULL) {
                *problem = c < 0 ? "has a broken escape" : "has an encoded separator";
                return -1;
            }
        } else if (!is_path_char((char)c)) {
            *problem = "has a character that is not allowed";
            return -1;
        }
        out[n++] = (char)c;
    }
    return n;
}

/* Empty ("//") and dot segments, in what is already decoded. One '/' at the end is fine. */
static bool has_odd_segment(const char *path)
{
    while (*path == '/') {
        const char *segment = path + 1;
        size_t length = strcspn(segment, "/");

        path = segment + length;
        if ((length == 0 && *path == '/') || (length == 1 && segment[0] == '.') ||
            (length == 2 && segment[0] == '.' && segment[1] == '.'))
            return true;
    }
    return false;
}

static bool query_is_fine(const char *query)
{
    for (const char *p = query; *p != '\0'; p++) {
        int c = (unsigned char)*p;

        if (c <= 0x20 || c >= 0x7f || c == '#')
            return false;
        if (c == '%') {
            c = sha_unhex_byte(p + 1);
            if (c < 0 || is_control(c))
                return false;
            p += 2;
        }
    }
    return true;
}

int uri_split(struct arena *arena, const char *target, const char *ids_below, size_t path_max,
              size_t query_max, const char **path, const char **query, struct err *e)
{
    size_t length = strcspn(target, "?"), ids_at = SIZE_MAX;
    const char *problem = NULL, *rest = target[length] == '?' ? target + length + 1 : "";
    char *decoded;
    long n;

    if (target[0] != '/')
        return err_set_public(e, AGW_EINVALID, NULL, "The request target is not a path.");
    if (length > 3 * path_max || strlen(rest) > query_max)
        return err_set_public(e, AGW_EINVALID, NULL, "The request target is too long.");
    decoded = arena_alloc(arena, length + 1);
    if (decoded == NULL)
        return err_set(e, AGW_ENOMEM, "no memory for a path");
    if (ids_below != NULL && strncmp(target, ids_below, strlen(ids_below)) == 0)
        ids_at = strlen(ids_below);
    n = decode_path(target, length, ids_at, decoded, &problem);
    if (n >= 0 && (size_t)n > path_max)
        problem = "is too long";
    else if (n >= 0 && has_odd_segment(decoded))
        problem = "has an empty or a dot segment";
    else if (n >= 0 && !is_utf8(decoded, (size_t)n))
        problem = "is not UTF-8";
    if (problem != NULL)
        return err_set_public(e, AGW_EINVALID, NULL, "The path %s.", problem);
    if (!query_is_fine(rest))
        return err_set_public(e, AGW_EINVALID, NULL,
                              "The query has a broken escape or a character that is not "
                              "allowed.");
    *path = decoded;
    *query = rest;
    return 0;
}

/* The length of the decoded pair element at `p`, which ends before any of `stops`. */
static size_t decode_element(const char **p, const char *stops, char *out)
{
    size_t n = 0;

    while (**p != '\0' && strchr(stops, **p) == NULL) {
        if (**p == '%') {
            out[n++] = (char)sha_unhex_byte(*p + 1);
            *p += 3;
        } else {
            out[n++] = (char)(**p == '+' ? ' ' : **p);
            (*p)++;
        }
    }
    out[n] = '\0';
    return n;
}

const char *uri_query_value(struct arena *arena, const char *query, const char *name)
{
    char *text = arena_alloc(arena, strlen(query) + 1);

    if (text == NULL)
        return NULL;
    for (const char *p = query; *p != '\0';) {
        size_t n = decode_element(&p, "=&", text);
        bool found = n == strlen(name) && memcmp(text, name, n) == 0;

        if (*p == '=')
            p++;
        decode_element(&p, "&", text);
        if (found)
            return text;
        if (*p == '&')
            p++;
    }
    return NULL;
}

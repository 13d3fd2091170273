/* SPDX-License-Identifier: MIT */
/* Spells JSON trees. */
#include "util/json_write.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK = 1024, DEPTH_MAX = 2048, REAL_MAX = 64 };

/* Small pieces are gathered before the buffer is troubled. */
struct writer {
    struct buf *out;
    size_t used;
    int precision, depth;
    bool failed;
    char chunk[CHUNK];
};

static void flush(struct writer *w)
{
    if (buf_append(w->out, w->chunk, w->used) != 0)
        w->failed = true;
    w->used = 0;
}

static inline void put(struct writer *w, const char *bytes, size_t length)
{
    if (length > CHUNK - w->used) {
        flush(w);
        if (length > CHUNK) {
            if (buf_append(w->out, bytes, length) != 0)
                w->failed = true;
            return;
        }
    }
    memcpy(w->chunk + w->used, bytes, length);
    w->used += length;
}

static void put_escape(struct writer *w, unsigned char c)
{
    static const char letters[] = "btn\0fr"; /* of \b to \r; \v has none */
    char text[8];
    int n;

    if (c == '"' || c == '\\')
        n = snprintf(text, sizeof text, "\\%c", c);
    else if (c >= '\b' && c <= '\r' && letters[c - '\b'] != '\0')
        n = snprintf(text, sizeof text, "\\%c", letters[c - '\b']);
    else
        n = snprintf(text, sizeof text, "\\u%04X", c);
    put(w, text, (size_t)n);
}

/* Strings of a tree are valid UTF-8, so the first three bytes tell these two characters. */
static bool is_separator(const char *text, size_t left)
{
    return left >= 3 && text[1] == '\x80' && (text[2] & '\xfe') == '\xa8';
}

static void put_string(struct writer *w, const char *text, size_t length)
{
    size_t from = 0;

    put(w, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool separator = c == 0xe2 && is_separator(text + i, length - i);

        if (c >= 0x20 && c != '"' && c != '\\' && !separator)
            continue;
        put(w, text + from, i - from);
        if (separator) {
            put(w, text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029", 6);
            i += 2;
        } else {
            put_escape(w, c);
        }
        from = i + 1;
    }
    put(w, text + from, length - from);
    put(w, "\"", 1);
}

/* Seldom, so jansson's spelling is taken as it is. */
static void put_real(struct writer *w, const json_t *value)
{
    char text[REAL_MAX];
    size_t n = json_dumpb(value, text, sizeof text,
                          JSON_ENCODE_ANY | JSON_REAL_PRECISION(w->precision));

    if (n == 0 || n > sizeof text)
        w->failed = true;
    else
        put(w, text, n);
}

static void put_integer(struct writer *w, json_int_t number)
{
    unsigned long long rest = number < 0 ? 0 - (unsigned long long)number
                                         : (unsigned long long)number;
    char digits[24];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        digits[--at] = '-';
    put(w, digits + at, sizeof digits - at);
}

static void put_value(struct writer *w, const json_t *value);

static void put_object(struct writer *w, json_t *object)
{
    const char *comma = "{";

    if (json_object_size(object) == 0)
        put(w, "{", 1);
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        put(w, comma, 1);
        comma = ",";
        put_string(w, json_object_iter_key(i), json_object_iter_key_len(i));
        put(w, ":", 1);
        put_value(w, json_object_iter_value(i));
    }
    put(w, "}", 1);
}

static void put_array(struct writer *w, const json_t *array)
{
    size_t count = json_array_size(array);

    put(w, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put(w, ",", 1);
        put_value(w, json_array_get(array, i));
    }
    put(w, "]", 1);
}

static void put_value(struct writer *w, const json_t *value)
{
    if (value == NULL || w->depth++ > DEPTH_MAX) {
        w->failed = true;
        return;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_object(w, (json_t *)value);
        break;
    case JSON_ARRAY:
        put_array(w, value);
        break;
    case JSON_STRING:
        put_string(w, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        put_integer(w, json_integer_value(value));
        break;
    case JSON_REAL:
        put_real(w, value);
        break;
    case JSON_TRUE:
        put(w, "true", 4);
        break;
    case JSON_FALSE:
        put(w, "false", 5);
        break;
    case JSON_NULL:
        put(w, "null", 4);
        break;
    }
    w->depth--;
}

int json_write(const json_t *value, int precision, struct buf *out)
{
    struct writer w __attribute__((uninitialized)); /* every byte is written before it is read */

    w.out = out;
    w.used = 0;
    w.precision = precision;
    w.depth = 0;
    w.failed = false;
    put_value(&w, value);
    flush(&w);
    return w.failed ? -1 : 0;
}

/* SPDX-License-Identifier: MIT */
/* Builds trees from JSON that needs no explanations. */
#include "util/json_read.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/json_text.h"

enum { NUMBER_MAX = 63, DIGITS_MAX = 18 /* fit in 64 bits whatever they are */ };

struct reader {
    const char *at, *end;
};

/* One string: its bytes lie in the text, or decoded in `own`. */
struct string {
    const char *bytes;
    size_t length;
    char *own;
};

static json_t *read_value(struct reader *r);

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* Past valid characters that stand for themselves; false at a byte that may not occur. */
static bool skip_plain(struct reader *r)
{
    while (r->at < r->end) {
        unsigned char c = (unsigned char)*r->at;
        size_t size;

        if (c == '"' || c == '\\')
            return true;
        if (c < 0x20)
            return false;
        if (c < 0x80) {
            r->at++;
            continue;
        }
        size = json_text_utf8(r->at, (size_t)(r->end - r->at));
        if (size == 0)
            return false;
        r->at += size;
    }
    return false;
}

/* Four hex digits, or -1. */
static int hex4(const struct reader *r, const char *at)
{
    int value = 0;

    if (r->end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* After "\u". NUL and surrogates that are no pair are none of ours. */
static char *read_unicode(struct reader *r, char *out)
{
    int c = hex4(r, r->at), low;

    if (c <= 0 || (c >= 0xdc00 && c <= 0xdfff))
        return NULL;
    r->at += 4;
    if (c < 0xd800 || c > 0xdbff)
        return put_utf8(out, (uint32_t)c);
    if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
        return NULL;
    low = hex4(r, r->at + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return NULL;
    r->at += 6;
    return put_utf8(out, 0x10000 + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
}

/* After the backslash; where the output goes on, or NULL. */
static char *read_escape(struct reader *r, char *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found;
    char c;

    if (r->at == r->end)
        return NULL;
    c = *r->at++;
    if (c == 'u')
        return read_unicode(r, out);
    found = c == '\0' ? NULL : strchr(names, c);
    if (found == NULL)
        return NULL;
    *out++ = values[found - names];
    return out;
}

/* From the first backslash on; no escape is shorter than what it stands for. */
static bool decode(struct reader *r, const char *start, struct string *s)
{
    const char *close = r->at;
    char *out;

    while (close < r->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    if (close >= r->end)
        return false;
    s->own = malloc((size_t)(close - start) + 1);
    if (s->own == NULL)
        return false;
    out = s->own;
    r->at = start;
    for (;;) {
        const char *from = r->at;

        if (!skip_plain(r))
            return false;
        memcpy(out, from, (size_t)(r->at - from));
        out += r->at - from;
        if (*r->at++ == '"')
            break;
        out = read_escape(r, out);
        if (out == NULL)
            return false;
    }
    s->bytes = s->own;
    s->length = (size_t)(out - s->own);
    return true;
}

/* After the opening quote. s->own is to be freed in any case. */
static bool read_string(struct reader *r, struct string *s)
{
    const char *start = r->at;

    s->own = NULL;
    if (!skip_plain(r))
        return false;
    if (*r->at == '\\')
        return decode(r, start, s);
    s->bytes = start;
    s->length = (size_t)(r->at - start);
    r->at++;
    return true;
}

static bool skip_digits(struct reader *r)
{
    const char *start = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > start;
}

static json_t *real(const char *start, size_t length)
{
    char text[NUMBER_MAX + 1];
    double value;

    if (length > NUMBER_MAX)
        return NULL;
    memcpy(text, start, length);
    text[length] = '\0';
    value = strtod(text, NULL);
    return isfinite(value) ? json_real(value) : NULL;
}

static json_t *read_number(struct reader *r)
{
    const char *start = r->at, *digits;
    bool negative = *r->at == '-', whole = true;
    json_int_t value = 0;

    r->at += negative;
    digits = r->at;
    if (!skip_digits(r) || (*digits == '0' && r->at - digits > 1))
        return NULL;
    if (r->at < r->end && *r->at == '.') {
        whole = false;
        r->at++;
        if (!skip_digits(r))
            return NULL;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        whole = false;
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (!skip_digits(r))
            return NULL;
    }
    if (!whole)
        return real(start, (size_t)(r->at - start));
    if (r->at - digits > DIGITS_MAX)
        return NULL;
    for (; digits < r->at; digits++)
        value = value * 10 + (*digits - '0');
    return json_integer(negative ? -value : value);
}

static json_t *read_array(struct reader *r)
{
    json_t *array = json_array();

    if (array == NULL || take(r, ']'))
        return array;
    do
        if (json_array_append_new(array, read_value(r)) != 0)
            goto fail;
    while (take(r, ','));
    if (take(r, ']'))
        return array;
fail:
    json_decref(array);
    return NULL;
}

/* One "key": value; false also when the key is there already. */
static bool read_member(struct reader *r, json_t *object)
{
    struct string key;
    bool fine = take(r, '"');

    if (!fine)
        return false;
    fine = read_string(r, &key) && take(r, ':') &&
           json_object_getn(object, key.bytes, key.length) == NULL &&
           json_object_setn_new_nocheck(object, key.bytes, key.length, read_value(r)) == 0;
    free(key.own);
    return fine;
}

static json_t *read_object(struct reader *r)
{
    json_t *object = json_object();

    if (object == NULL || take(r, '}'))
        return object;
    do
        if (!read_member(r, object))
            goto fail;
    while (take(r, ','));
    if (take(r, '}'))
        return object;
fail:
    json_decref(object);
    return NULL;
}

static json_t *read_text(struct reader *r)
{
    struct string s;
    json_t *value = read_string(r, &s) ? json_stringn_nocheck(s.bytes, s.length) : NULL;

    free(s.own);
    return value;
}

static bool take_word(struct reader *r, const char *word, size_t length)
{
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

static json_t *read_value(struct reader *r)
{
    skip_blanks(r);
    if (r->at == r->end)
        return NULL;
    switch (*r->at) {
    case '{':
        r->at++;
        return read_object(r);
    case '[':
        r->at++;
        return read_array(r);
    case '"':
        r->at++;
        return read_text(r);
    case 't':
        return take_word(r, "true", 4) ? json_true() : NULL;
    case 'f':
        return take_word(r, "false", 5) ? json_false() : NULL;
    case 'n':
        return take_word(r, "null", 4) ? json_null() : NULL;
    default:
        return *r->at == '-' || (*r->at >= '0' && *r->at <= '9') ? read_number(r) : NULL;
    }
}

json_t *json_read(const char *text, size_t length)
{
    struct reader r = {.at = text, .end = text + length};
    json_t *value;

    skip_blanks(&r);
    if (r.at == r.end || (*r.at != '{' && *r.at != '['))
        return NULL;
    value = read_value(&r);
    skip_blanks(&r);
    if (r.at == r.end)
        return value;
    json_decref(value);
    return NULL;
}

/* SPDX-License-Identifier: MIT */
/* Cuts a byte stream into server-sent events. */
#include "net/sse_parse.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"

enum {
    EVENT_NAME_MAX = 64,
    RETRY_DIGITS_MAX = 9,
    KEEP_CAPACITY = 8192 /* a larger buffer is given back after its event */
};

struct sse_parser {
    size_t max_event;
    sse_event_fn fn;
    void *arg;
    struct buf line;   /* a line whose end has not come yet */
    struct buf data;   /* the event's data lines, each followed by LF */
    char event[EVENT_NAME_MAX];
    char id[SSE_ID_MAX + 1];      /* as the fields so far say */
    char last_id[SSE_ID_MAX + 1]; /* as it was at the end of the last event */
    int64_t retry_ms;
    bool after_cr;     /* the last byte was CR: an LF now belongs to it */
    bool started;      /* the first line was seen, a BOM may not follow any more */
};

struct sse_parser *sse_parse_new(size_t max_event, sse_event_fn fn, void *arg)
{
    struct sse_parser *parser = calloc(1, sizeof *parser);

    if (parser == NULL)
        return NULL;
    parser->max_event = max_event;
    parser->fn = fn;
    parser->arg = arg;
    parser->retry_ms = -1;
    /* One byte more for the LF that ends the last data line. */
    buf_init(&parser->line, max_event + 8);
    buf_init(&parser->data, max_event + 1);
    return parser;
}

void sse_parse_free(struct sse_parser **parser)
{
    if (*parser == NULL)
        return;
    buf_free(&(*parser)->line);
    buf_free(&(*parser)->data);
    free(*parser);
    *parser = NULL;
}

static int too_large(const struct sse_parser *parser, struct err *e)
{
    return err_set(e, AGW_EUPSTREAM, "an event exceeds %zu bytes", parser->max_event);
}

static void empty(struct buf *b)
{
    if (b->capacity > KEEP_CAPACITY)
        buf_free(b);
    else
        buf_reset(b);
}

/* A blank line: the event is complete. Without data it does not count (9.2.6). */
static int dispatch(struct sse_parser *parser)
{
    int status = 0;

    memcpy(parser->last_id, parser->id, sizeof parser->last_id);
    if (parser->data.length > 0) {
        parser->data.data[--parser->data.length] = '\0';
        status = parser->fn(parser->arg, parser->event[0] ? parser->event : "message",
                            parser->data.data, parser->data.length);
    }
    empty(&parser->data);
    parser->event[0] = '\0';
    return status;
}

static int add_data(struct sse_parser *parser, const char *value, size_t length, struct err *e)
{
    if (parser->data.length + length > parser->max_event)
        return too_large(parser, e);
    if (buf_append(&parser->data, value, length) != 0 || buf_append(&parser->data, "\n", 1) != 0)
        return err_set(e, AGW_ENOMEM, "buffering an event");
    return 0;
}

static void set_event(struct sse_parser *parser, const char *value, size_t length)
{
    if (length >= EVENT_NAME_MAX)
        length = EVENT_NAME_MAX - 1;
    memcpy(parser->event, value, length);
    parser->event[length] = '\0';
}

static void set_id(struct sse_parser *parser, const char *value, size_t length)
{
    if (memchr(value, '\0', length) != NULL)
        return;
    if (length > SSE_ID_MAX)
        length = 0;
    memcpy(parser->id, value, length);
    parser->id[length] = '\0';
}

static void set_retry(struct sse_parser *parser, const char *value, size_t length)
{
    int64_t ms = 0;

    for (size_t i = 0; i < length; i++) {
        if (value[i] < '0' || value[i] > '9')
            return;
        ms = ms * 10 + (value[i] - '0');
    }
    parser->retry_ms = ms;
}

static int take_line(struct sse_parser *parser, const char *line, size_t length, struct err *e)
{
    const char *colon, *value;
    size_t name, rest;

    if (!parser->started) {
        parser->started = true;
        if (length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
            line += 3;
            length -= 3;
        }
    }
    if (length == 0)
        return dispatch(parser);
    colon = memchr(line, ':', length);
    name = colon == NULL ? length : (size_t)(colon - line);
    value = colon == NULL ? line + length : colon + 1;
    rest = (size_t)(line + length - value);
    if (rest > 0 && *value == ' ') {
        value++;
        rest--;
    }
    if (name == 4 && memcmp(line, "data", 4) == 0)
        return add_data(parser, value, rest, e);
    if (name == 5 && memcmp(line, "event", 5) == 0)
        set_event(parser, value, rest);
    if (name == 2 && memcmp(line, "id", 2) == 0)
        set_id(parser, value, rest);
    if (name == 5 && memcmp(line, "retry", 5) == 0 && rest > 0 && rest <= RETRY_DIGITS_MAX)
        set_retry(parser, value, rest);
    return 0;
}

/* `part` ends the line that parser->line began. */
static int end_line(struct sse_parser *parser, const char *part, size_t length, struct err *e)
{
    int status;

    /* The same limit however the line was cut on its way. */
    if (parser->line.length == 0)
        return length > parser->line.max ? too_large(parser, e)
                                         : take_line(parser, part, length, e);
    if (buf_append(&parser->line, part, length) != 0)
        return too_large(parser, e);
    status = take_line(parser, parser->line.data, parser->line.length, e);
    empty(&parser->line);
    return status;
}

static const char *find_end(const char *bytes, const char *stop)
{
    while (bytes < stop && *bytes != '\n' && *bytes != '\r')
        bytes++;
    return bytes;
}

int sse_parse_feed(struct sse_parser *parser, const char *bytes, size_t length, struct err *e)
{
    const char *at = bytes, *stop = bytes + length;

    while (at < stop) {
        const char *end;
        int status;

        if (parser->after_cr) {
            parser->after_cr = false;
            if (*at == '\n') {
                at++;
                continue;
            }
        }
        end = find_end(at, stop);
        if (end == stop) {
            if (buf_append(&parser->line, at, (size_t)(stop - at)) != 0)
                return too_large(parser, e);
            return 0;
        }
        parser->after_cr = *end == '\r';
        status = end_line(parser, at, (size_t)(end - at), e);
        if (status != 0)
            return status;
        at = end + 1;
    }
    return 0;
}

const char *sse_parse_last_id(const struct sse_parser *parser)
{
    return parser->last_id;
}

int64_t sse_parse_retry_ms(const struct sse_parser *parser)
{
    return parser->retry_ms;
}

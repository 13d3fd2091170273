/* SPDX-License-Identifier: MIT */
/* Follows FastCGI records without understanding requests. */
#include "http/records.h"

#include <string.h>

void records_init(struct records *r, struct buf *params)
{
    memset(r, 0, sizeof *r);
    r->params = params;
}

/* A header is complete: is this record one that may come now? */
static void open_record(struct records *r)
{
    const unsigned char *h = r->header;
    int type = h[1], id = h[2] << 8 | h[3];

    r->content = (size_t)(h[4] << 8 | h[5]);
    r->padding = h[6];
    if (h[0] != 1) {
        r->broken = true;
    } else if (type == RECORDS_BEGIN) {
        r->broken = r->begun || id == 0 || r->content != sizeof r->begin;
        r->request_id = id;
    } else if (id == 0) {
        ; /* a management record may come at any time */
    } else if (!r->begun || id != r->request_id) {
        r->broken = true;
    } else if (type == RECORDS_PARAMS && !r->params_done) {
        r->params_done = r->content == 0;
    } else if (type == RECORDS_STDIN && r->params_done) {
        r->stdin_done = r->content == 0;
    } else {
        r->broken = true;
    }
}

static void take_content(struct records *r, const unsigned char *bytes, size_t length)
{
    if (r->header[1] == RECORDS_BEGIN) {
        memcpy(r->begin + r->begin_have, bytes, length);
        r->begin_have += length;
        if (r->begin_have == sizeof r->begin) {
            r->role = r->begin[0] << 8 | r->begin[1];
            r->keep = (r->begin[2] & 1) != 0;
            r->begun = true;
        }
    } else if (r->header[1] == RECORDS_PARAMS && r->params != NULL) {
        buf_append(r->params, bytes, length);
    }
}

size_t records_feed(struct records *r, const unsigned char *bytes, size_t length)
{
    size_t used = 0;

    while (used < length && !r->broken) {
        size_t left = length - used, n;

        if (r->have < RECORDS_HEADER) {
            r->header[r->have++] = bytes[used++];
            if (r->have == RECORDS_HEADER)
                open_record(r);
        } else if (r->content > 0) {
            n = left < r->content ? left : r->content;
            take_content(r, bytes + used, n);
            r->content -= n;
            used += n;
        } else {
            n = left < r->padding ? left : r->padding;
            r->padding -= n;
            used += n;
        }
        if (r->have == RECORDS_HEADER && r->content == 0 && r->padding == 0) {
            r->have = 0;
            if (records_complete(r))
                break;
        }
    }
    return used;
}

bool records_complete(const struct records *r)
{
    return r->stdin_done && r->have == 0 && !r->broken;
}

/* FastCGI lengths: one byte below 128, else four with the top bit set. */
static bool take_length(const unsigned char **p, const unsigned char *end, size_t *length)
{
    if (*p >= end)
        return false;
    if (**p < 128) {
        *length = *(*p)++;
        return true;
    }
    if (end - *p < 4)
        return false;
    *length = (size_t)((*p)[0] & 0x7f) << 24 | (size_t)(*p)[1] << 16 | (size_t)(*p)[2] << 8 |
              (*p)[3];
    *p += 4;
    return true;
}

const char *records_param(const struct buf *params, const char *name, size_t *length)
{
    const unsigned char *p = (const unsigned char *)params->data, *end;
    size_t name_length, want = strlen(name);

    if (p == NULL)
        return NULL;
    end = p + params->length;
    while (take_length(&p, end, &name_length) && take_length(&p, end, length)) {
        if (name_length > (size_t)(end - p) || *length > (size_t)(end - p) - name_length)
            break;
        if (name_length == want && memcmp(p, name, want) == 0)
            return (const char *)p + name_length;
        p += name_length + *length;
    }
    return NULL;
}

void records_put(struct buf *out, int type, int request_id, const void *content, size_t length)
{
    unsigned char header[RECORDS_HEADER] = {
        1, (unsigned char)type, (unsigned char)(request_id >> 8), (unsigned char)request_id,
        (unsigned char)(length >> 8), (unsigned char)length};

    buf_append(out, header, sizeof header);
    if (length > 0)
        buf_append(out, content, length);
}

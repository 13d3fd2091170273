/* SPDX-License-Identifier: MIT */
/* Finds the ends of lines. */
#include "tools/mcp_lines.h"

#include <string.h>

#include "util/err.h"

enum { KEEP_CAPACITY = 65536 }; /* a larger buffer is given back after its line */

void mcp_lines_init(struct mcp_lines *lines, size_t max)
{
    lines->max = max;
    buf_init(&lines->begun, max + 1); /* a CR before the LF does not count */
}

void mcp_lines_free(struct mcp_lines *lines)
{
    buf_free(&lines->begun);
}

static int give(const struct mcp_lines *lines, const char *line, size_t length, mcp_line_fn fn,
                void *arg)
{
    if (length > 0 && line[length - 1] == '\r')
        length--;
    return length > lines->max ? AGW_EUPSTREAM : fn(arg, line, length);
}

static int keep(struct mcp_lines *lines, const char *part, size_t length)
{
    if (lines->begun.length + length > lines->begun.max)
        return AGW_EUPSTREAM;
    return buf_append(&lines->begun, part, length) == 0 ? 0 : AGW_ENOMEM;
}

int mcp_lines_feed(struct mcp_lines *lines, const char *bytes, size_t length, mcp_line_fn fn,
                   void *arg)
{
    const char *at = bytes, *stop = bytes + length;

    while (at < stop) {
        const char *end = memchr(at, '\n', (size_t)(stop - at));
        int code;

        if (end == NULL)
            return keep(lines, at, (size_t)(stop - at));
        if (lines->begun.length == 0) {
            code = give(lines, at, (size_t)(end - at), fn, arg);
        } else {
            code = keep(lines, at, (size_t)(end - at));
            if (code == 0)
                code = give(lines, lines->begun.data, lines->begun.length, fn, arg);
            if (lines->begun.capacity > KEEP_CAPACITY)
                buf_free(&lines->begun);
            else
                buf_reset(&lines->begun);
        }
        if (code != 0)
            return code;
        at = end + 1;
    }
    return 0;
}

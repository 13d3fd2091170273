/* SPDX-License-Identifier: MIT */
/* Inside of tools/: cuts what a program writes into lines. Not shared. */
#ifndef AGW_TOOLS_MCP_LINES_H
#define AGW_TOOLS_MCP_LINES_H

#include <stddef.h>

#include "util/buf.h"

struct mcp_lines {
    struct buf begun; /* a line whose end has not come yet */
    size_t max;
};

/* A line (without its end, which is LF or CRLF); not NUL-terminated. Non-zero stops. */
typedef int (*mcp_line_fn)(void *arg, const char *line, size_t length);

void mcp_lines_init(struct mcp_lines *lines, size_t max);
void mcp_lines_free(struct mcp_lines *lines);

/* 0; AGW_EUPSTREAM: a line is longer than `max`; AGW_ENOMEM; or what fn returned. */
int mcp_lines_feed(struct mcp_lines *lines, const char *bytes, size_t length, mcp_line_fn fn,
                   void *arg);

#endif

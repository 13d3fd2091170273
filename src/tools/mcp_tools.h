/* SPDX-License-Identifier: MIT */
/* Inside of tools/: reads an MCP server's list of tools, page by page. Not shared. */
#ifndef AGW_TOOLS_MCP_TOOLS_H
#define AGW_TOOLS_MCP_TOOLS_H

#include "tools/tool.h"
#include "util/buf.h"

/* A list in the making. */
struct mcp_tools {
    struct tool_offers *offers;
    /* What a call has to know of each tool: name -> {"headers": as mcp_headers_declared(),
     * "repeatable": bool}. */
    json_t *known;
    json_t *cursors;   /* of the pages so far, as the names of an object */
    struct buf notes;  /* what was left out, a line each */
};

/* -1: memory is out. */
int mcp_tools_begin(struct mcp_tools *tools, struct tool_offers *offers);
void mcp_tools_clear(struct mcp_tools *tools);

/* Takes the result of tools/list over. 0: it was the last page; 1: *cursor (into `result`) is
 * to be asked for next; AGW_EUPSTREAM with *e: no list, or one without an end; AGW_ENOMEM. */
int mcp_tools_page(struct mcp_tools *tools, const json_t *result, const char **cursor,
                   struct err *e);

#endif

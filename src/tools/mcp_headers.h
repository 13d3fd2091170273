/* SPDX-License-Identifier: MIT */
/* Inside of tools/: the headers that go with an MCP message over HTTP, among them the arguments
 * that a tool's schema wants to see there (`x-mcp-header`). Pure; any thread.
 */
#ifndef AGW_TOOLS_MCP_HEADERS_H
#define AGW_TOOLS_MCP_HEADERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* "Name: value" lines, NULL-terminated; begins as zeros. */
struct mcp_headers {
    size_t count;
    char **lines;
    bool failed; /* memory is out */
};

/* A value with a line break is left out; values may be secrets and are wiped by _free(). */
void mcp_headers_add(struct mcp_headers *headers, const char *name, const char *value);
/* A whole line of another list. */
void mcp_headers_line(struct mcp_headers *headers, const char *line);
/* The same for any text: what may not stand in a header is written as =?base64?...?=. */
void mcp_headers_encode(struct mcp_headers *headers, const char *name, const char *value);
void mcp_headers_free(struct mcp_headers *headers);

enum { MCP_HEADERS_PROBLEM = 160 };

/* Which arguments of a tool with this schema are sent as headers: array of
 * {"header": NAME, "path": [property, ...]}, a new reference. NULL with `problem`: what the
 * schema says of them breaks the protocol's rules, so the tool may not be used; an empty
 * problem: memory is out. */
json_t *mcp_headers_declared(const json_t *schema, char problem[MCP_HEADERS_PROBLEM]);

/* Adds Mcp-Param-NAME for each of them that the call has. */
void mcp_headers_params(struct mcp_headers *headers, const json_t *declared,
                        const json_t *arguments);

#endif

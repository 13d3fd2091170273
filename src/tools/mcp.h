/* SPDX-License-Identifier: MIT */
/* Tools of Model Context Protocol servers: each entry of tools.yaml with `provider: mcp` is a
 * server, spoken to over HTTP (`url`) or started here and spoken to over its standard input and
 * output (`command`).
 */
#ifndef AGW_TOOLS_MCP_H
#define AGW_TOOLS_MCP_H

#include "tools/tool.h"

extern const struct tool_provider mcp_provider;

#endif

/* SPDX-License-Identifier: MIT */
/* Lists the providers of tools that this program has. */
#include "tools/http_tool.h"
#include "tools/local.h"
#include "tools/mcp.h"
#include "tools/tool.h"

const struct tool_provider *const tool_providers[TOOL_PROVIDERS] = {
    [TOOL_LOCAL] = &local_provider,
    [TOOL_HTTP] = &http_tool_provider,
    [TOOL_MCP] = &mcp_provider,
};

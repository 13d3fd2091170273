/* SPDX-License-Identifier: MIT */
/* Everything that the gateway makes of a message of an MCP server, for fuzz targets: asserts
 * what must hold of it. */
#ifndef AGW_TESTS_MCP_CONSUME_H
#define AGW_TESTS_MCP_CONSUME_H

#include "tools/mcp_message.h"

void mcp_consume(const struct mcp_message *message);

#endif

/* SPDX-License-Identifier: MIT */
/* Inside of tools/: what an MCP tool answered, as a text for the model. Pure; any thread. */
#ifndef AGW_TOOLS_MCP_CONTENT_H
#define AGW_TOOLS_MCP_CONTENT_H

#include "tools/tool.h"

/* Of the result of tools/call: texts as they are, one after the other; of what a model cannot
 * read in a text (images, audio, files) a line that says what it is. structuredContent goes to
 * result->structured, and is the text when there is no other. isError is TOOL_FAILED, and so is
 * what asks for more input (`resultType`), for nobody is there to give it. At most `max`
 * bytes. */
void mcp_content_take(const json_t *answer, size_t max, struct tool_result *result);

#endif

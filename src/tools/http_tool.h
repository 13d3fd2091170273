/* SPDX-License-Identifier: MIT */
/* Tools that are HTTP endpoints: one call is one request, which is never sent twice. The
 * arguments stand where http_template.h puts them, and the answer is what http_answer.h makes
 * of it. Any thread.
 */
#ifndef AGW_TOOLS_HTTP_TOOL_H
#define AGW_TOOLS_HTTP_TOOL_H

#include "tools/tool.h"

extern const struct tool_provider http_tool_provider;

#endif

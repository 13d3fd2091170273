/* SPDX-License-Identifier: MIT */
/* Tools that are programs of this host: started for each call, in the sandbox, with the
 * arguments as JSON on standard input; what they write to standard output is the result.
 */
#ifndef AGW_TOOLS_LOCAL_H
#define AGW_TOOLS_LOCAL_H

#include "tools/tool.h"

extern const struct tool_provider local_provider;

#endif

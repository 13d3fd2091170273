/* SPDX-License-Identifier: MIT */
/* For tests of agents: tools that keep nothing, and such as need no memory. */
#ifndef AGW_TESTS_LIB_FINE_TOOL_H
#define AGW_TESTS_LIB_FINE_TOOL_H

#include "tools/tool.h"

/* For toolset_new(): local tools alone, and all say "fine". */
extern const struct tool_provider *const fine_tool_providers[TOOL_PROVIDERS];

/* For a provider of which each tool is its configuration alone. */
void *fine_tool_open(const struct config_tool *config, void (*changed)(void *arg), void *arg,
                     struct err *e);
void fine_tool_close(void *state);

#endif

/* SPDX-License-Identifier: MIT */
/* Finds a tool by the name that models know. */
#include <string.h>

#include "tools/toolset.h"

const struct tool *tool_list_find(const struct tool_list *list, const char *function)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->tools[i]->function, function) == 0)
            return list->tools[i];
    return NULL;
}

/* SPDX-License-Identifier: MIT */
/* Says whose a function is; apart from the rest, as programs without tools of their own need it. */
#include "agent/toolbox.h"

enum toolbox_owner toolbox_owner(const struct toolbox *box, const char *function,
                                 const struct tool **tool)
{
    *tool = tool_list_find(&box->tools, function);
    return *tool == NULL && json_object_get(box->client_names, function) != NULL
               ? TOOLBOX_CLIENT
               : TOOLBOX_AGENT;
}

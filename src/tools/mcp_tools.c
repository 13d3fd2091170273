/* SPDX-License-Identifier: MIT */
/* Takes over what an MCP server says of its tools. */
#include "tools/mcp_tools.h"

#include <stdio.h>

#include "tools/mcp_headers.h"
#include "tools/mcp_message.h"

enum { PAGES_MAX = 512, CURSOR_MAX = 4096, NOTES_MAX = 4096, NAME_SHOWN = 80 };

int mcp_tools_begin(struct mcp_tools *tools, struct tool_offers *offers)
{
    tools->offers = offers;
    tools->known = json_object();
    tools->cursors = json_object();
    buf_init(&tools->notes, NOTES_MAX);
    return tools->known != NULL && tools->cursors != NULL ? 0 : -1;
}

void mcp_tools_clear(struct mcp_tools *tools)
{
    json_decref(tools->known);
    json_decref(tools->cursors);
    buf_free(&tools->notes);
}

static void note(struct mcp_tools *tools, const char *name, const char *problem)
{
    char shown[NAME_SHOWN];

    snprintf(shown, sizeof shown, "%s", name);
    mcp_message_clean(shown);
    buf_printf(&tools->notes, "the tool %s was left out: %s\n", shown, problem);
}

/* An answer that was lost may be asked for again only if that changes nothing. */
static bool is_repeatable(const json_t *tool)
{
    const json_t *hints = json_object_get(tool, "annotations");

    return json_is_true(json_object_get(hints, "readOnlyHint")) ||
           json_is_true(json_object_get(hints, "idempotentHint"));
}

static int take_tool(struct mcp_tools *tools, const json_t *tool)
{
    const char *name = json_string_value(json_object_get(tool, "name"));
    const char *description = json_string_value(json_object_get(tool, "description"));
    const json_t *schema = json_object_get(tool, "inputSchema");
    char problem[MCP_HEADERS_PROBLEM];
    json_t *headers;

    if (name == NULL) {
        note(tools, "without a name", "it has none");
        return 0;
    }
    if (json_object_get(tools->known, name) != NULL) {
        note(tools, name, "its server has another one of that name");
        return 0;
    }
    headers = mcp_headers_declared(schema, problem);
    if (headers == NULL && problem[0] == '\0')
        return AGW_ENOMEM;
    if (headers == NULL) {
        note(tools, name, problem);
        return 0;
    }
    if (json_object_set_new(tools->known, name,
                            json_pack("{s:o,s:b}", "headers", headers, "repeatable",
                                      is_repeatable(tool))) != 0)
        return AGW_ENOMEM;
    return tool_offers_add(tools->offers, name, description,
                           json_is_object(schema) ? json_deep_copy(schema) : NULL) == 0
               ? 0
               : AGW_ENOMEM;
}

static int take_tools(struct mcp_tools *tools, const json_t *list, bool *full)
{
    json_t *tool;
    size_t i;
    int code = 0;

    *full = false;
    json_array_foreach(list, i, tool)
    {
        *full = tools->offers->count == TOOL_OFFERS_MAX;
        if (*full || code != 0)
            break;
        code = take_tool(tools, tool);
    }
    if (*full)
        buf_printf(&tools->notes, "its server offers more than %d tools; the others were left "
                   "out\n", TOOL_OFFERS_MAX);
    return code;
}

int mcp_tools_page(struct mcp_tools *tools, const json_t *result, const char **cursor,
                   struct err *e)
{
    const json_t *list = json_object_get(result, "tools");
    const json_t *next = json_object_get(result, "nextCursor");
    bool full;

    *cursor = json_string_value(next);
    if (!json_is_array(list))
        return err_set(e, AGW_EUPSTREAM, "its server's answer to tools/list has no list of tools");
    if (take_tools(tools, list, &full) != 0)
        return err_set(e, AGW_ENOMEM, "memory is out");
    if (full || *cursor == NULL)
        return 0;
    if (json_string_length(next) > CURSOR_MAX)
        return err_set(e, AGW_EUPSTREAM, "its server's list of tools has a cursor of more than "
                       "%d bytes", CURSOR_MAX);
    if (json_object_get(tools->cursors, *cursor) != NULL ||
        json_object_size(tools->cursors) >= PAGES_MAX)
        return err_set(e, AGW_EUPSTREAM, "its server's list of tools has no end");
    if (json_object_set_new(tools->cursors, *cursor, json_true()) != 0)
        return err_set(e, AGW_ENOMEM, "memory is out");
    return 1;
}

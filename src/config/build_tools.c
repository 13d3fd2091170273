/* SPDX-License-Identifier: MIT */
/* tools.yaml: what the option table alone cannot say. */
#include <string.h>

#include "config/build.h"

enum need { NEEDED, WELCOME, REFUSED };

/* Which options a provider goes with. MCP takes one of url and command, see below. */
static const struct {
    const char *option;
    enum need by[3]; /* enum config_tool_provider */
} needs[] = {
    {"command", {[TOOL_LOCAL] = NEEDED, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"url", {[TOOL_LOCAL] = REFUSED, [TOOL_HTTP] = NEEDED, [TOOL_MCP] = WELCOME}},
    {"method", {[TOOL_LOCAL] = REFUSED, [TOOL_HTTP] = WELCOME, [TOOL_MCP] = WELCOME}},
    {"headers", {[TOOL_LOCAL] = REFUSED, [TOOL_HTTP] = WELCOME, [TOOL_MCP] = WELCOME}},
};

static void check_http_method(struct build *b, const struct tree_node *node,
                              const struct config_tool *tool)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(tool->method, methods[i]) == 0)
            return;
    build_error(b, tree_get(node, "method"),
                "'method' must be one of: GET, POST, PUT, PATCH, DELETE");
}

void tools_finish_one(struct build *b, const struct tree_node *node, void *element)
{
    struct config_tool *tool = element;
    const struct tree_node *command = tree_get(node, "command");

    tool->place = build_place(b, node);
    if (!values_is_choice(schema_find(CONFIG_TOOLS, "tools[].provider"),
                          tree_get(node, "provider")))
        return; /* said already */
    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++) {
        const struct tree_node *option = tree_get(node, needs[i].option);

        if (needs[i].by[tool->provider] == NEEDED && option == NULL)
            build_error(b, node, "'%s' is needed by this provider", needs[i].option);
        if (needs[i].by[tool->provider] == REFUSED && option != NULL)
            build_error(b, option, "'%s' does not go with this provider", needs[i].option);
    }
    if (tool->provider == TOOL_MCP &&
        (tree_get(node, "url") == NULL) == (command == NULL))
        build_error(b, node, "an MCP tool needs either 'url' or 'command'");
    if (command != NULL && command->kind == TREE_LIST && command->count == 0)
        build_error(b, command, "'command' must not be empty");
    if (tool->method == NULL && tool->provider != TOOL_LOCAL)
        tool->method = tool->provider == TOOL_HTTP ? "POST" : "*";
    else if (tool->provider == TOOL_HTTP)
        check_http_method(b, node, tool);
}

void tools_end(struct build *b, const struct tree_node *root)
{
    struct config *c = b->config;

    (void)root;
    if (c->gateway.tools_file == NULL) /* not named, but there */
        c->gateway.tools_file = b->file;
    build_refuse_duplicates(b, &(struct build_unique){
        c->tools, c->tool_count, sizeof *c->tools, offsetof(struct config_tool, name), 0,
        offsetof(struct config_tool, place), "tool name"});
}

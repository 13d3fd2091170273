/* SPDX-License-Identifier: MIT */
/* tools.yaml: what the option table alone cannot say. */
#include <stdlib.h>
#include <string.h>

#include "config/build.h"
#include "util/json_memory.h"
#include "util/json_schema.h"
#include "util/secret.h"

enum need { NEEDED, WELCOME, REFUSED };

/* Which options a provider goes with. MCP takes one of url and command, see below. */
static const struct {
    const char *option;
    enum need by[3]; /* enum config_tool_provider */
} needs[] = {
    {"command", {[TOOL_LOCAL] = NEEDED, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"url", {[TOOL_LOCAL] = REFUSED, [TOOL_HTTP] = NEEDED, [TOOL_MCP] = WELCOME}},
    {"method", {[TOOL_LOCAL] = REFUSED, [TOOL_HTTP] = WELCOME, [TOOL_MCP] = WELCOME}},
    {"sandbox", {[TOOL_LOCAL] = WELCOME, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"network", {[TOOL_LOCAL] = WELCOME, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"read", {[TOOL_LOCAL] = WELCOME, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"write", {[TOOL_LOCAL] = WELCOME, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"environment", {[TOOL_LOCAL] = WELCOME, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"max_memory_mib", {[TOOL_LOCAL] = WELCOME, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"max_processes", {[TOOL_LOCAL] = WELCOME, [TOOL_HTTP] = REFUSED, [TOOL_MCP] = WELCOME}},
    {"headers", {[TOOL_LOCAL] = REFUSED, [TOOL_HTTP] = WELCOME, [TOOL_MCP] = WELCOME}},
    {"allow_private", {[TOOL_LOCAL] = REFUSED, [TOOL_HTTP] = WELCOME, [TOOL_MCP] = WELCOME}},
};

/* Those that only a program of this host has. */
static const char *const of_programs[] = {"sandbox", "network", "read", "write", "environment",
                                          "max_memory_mib", "max_processes"};

enum { ENVIRONMENT_MAX = 64, VARIABLE_MAX = 4096 };

static const char *variable_problem(const struct tree_node *node)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    static const char *const ours[] = {"HOME", "TMPDIR"};

    if (node->key[0] == '\0' || strspn(node->key, word) != strlen(node->key) ||
        (node->key[0] >= '0' && node->key[0] <= '9'))
        return "is not a name of a variable";
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(node->key, ours[i]) == 0)
            return "is set by the gateway itself";
    if (node->kind == TREE_BROKEN)
        return NULL;
    if (node->kind != TREE_TEXT || tree_is_null(node))
        return "must have a text as its value";
    return strlen(node->text) > VARIABLE_MAX ? "has too long a value" : NULL;
}

void tools_take_environment(struct build *b, const struct option *option,
                            struct tree_node *node, char *base)
{
    struct config_header *variables = build_alloc(b, (node->count + 1) * sizeof *variables);
    size_t count = 0;

    if (variables == NULL)
        return;
    if (node->count > ENVIRONMENT_MAX) {
        build_error(b, node, "'%s' must not have more than %d entries", option->path,
                    ENVIRONMENT_MAX);
        return;
    }
    for (struct tree_node *n = node->first; n != NULL; n = n->next) {
        const char *problem = variable_problem(n);

        if (problem != NULL)
            build_key_error(b, n, "'%s': '%.64s' %s", option->path, n->key, problem);
        else
            variables[count++] = (struct config_header){n->key, n->text, n->expanded};
    }
    memcpy(base + option->offset, &variables, sizeof variables);
    memcpy(base + option->count_offset, &count, sizeof count);
}

/* The value that a JSON pointer leads to, or the last on the way that is there. */
static const struct tree_node *node_at(const struct tree_node *node, const char *pointer)
{
    while (*pointer == '/') {
        size_t length = strcspn(pointer + 1, "/"), used = 0;
        char segment[JSON_SCHEMA_POINTER_SIZE];
        const struct tree_node *child;

        for (size_t i = 1; i <= length; i++) {
            bool escaped = pointer[i] == '~' && i < length;

            segment[used] = pointer[i];
            if (escaped)
                segment[used] = pointer[i + 1] == '0' ? '~' : '/';
            used++;
            i += escaped;
        }
        segment[used] = '\0';
        child = node->kind == TREE_LIST ? node->first : NULL;
        for (unsigned long n = strtoul(segment, NULL, 10); child != NULL && n > 0; n--)
            child = child->next;
        if (node->kind == TREE_MAP)
            child = tree_get(node, segment);
        if (child == NULL)
            break;
        node = child;
        pointer += 1 + length;
    }
    return node;
}

static void check_schema(struct build *b, const struct tree_node *node,
                         const struct config_tool *tool)
{
    struct json_schema_problem problem;
    struct json_schema *compiled = NULL;
    json_t *schema;
    int status;

    if (node == NULL || node->kind != TREE_MAP || tool->schema == NULL)
        return;
    schema = values_json(node);
    status = schema == NULL ? AGW_ENOMEM
                            : json_schema_compile(schema, true, &compiled, &problem);
    json_decref(schema);
    json_schema_free(&compiled);
    if (status == AGW_ENOMEM)
        build_error(b, node, "out of memory");
    else if (status != 0)
        build_error(b, node_at(node, problem.pointer), "schema%s: %s", problem.pointer,
                    problem.message);
}

/* What is written of it, as one text. */
static void set_digest(struct build *b, const struct tree_node *node, struct config_tool *tool)
{
    json_t *whole = values_json(node);
    char *text = whole == NULL ? NULL : json_dumps(whole, JSON_SORT_KEYS | JSON_COMPACT);

    if (text == NULL) {
        build_error(b, node, "out of memory");
    } else {
        sha_256(text, strlen(text), tool->digest);
        secret_wipe(text, strlen(text));
    }
    json_memory_free(text);
    json_decref(whole);
}

void tools_finish_one(struct build *b, const struct tree_node *node, void *element)
{
    struct config_tool *tool = element;
    const struct tree_node *command = tree_get(node, "command");

    tool->place = build_place(b, node);
    tool->program.folder = b->folder;
    set_digest(b, node, tool);
    check_schema(b, tree_get(node, "schema"), tool);
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
    for (size_t i = 0; tool->provider == TOOL_MCP && command == NULL &&
                       i < sizeof of_programs / sizeof of_programs[0]; i++)
        if (tree_get(node, of_programs[i]) != NULL)
            build_error(b, tree_get(node, of_programs[i]), "'%s' goes only with 'command'",
                        of_programs[i]);
    if (tool->provider == TOOL_MCP && command != NULL && tree_get(node, "allow_private") != NULL)
        build_error(b, tree_get(node, "allow_private"), "'allow_private' goes with 'url' only");
    if (command != NULL && command->kind == TREE_LIST && command->count == 0)
        build_error(b, command, "'command' must not be empty");
    if (tool->method == NULL && tool->provider != TOOL_LOCAL)
        tool->method = tool->provider == TOOL_HTTP ? "POST" : "*";
    if (tool->provider != TOOL_LOCAL)
        tools_check_http(b, node, tool);
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

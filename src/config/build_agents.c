/* SPDX-License-Identifier: MIT */
/* agents.yaml: what the option table alone cannot say. */
#include <stdlib.h>
#include <string.h>

#include "config/build.h"
#include "util/glob.h"

/* "package.module:function", as Python and Node name what they import. */
const char *agents_check_module(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    size_t module = strspn(text, letters);
    size_t function = text[module] == ':' ? strspn(text + module + 1, letters) : 0;

    if (module == 0 || function == 0 || text[module + 1 + function] != '\0' ||
        text[0] == '/' || strstr(text, "..") != NULL)
        return "must be MODULE:FUNCTION like agents.research.agent:build_agent";
    return NULL;
}

void agents_take_tool_choice(struct build *b, const struct option *option,
                             struct tree_node *node, char *base)
{
    (void)base;
    if (node->kind == TREE_MAP ||
        (node->kind == TREE_TEXT &&
         (strcmp(node->text, "auto") == 0 || strcmp(node->text, "none") == 0 ||
          strcmp(node->text, "required") == 0)))
        return;
    build_error(b, node, "'%s' must be auto, none, required or a mapping", option->path);
}

/* Whether a pattern could match SERVER.TOOL: which tools a server has is known when it runs. */
static bool could_match(const char *pattern, const char *server)
{
    size_t fixed = strcspn(pattern, "*?["), length = strlen(server);

    return pattern[fixed] != '\0' &&
           strncmp(pattern, server, fixed < length ? fixed : length) == 0 &&
           (fixed <= length || pattern[length] == '.');
}

/* By its own name or a pattern of it; of an MCP server with several tools also as SERVER.TOOL or
 * a pattern of that. */
static bool tool_exists(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->tool_count; i++) {
        const struct config_tool *tool = &c->tools[i];
        size_t length = tool->name != NULL ? strlen(tool->name) : 0;

        if (length == 0)
            continue;
        if (strcmp(tool->name, name) == 0 || glob_match(name, tool->name))
            return true;
        if (tool->provider == TOOL_MCP && tool->method != NULL &&
            strcmp(tool->method, "*") == 0 &&
            (could_match(name, tool->name) ||
             (strncmp(tool->name, name, length) == 0 && name[length] == '.' &&
              name[length + 1] != '\0')))
            return true;
    }
    return false;
}

static void check_tools(struct build *b, const struct tree_node *node)
{
    const struct tree_node *list = tree_get(node, "tools");

    if (!b->usable[CONFIG_TOOLS] || list == NULL || list->kind != TREE_LIST)
        return;
    for (const struct tree_node *n = list->first; n != NULL; n = n->next)
        if (n->kind == TREE_TEXT && n->text[0] != '\0' && !tool_exists(b->config, n->text))
            build_error(b, n, "there is no tool '%.100s'", n->text);
}

static bool any_serves(const struct config *c, const char *model)
{
    for (size_t i = 0; i < c->upstream_count; i++) {
        const struct config_upstream *u = &c->upstreams[i];

        if (config_serves(u->provider, !u->models.present, u->models.patterns, u->models.count,
                          model))
            return true;
    }
    return false;
}

/* An agent without an upstream leaves the choice to priority, weight and models. */
static void check_upstream(struct build *b, const struct tree_node *node,
                           const struct config_agent *agent)
{
    const struct tree_node *own = tree_get(node, "upstream");

    if (!b->usable[CONFIG_UPSTREAMS])
        return;
    if (agent->upstream == NULL && own == NULL && agent->kind == AGENT_DECLARATIVE &&
        agent->model != NULL && !any_serves(b->config, agent->model))
        build_error(b, node, "no upstream serves the model '%.100s', and the agent names none",
                    agent->model);
    if (agent->upstream == NULL || config_find_upstream(b->config, agent->upstream) != NULL)
        return;
    if (own != NULL)
        build_error(b, own, "there is no upstream '%s'", agent->upstream);
    else
        build_error(b, node, "there is no upstream '%s', which the defaults name",
                    agent->upstream);
}

static void check_kind(struct build *b, const struct tree_node *node,
                       const struct config_agent *agent)
{
    const struct tree_node *module = tree_get(node, "module"), *kind = tree_get(node, "kind");

    if (kind != NULL && !values_is_choice(schema_find(CONFIG_AGENTS, "agents[].kind"), kind))
        return; /* said already */
    if (agent->kind == AGENT_SDK) {
        if (module == NULL)
            build_error(b, node, "'module' is needed by an agent of kind sdk");
        return;
    }
    if (module != NULL)
        build_error(b, module, "'module' is for agents of kind sdk only");
    if (agent->network)
        build_error(b, tree_get(node, "network"), "'network' is for agents of kind sdk only");
    if (agent->client_tools)
        build_error(b, tree_get(node, "client_tools"),
                    "'client_tools' is for agents of kind sdk only; others take them always");
    if (agent->model == NULL && tree_get(node, "model") == NULL && !b->policy_only)
        build_error(b, node, "'model' is missing, and the defaults name none");
}

void agents_finish_one(struct build *b, const struct tree_node *node, void *element)
{
    const struct config_gateway *defaults = &b->config->gateway;
    struct config_agent *agent = element;

    agent->place = build_place(b, node);
    if (agent->ns == NULL && tree_get(node, "namespace") == NULL)
        agent->ns = defaults->default_namespace;
    if (agent->upstream == NULL && tree_get(node, "upstream") == NULL)
        agent->upstream = defaults->default_upstream;
    if (agent->model == NULL && tree_get(node, "model") == NULL)
        agent->model = defaults->default_model;
    check_kind(b, node, agent);
    check_upstream(b, node, agent);
    check_tools(b, node);
    if (agent->ns == NULL || agent->name == NULL)
        return; /* said already */
    agent->id = arena_printf(b->arena, "%s/%s", agent->ns, agent->name);
    if (agent->id == NULL)
        build_error(b, node, "out of memory");
}

static int by_id(const void *a, const void *b)
{
    const char *left = ((const struct config_agent *)a)->id;
    const char *right = ((const struct config_agent *)b)->id;

    return strcmp(left != NULL ? left : "", right != NULL ? right : "");
}

void agents_end(struct build *b, const struct tree_node *root)
{
    const struct config *c = b->config;

    (void)root;
    build_refuse_duplicates(b, &(struct build_unique){
        c->agents, c->agent_count, sizeof *c->agents, offsetof(struct config_agent, id), 0,
        offsetof(struct config_agent, place), "agent"});
    if (c->agent_count > 0)
        qsort(c->agents, c->agent_count, sizeof *c->agents, by_id);
}

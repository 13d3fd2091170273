/* SPDX-License-Identifier: MIT */
/* Gathers which tools a request has, and whose they are. */
#include "agent/toolbox.h"

#include <stdio.h>

/* What both kinds of tools that a client may send are called by. */
const char *toolbox_name(const json_t *definition)
{
    const char *name =
        json_string_value(json_object_get(json_object_get(definition, "function"), "name"));

    return name != NULL ? name
                        : json_string_value(json_object_get(
                              json_object_get(definition, "custom"), "name"));
}

int toolbox_clash(const struct agent_run *run, size_t index, const char *name, struct err *e)
{
    char param[64];

    snprintf(param, sizeof param, "tools[%zu].function.name", index);
    return err_set_public(e, AGW_EINVALID, param,
                          "The tool '%.64s' of this request has the name of a tool of the agent"
                          " '%.100s' itself. Give it another name.", name, run->agent->spec->id);
}

/* Remembers the names of the client's tools; each must differ from all of the agent's, also
 * from those that this key may not call: what clashes must not depend on who asks. */
static int take_names(struct toolbox *box, const struct agent_run *run, struct err *e)
{
    const json_t *sent = json_object_get(run->request, "tools");
    json_t *definition;
    size_t i;

    box->client_names = json_object();
    if (box->client_names == NULL)
        return err_set(e, AGW_ENOMEM, "the client's tools");
    json_array_foreach((json_t *)sent, i, definition)
    {
        const char *name = toolbox_name(definition);

        if (name == NULL) /* the upstream knows what else there may be */
            continue;
        if (tool_list_find(&box->tools, name) != NULL)
            return toolbox_clash(run, i, name, e);
        if (json_object_set_new(box->client_names, name, json_true()) != 0)
            return err_set(e, AGW_ENOMEM, "the client's tools");
    }
    return 0;
}

/* Schemas are shared by threads, so they are copied. */
static json_t *definition_of(const struct tool *tool)
{
    return json_pack("{s:s,s:{s:s,s:s*,s:o}}", "type", "function", "function", "name",
                     tool->function, "description", tool->description, "parameters",
                     json_deep_copy(tool->schema));
}

static int define(struct toolbox *box, const struct agent_run *run, struct err *e)
{
    box->definitions = json_array();
    if (box->definitions == NULL)
        return err_set(e, AGW_ENOMEM, "defining tools");
    for (size_t i = 0; i < box->tools.count; i++)
        if (invoke_allows(run->caller, box->tools.tools[i]) &&
            json_array_append_new(box->definitions, definition_of(box->tools.tools[i])) != 0)
            return err_set(e, AGW_ENOMEM, "defining tools");
    return 0;
}

int toolbox_open(struct toolbox *box, const struct agent_run *run, struct err *e)
{
    const struct config_agent *spec = run->agent->spec;
    const char *missing;
    int status;

    *box = (struct toolbox){0};
    status = toolset_resolve(run->caller->toolset, spec->tools, spec->tool_count, &box->tools,
                             &missing, e);
    if (status == 0)
        status = take_names(box, run, e);
    return status == 0 ? define(box, run, e) : status;
}

void toolbox_close(struct toolbox *box)
{
    tool_list_clear(&box->tools);
    json_decref(box->client_names);
    json_decref(box->definitions);
}

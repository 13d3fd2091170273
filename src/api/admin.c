/* SPDX-License-Identifier: MIT */
/* Shows operators what is configured and what is wrong with it. */
#include <string.h>

#include "api/derive.h"
#include "api/handlers.h"
#include "api/json_values.h"
#include "api/refresh.h"
#include "store/errors_ring.h"

enum { REFRESH_WAIT_MS = 5000 };

/* What the runner says of this agent, or of the module that it is in. */
static void add_reported(json_t *diagnostics, const struct dropins *dropins,
                         const struct catalog_agent *agent)
{
    const json_t *problem;
    size_t i;

    if (dropins == NULL)
        return;
    json_array_foreach(json_object_get(dropins->message, "errors"), i, problem) {
        const char *id = json_string_value(json_object_get(problem, "agent"));
        const char *module = json_string_value(json_object_get(problem, "module"));

        if ((id != NULL && strcmp(id, agent->spec->id) == 0) ||
            (id == NULL && module != NULL && agent->dropin != NULL &&
             strcmp(module, agent->dropin->module) == 0))
            json_array_append_new(diagnostics, json_deep_copy(problem));
    }
}

static json_t *tools_of(const struct catalog_agent *agent)
{
    json_t *tools = json_array();

    if (agent->dropin != NULL && agent->dropin->tools != NULL) {
        json_decref(tools);
        return json_deep_copy(agent->dropin->tools);
    }
    for (size_t i = 0; i < agent->spec->tool_count; i++)
        json_array_append_new(tools, json_string(agent->spec->tools[i]));
    return tools;
}

static json_t *agent_json(const struct catalog_agent *agent, const struct dropins *dropins)
{
    const struct config_agent *spec = agent->spec;
    const struct config_agent *runs = agent->dropin == NULL ? spec : &agent->dropin->spec;
    json_t *diagnostics = json_array(), *object;

    if (agent->problem != NULL)
        json_array_append_new(diagnostics,
                              json_pack("{s:s,s:s,s:s}", "kind", "dependency", "severity",
                                        "error", "message", agent->problem));
    add_reported(diagnostics, dropins, agent);
    object = json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:b,s:s,s:i,s:o}", "id", spec->id,
                     "namespace", spec->ns, "name", spec->name, "display_name",
                     json_values_text(spec->display_name), "description",
                     json_values_text(spec->description), "kind",
                     spec->kind == AGENT_SDK ? "sdk" : "declarative", "upstream",
                     json_values_text(runs->upstream), "model", json_values_text(runs->model), "tools",
                     tools_of(agent), "available", agent->available, "file", spec->place.file, "line",
                     spec->place.line, "diagnostics", diagnostics);
    if (object != NULL && agent->dropin != NULL) {
        json_object_set_new(object, "language", json_string(agent->dropin->lang));
        json_object_set_new(object, "module", json_string(agent->dropin->module));
        json_object_set_new(object, "export", json_string(agent->dropin->attr));
    }
    return object;
}

int admin_agents(struct exchange *x)
{
    const struct catalog *catalog = context_catalog(x);
    struct dropins *dropins = link_dropins(x->api->link, NULL);
    json_t *agents = json_array(), *errors = json_array();

    for (size_t i = 0; i < catalog_count(catalog); i++)
        json_array_append_new(agents, agent_json(catalog_at(catalog, i), dropins));
    if (dropins != NULL) {
        json_decref(errors);
        errors = json_deep_copy(json_object_get(dropins->message, "errors"));
    }
    dropins_release(&dropins);
    x->answer.json = json_pack("{s:I,s:o,s:o*,s:o*}", "generation",
                               (json_int_t)x->policy->config->generation, "agents", agents,
                               "runner", link_json(x->api->link), "discovery", errors);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "agents") : 0;
}

int admin_agents_refresh(struct exchange *x)
{
    int status = refresh_component(x, CONFIG_AGENTS);

    if (status != 0 || x->answer.json != NULL)
        return status;
    if (link_is_wanted(x->api->link))
        link_refresh(x->api->link, REFRESH_WAIT_MS);
    return admin_agents(x);
}

int admin_upstreams(struct exchange *x)
{
    json_t *upstreams = upstreams_json(x->api->upstreams);

    x->answer.json = upstreams == NULL ? NULL
                                       : json_pack("{s:I,s:o}", "generation",
                                                   (json_int_t)x->policy->config->generation,
                                                   "upstreams", upstreams);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "upstreams") : 0;
}

int admin_upstreams_refresh(struct exchange *x)
{
    int status = refresh_component(x, CONFIG_UPSTREAMS);

    return status != 0 || x->answer.json != NULL ? status : admin_upstreams(x);
}

int admin_tools(struct exchange *x)
{
    json_t *tools = toolset_json(x->api->toolset);

    x->answer.json = tools == NULL ? NULL
                                   : json_pack("{s:I,s:o}", "generation",
                                               (json_int_t)x->policy->config->generation, "tools",
                                               tools);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "tools") : 0;
}

/* The file anew, and what the servers offer now. */
int admin_tools_refresh(struct exchange *x)
{
    int status = refresh_component(x, CONFIG_TOOLS);

    if (status != 0 || x->answer.json != NULL)
        return status;
    toolset_refresh(x->api->toolset, REFRESH_WAIT_MS);
    return admin_tools(x);
}

int admin_errors(struct exchange *x)
{
    struct db *db = store_acquire(x->api->store, &x->err);
    json_t *errors = NULL;
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = errors_ring_list(db, ERRORS_RING_MAX, &errors, &x->err);
    store_release(x->api->store, db);
    if (status != 0)
        return status;
    x->answer.json = json_pack("{s:o}", "errors", errors);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "errors") : 0;
}

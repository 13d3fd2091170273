/* SPDX-License-Identifier: MIT */
/* Shows operators what is configured and what is wrong with it. */
#include "api/derive.h"
#include "api/handlers.h"
#include "api/json_values.h"
#include "api/refresh.h"
#include "store/errors_ring.h"

enum { REFRESH_WAIT_MS = 5000 };

static json_t *agent_json(const struct catalog_agent *agent)
{
    const struct config_agent *spec = agent->spec;
    json_t *diagnostics = json_array(), *tools = json_array();

    if (agent->problem != NULL)
        json_array_append_new(diagnostics,
                              json_pack("{s:s,s:s,s:s}", "kind", "dependency", "severity",
                                        "error", "message", agent->problem));
    for (size_t i = 0; i < spec->tool_count; i++)
        json_array_append_new(tools, json_string(spec->tools[i]));
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:b,s:s,s:i,s:o}", "id", spec->id,
                     "namespace", spec->ns, "name", spec->name, "display_name",
                     json_values_text(spec->display_name), "description",
                     json_values_text(spec->description), "kind",
                     spec->kind == AGENT_SDK ? "sdk" : "declarative", "upstream",
                     json_values_text(spec->upstream), "model", json_values_text(spec->model), "tools",
                     tools, "available", agent->available, "file", spec->place.file, "line",
                     spec->place.line, "diagnostics", diagnostics);
}

int admin_agents(struct exchange *x)
{
    const struct catalog *catalog = derive_catalog(x->policy);
    json_t *agents = json_array();

    for (size_t i = 0; i < catalog_count(catalog); i++)
        json_array_append_new(agents, agent_json(catalog_at(catalog, i)));
    x->answer.json = json_pack("{s:I,s:o}", "generation",
                               (json_int_t)x->policy->config->generation, "agents", agents);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "agents") : 0;
}

int admin_agents_refresh(struct exchange *x)
{
    int status = refresh_component(x, CONFIG_AGENTS);

    return status != 0 || x->answer.json != NULL ? status : admin_agents(x);
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

/* SPDX-License-Identifier: MIT */
/* Says whether the gateway lives, and whether it can serve. */
#include "agent/catalog.h"
#include "api/derive.h"
#include "api/handlers.h"

static int no_memory(struct exchange *x)
{
    return err_set(&x->err, AGW_ENOMEM, "health");
}

int health_alive(struct exchange *x)
{
    x->answer.json = json_pack("{s:s}", "status", "ok");
    return x->answer.json == NULL ? no_memory(x) : 0;
}

static bool any_agent(const struct policy *policy)
{
    const struct catalog *catalog = derive_catalog(policy);

    for (size_t i = 0; i < catalog_count(catalog); i++)
        if (catalog_at(catalog, i)->available)
            return true;
    return false;
}

int health_ready(struct exchange *x)
{
    bool store = x->policy != NULL, audit = audit_healthy(x->api->audit);
    bool upstreams = upstreams_any_usable(x->api->upstreams);
    bool agents = store && any_agent(x->policy);
    bool ready = store && audit && upstreams && agents;
    json_t *waiting = json_array();

    if (!store)
        json_array_append_new(waiting, json_string("database"));
    if (!audit)
        json_array_append_new(waiting, json_string("audit"));
    if (!upstreams)
        json_array_append_new(waiting, json_string("upstreams"));
    if (store && !agents)
        json_array_append_new(waiting, json_string("agents"));
    x->answer.status = ready ? 200 : 503;
    x->answer.json = json_pack("{s:s,s:o}", "status", ready ? "ready" : "not ready",
                               "not_ready", waiting);
    return x->answer.json == NULL ? no_memory(x) : 0;
}

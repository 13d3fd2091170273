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

static bool any_agent(struct exchange *x)
{
    const struct catalog *catalog = context_catalog(x);

    for (size_t i = 0; i < catalog_count(catalog); i++)
        if (catalog_at(catalog, i)->available)
            return true;
    return false;
}

/* Told, but never a reason to send clients elsewhere: agents of agents.yaml do without it. */
static const char *runner_state(struct link *link)
{
    return !link_is_wanted(link) ? "unused" : link_is_up(link) ? "connected" : "away";
}

int health_ready(struct exchange *x)
{
    bool store = x->policy != NULL, audit = audit_healthy(x->api->audit);
    bool upstreams = upstreams_any_usable(x->api->upstreams);
    bool agents = store && any_agent(x);
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
    x->answer.json = json_pack("{s:s,s:o,s:s}", "status", ready ? "ready" : "not ready",
                               "not_ready", waiting, "runner", runner_state(x->api->link));
    return x->answer.json == NULL ? no_memory(x) : 0;
}

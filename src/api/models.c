/* SPDX-License-Identifier: MIT */
/* Lists the agents a key may call, as models. */
#include "api/derive.h"
#include "api/handlers.h"

static bool may_call(const struct exchange *x, const struct catalog_agent *agent)
{
    struct decision d;

    if (!agent->available)
        return false;
    decide_agent(&x->policy->config->security, x->key, &x->policy->overrides, agent->spec->id,
                 agent->spec->ns, store_now(x->api->store), &d);
    return d.allowed;
}

static json_t *model_json(const struct exchange *x, const struct config_agent *spec)
{
    json_t *model =
        json_pack("{s:s,s:s,s:I,s:s}", "id", spec->id, "object", "model", "created",
                  (json_int_t)(x->api->started_ms / 1000), "owned_by", spec->ns);

    if (model != NULL && spec->display_name != NULL)
        json_object_set_new(model, "display_name", json_string(spec->display_name));
    if (model != NULL && spec->description != NULL)
        json_object_set_new(model, "description", json_string(spec->description));
    return model;
}

int models_list(struct exchange *x)
{
    const struct catalog *catalog = context_catalog(x);
    json_t *data = json_array();

    for (size_t i = 0; i < catalog_count(catalog); i++)
        if (may_call(x, catalog_at(catalog, i)))
            json_array_append_new(data, model_json(x, catalog_at(catalog, i)->spec));
    x->answer.json = json_pack("{s:s,s:o}", "object", "list", "data", data);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "models") : 0;
}

/* One that exists but may not be called looks exactly like one that does not. */
int models_get(struct exchange *x)
{
    if (x->object_id == NULL)
        return err_set(&x->err, AGW_EMODEL, "no model id");
    if (context_name_agent(x, x->object_id) != 0)
        return AGW_ENOMEM;
    if (x->agent == NULL || !may_call(x, x->agent)) {
        x->agent = NULL;
        return err_set(&x->err, AGW_EMODEL, "model %.100s", x->agent_id);
    }
    x->answer.json = model_json(x, x->agent->spec);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "model") : 0;
}

/* SPDX-License-Identifier: MIT */
/* Small questions that several steps ask of a request's context. */
#include "api/context.h"

#include <string.h>

#include "api/derive.h"

int64_t context_rate_per_minute(const struct config_security *security,
                                const struct config_key *key)
{
    return key->rate_per_minute >= 0 ? key->rate_per_minute : security->rate_per_minute;
}

const struct catalog *context_catalog(struct exchange *x)
{
    if (x->catalog == NULL)
        x->catalog = derive_catalog(x->policy, x->api->link);
    return x->catalog;
}

int context_name_agent(struct exchange *x, const char *name)
{
    struct catalog_target target;

    if (catalog_target(context_catalog(x), name, x->request.arena, &target) != 0)
        return err_set(&x->err, AGW_ENOMEM, "agent name");
    x->agent = target.agent;
    x->agent_id = target.id;
    x->ns = target.ns;
    return 0;
}

void context_decide(struct exchange *x, const struct config_key *key)
{
    x->decided_at = store_now(x->api->store);
    decide_agent(&x->policy->config->security, key, &x->policy->overrides, x->agent_id, x->ns,
                 x->decided_at, &x->decision);
    x->decided = true;
    x->decided_for = key;
}

int context_denied(struct exchange *x)
{
    return err_set_public(&x->err, AGW_EDENIED, "model",
                          "This API key may not call the agent '%.100s'.", x->agent_id);
}

static const char *place_text(struct exchange *x, const struct config_place *place)
{
    if (place->line == 0)
        return place->file; /* "key:ID", or NULL: no rule */
    return arena_printf(x->request.arena, "%s:%d", place->file, place->line);
}

const char *context_place(struct exchange *x)
{
    const struct decision *d = &x->decision;

    return d->override != NULL ? d->override->id : place_text(x, &d->place);
}

const char *context_shadow_place(struct exchange *x)
{
    return place_text(x, &x->decision.shadow.place);
}

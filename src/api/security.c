/* SPDX-License-Identifier: MIT */
/* Explains decisions before they are made, and puts a changed policy into force. */
#include "api/decision_json.h"
#include "api/fields.h"
#include "api/handlers.h"
#include "api/json_values.h"
#include "api/refresh.h"
#include "policy/budget.h"
#include "policy/decide_tool.h"
#include "policy/explain.h"
#include "util/glob.h"

static const struct field preview_fields[] = {
    {"agent", FIELD_TEXT, true, 1, GLOB_MAX},
    {"key_id", FIELD_TEXT, false, 1, 128},
    {"tool", FIELD_TEXT, false, 1, GLOB_MAX},
};
const struct field_set security_preview_fields = {preview_fields, 3, true};

/* Decides for the named key, by default the caller's; never for nobody. */
int security_preview_target(struct exchange *x)
{
    const struct config_key *key = x->key;
    const char *key_id;

    if (fields_check(x->body, preview_fields, 3, true, &x->err) != 0)
        return AGW_EINVALID;
    key_id = fields_text(x->body, "key_id");
    if (key_id != NULL)
        key = policy_find_key(x->policy, key_id);
    if (key == NULL)
        return err_set_public(&x->err, AGW_EINVALID, "key_id", "There is no key '%.100s'.",
                              key_id);
    if (context_name_agent(x, fields_text(x->body, "agent")) != 0)
        return AGW_ENOMEM;
    context_decide(x, key);
    return 0;
}

/* May the agent call this tool, when the key asks it to? */
static json_t *preview_tool(struct exchange *x, const char *name)
{
    struct tool *tool = toolset_find(x->api->toolset, name);
    bool local = tool != NULL && tool->config->provider == TOOL_LOCAL;
    struct decide_tool subject = {.tool = name, .agent = x->agent_id,
                                  .command = local ? tool->config->command[0] : NULL};
    struct decision decision;
    json_t *json;

    decide_tool(&x->policy->config->security, x->decided_for, &subject, &decision);
    json = decision_json_tool(name, tool != NULL, &decision);
    tool_release(&tool);
    return json;
}

int security_preview(struct exchange *x)
{
    const struct override *o = x->decision.override;
    struct decision_subject subject = {
        .key_id = x->decided_for->id,
        .target = {x->agent, x->agent_id, x->ns},
        .generation = x->policy->config->generation,
        .at = x->decided_at,
        .uses = o == NULL ? -1 : budget_uses(x->api->tally, o),
        .status = explain_status(x->decided_for, x->agent != NULL && x->agent->available,
                                 &x->decision, x->decided_at)};
    const char *tool = fields_text(x->body, "tool");

    x->answer.json = decision_json(&subject, &x->decision);
    if (x->answer.json != NULL && tool != NULL)
        json_object_set_new(x->answer.json, "tool", preview_tool(x, tool));
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "preview") : 0;
}

/* What each key may do by the new policy, with what it inherits filled in. */
int security_refresh(struct exchange *x)
{
    const struct config_security *security;
    int status = refresh_component(x, CONFIG_SECURITY);
    json_t *keys;

    if (status != 0 || x->answer.json != NULL)
        return status;
    security = &x->policy->config->security;
    keys = json_array();
    for (size_t i = 0; i < security->key_count; i++) {
        const struct config_key *key = &security->keys[i];
        const struct config_patterns *allow =
            key->allow_agents.present ? &key->allow_agents : &security->allow_agents;

        json_array_append_new(
            keys, json_pack("{s:s,s:o,s:I,s:o}", "key_id", key->id, "allow_agents",
                            json_values_patterns(allow), "rate_limit_per_minute",
                            (json_int_t)context_rate_per_minute(security, key), "expires_at",
                            json_values_time(key->expires_at)));
    }
    x->answer.json = keys;
    return 0;
}

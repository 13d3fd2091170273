/* SPDX-License-Identifier: MIT */
/* Puts an explanation into words: what was decided, why, and what would allow it. */
#include <string.h>

#include "api/decision_json.h"
#include "api/json_values.h"
#include "ctl/explain.h"
#include "policy/explain.h"
#include "util/buf.h"

enum { COMMAND_MAX = 4096, ARENA_MAX = 1 << 20 };

/* As a shell takes it for one word. */
static void quote(struct buf *out, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "./_-";

    if (word[0] != '\0' && word[0] != '-' && strspn(word, plain) == strlen(word)) {
        buf_puts(out, word);
        return;
    }
    buf_puts(out, "'");
    for (; *word != '\0'; word++)
        buf_puts(out, *word == '\'' ? "'\\''" : (char[]){*word, '\0'});
    buf_puts(out, "'");
}

/* The smallest grant there is: this key, this agent, an hour. */
static json_t *grant_command(const char *key_id, const char *agent)
{
    struct buf text;
    json_t *command;

    buf_init(&text, COMMAND_MAX);
    buf_puts(&text, "agwctl override create --agent ");
    quote(&text, agent);
    buf_puts(&text, " --key ");
    quote(&text, key_id);
    buf_puts(&text, " --ttl 1h --reason 'why it is needed'");
    command = text.failed ? json_null() : json_string(buf_text(&text));
    buf_free(&text);
    return command;
}

static json_t *key_command(const char *key_id)
{
    struct buf text;
    json_t *command;

    buf_init(&text, COMMAND_MAX);
    buf_puts(&text, "agwctl key create ");
    quote(&text, key_id);
    command = text.failed ? json_null() : json_string(buf_text(&text));
    buf_free(&text);
    return command;
}

static void add_remedy(json_t *list, json_t *action, const struct config_place *place,
                       json_t *command)
{
    static const struct config_place nowhere;

    json_array_append_new(
        list, json_pack("{s:o,s:o,s:o}", "action", action, "place",
                        decision_json_place(place == NULL ? &nowhere : place), "command",
                        command == NULL ? json_null() : command));
}

/* What a key made at run time may do never changes. */
static bool is_of_file(const struct config_key *key)
{
    return key->place.line != 0;
}

static void add_key_remedies(json_t *list, const struct explain_question *q,
                             const struct explanation *x)
{
    if (x->key == NULL) {
        add_remedy(list, json_sprintf("there is no key '%s': add it to security.yaml, or make "
                                      "it by the command", q->key_id), NULL,
                   key_command(q->key_id));
        return;
    }
    if (x->expired)
        add_remedy(list, json_sprintf("the key '%s' has expired: %s", x->key->id,
                                      is_of_file(x->key) ? "give it a later expires_at"
                                                         : "make another one"),
                   &x->key->place, NULL);
    if ((x->key->roles & ROLE_CLIENT) == 0)
        add_remedy(list, json_sprintf("the key '%s' has not the role client: %s", x->key->id,
                                      is_of_file(x->key) ? "add it to roles"
                                                         : "make another key with it"),
                   &x->key->place, NULL);
}

/* Only the runner knows the agents in its folders, and their ids decide all the same. */
static bool may_be_dropin(const struct policy *policy, const struct catalog_target *target)
{
    return target->agent == NULL && target->ns[0] != '\0' &&
           policy->config->gateway.discovery_path != NULL;
}

static void add_agent_remedies(json_t *list, const struct policy *policy,
                               const struct catalog_target *target)
{
    if (may_be_dropin(policy, target))
        add_remedy(list, json_sprintf("agents.yaml has no agent '%s': GET /admin/agents says"
                                      " whether it is a drop-in", target->id), NULL, NULL);
    else if (target->agent == NULL)
        add_remedy(list, json_sprintf("there is no agent '%s': add it to agents.yaml",
                                      target->id), NULL, NULL);
    else if (!target->agent->available)
        add_remedy(list, json_sprintf("the agent is not available: %s", target->agent->problem),
                   &target->agent->spec->place, NULL);
}

static void add_rule_remedies(json_t *list, const struct policy *policy,
                              const struct catalog_target *target, const struct explanation *x)
{
    for (size_t i = 0; i < x->blocker_count; i++)
        add_remedy(list, json_sprintf("remove or narrow '%s' of %s: no grant beats it",
                                      x->blockers[i].pattern, x->blockers[i].rule),
                   &x->blockers[i].place, NULL);
    if (!x->needs_grant)
        return;
    if (target->agent != NULL || may_be_dropin(policy, target))
        add_remedy(list, json_sprintf("%sgrant it for a while, to this key alone",
                                      x->blocker_count > 0 ? "then " : ""),
                   NULL, grant_command(x->key->id, target->id));
    add_remedy(list, json_sprintf(is_of_file(x->key)
                                      ? "or for good: add '%s' to allow_agents of the key '%s'"
                                      : "or for good: make a key that has '%s' among its "
                                        "allow_agents, in place of '%s'",
                                  target->id, x->key->id), &x->key->place, NULL);
}

static json_t *remedies(const struct explain_question *q, const struct policy *policy,
                        const struct catalog_target *target, const struct explanation *x)
{
    json_t *list = json_array();

    add_key_remedies(list, q, x);
    add_agent_remedies(list, policy, target);
    if (x->key != NULL && !x->decision.allowed)
        add_rule_remedies(list, policy, target, x);
    return list;
}

static json_t *make(const struct past *past, const struct policy *policy,
                    const struct explain_question *q, struct arena *arena)
{
    static const struct config_place nowhere;
    struct explanation x;
    struct decision_subject s = {.key_id = q->key_id,
                                 .generation = policy->config->generation,
                                 .at = q->moment.at,
                                 .uses = -1};
    json_t *json;

    if (catalog_target(past_catalog(policy), q->agent, arena, &s.target) != 0)
        return NULL;
    explain_request(policy, q->key_id, s.target.id, s.target.ns,
                    s.target.agent == NULL ? may_be_dropin(policy, &s.target)
                                           : s.target.agent->available,
                    q->moment.at, &x);
    s.status = x.status;
    json = decision_json(&s, &x.decision);
    if (json == NULL)
        return NULL;
    json_object_set_new(json, "at", json_values_time(q->moment.at));
    json_object_set_new(json, "basis", json_string(past->from_files ? "files" : "in force"));
    json_object_set_new(json, "key_exists", json_boolean(x.key != NULL));
    json_object_set_new(json, "key_place",
                        decision_json_place(x.key == NULL ? &nowhere : &x.key->place));
    json_object_set_new(json, "remedies", remedies(q, policy, &s.target, &x));
    return json;
}

int explain_document(struct past *past, const struct explain_question *question,
                     json_t **document)
{
    const struct policy *policy;
    struct arena *arena = arena_new(ARENA_MAX);
    int status = past_policy(past, &question->moment, &policy);

    *document = NULL;
    if (status == CTL_FINE && arena != NULL)
        *document = make(past, policy, question, arena);
    arena_free(&arena);
    if (status == CTL_FINE && *document == NULL)
        status = call_fail("out of memory");
    return status;
}

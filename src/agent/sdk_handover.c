/* SPDX-License-Identifier: MIT */
/* Lets the model of a module call the tools of the client. The module never hears of them: a turn
 * that calls one ends there as an answer without calls, and for the client with them. */
#include <stdio.h>
#include <string.h>

#include "agent/sdk_run.h"

/* ---- the run ---- */

int sdk_handover_open(struct sdk_run *r, struct err *e)
{
    if (!r->run->agent->spec->client_tools ||
        json_array_size(json_object_get(r->run->request, "tools")) == 0)
        return 0;
    return toolbox_open(&r->box, r->run, e);
}

void sdk_handover_close(struct sdk_run *r)
{
    toolbox_close(&r->box);
    json_decref(r->handed);
}

bool sdk_handover_takes(const struct sdk_run *r, const json_t *message)
{
    return r->box.client_names != NULL && json_is_true(json_object_get(message, "main"));
}

const json_t *sdk_handover_calls(struct sdk_run *r)
{
    const json_t *handed;

    pthread_mutex_lock(&r->lock);
    handed = r->handed;
    pthread_mutex_unlock(&r->lock);
    return handed;
}

void sdk_handover_take(struct sdk_run *r, const struct tool_turn *turn, json_t *calls_take)
{
    pthread_mutex_lock(&r->lock);
    if (r->handed == NULL) {
        r->handed = json_incref(calls_take);
        snprintf(r->handed_reason, sizeof r->handed_reason, "%s", tool_turn_finish(turn));
    }
    pthread_mutex_unlock(&r->lock);
    json_decref(calls_take);
}

/* ---- what the model is offered ---- */

static int check_names(const struct sdk_run *r, const json_t *own, const json_t *sent,
                       struct err *e)
{
    const json_t *definition, *other;
    size_t i, k;

    json_array_foreach((json_t *)own, i, definition)
    {
        const char *name = toolbox_name(definition);

        if (name == NULL || json_object_get(r->box.client_names, name) == NULL)
            continue;
        json_array_foreach((json_t *)sent, k, other)
        {
            const char *given = toolbox_name(other);

            if (given != NULL && strcmp(given, name) == 0)
                return toolbox_clash(r->run, k, name, e);
        }
    }
    return 0;
}

/* Once: forced in every turn, a call would be all that the model can answer with. That nothing is to
 * be called holds for all of them. */
static int choose(struct sdk_run *r, json_t *body)
{
    json_t *choice = json_object_get(r->run->request, "tool_choice");
    const char *text = json_string_value(choice);
    bool is_none = text != NULL && strcmp(text, "none") == 0, has_chosen;

    pthread_mutex_lock(&r->lock);
    has_chosen = r->has_chosen;
    r->has_chosen = true;
    pthread_mutex_unlock(&r->lock);
    return (has_chosen && !is_none) || choice == NULL
               ? 0
               : json_object_set_new(body, "tool_choice", json_deep_copy(choice));
}

int sdk_handover_offer(struct sdk_run *r, json_t *body, struct err *e)
{
    static const char parallel[] = "parallel_tool_calls";
    const json_t *request = r->run->request, *sent = json_object_get(request, "tools"), *own;
    json_t *all;
    int status;

    own = json_object_get(body, "tools");
    status = check_names(r, own, sent, e);
    if (status != 0)
        return status;
    all = own == NULL ? json_array() : json_copy((json_t *)own);
    sent = json_deep_copy(sent);
    status = json_array_extend(all, (json_t *)sent) | json_object_set(body, "tools", all) |
             choose(r, body);
    if (json_object_get(body, parallel) == NULL && json_object_get(request, parallel) != NULL)
        status |= json_object_set_new(body, parallel,
                                      json_deep_copy(json_object_get(request, parallel)));
    json_decref(all);
    json_decref((json_t *)sent);
    return status == 0 ? 0 : err_set(e, AGW_ENOMEM, "the client's tools");
}

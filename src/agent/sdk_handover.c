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

/* ---- what it answers ---- */

int sdk_turn_init(struct sdk_turn *t, const struct sdk_run *r, struct err *e)
{
    tool_turn_init(&t->turn, &r->box, r->run->added_max);
    t->kept = json_array();
    return t->kept == NULL ? err_set(e, AGW_ENOMEM, "the answer of a model") : 0;
}

void sdk_turn_free(struct sdk_turn *t)
{
    tool_turn_free(&t->turn);
    json_decref(t->kept);
}

/* From the first call on, until it is known whose the calls are: what comes after must not come
 * before. */
int sdk_turn_chunk(struct sdk_turn *t, json_t *chunk, bool *kept, struct err *e)
{
    json_t *shown;
    int status = tool_turn_chunk(&t->turn, chunk, &shown, e);

    json_decref(shown);
    *kept = t->turn.count > 0;
    if (status == 0 && *kept && json_array_append_new(t->kept, json_deep_copy(chunk)) != 0)
        return err_set(e, AGW_ENOMEM, "a chunk");
    return status;
}

/* As if the model had said no more than its text. `where`: "message" or "delta". */
static int without_calls(json_t *answer, const char *where)
{
    json_t *choice;
    size_t i;
    int bad = 0;

    json_array_foreach(json_object_get(answer, "choices"), i, choice)
    {
        json_t *said = json_object_get(choice, where);
        const char *reason = json_string_value(json_object_get(choice, "finish_reason"));

        json_object_del(said, "tool_calls");
        if (json_is_object(said) && !json_is_string(json_object_get(said, "content")))
            bad |= json_object_set_new(said, "content", json_string(""));
        if (reason != NULL && strcmp(reason, "tool_calls") == 0)
            bad |= json_object_set_new(choice, "finish_reason", json_string("stop"));
    }
    return bad;
}

static int hide(const struct sdk_turn *t, json_t **completion)
{
    json_t *copy, *chunk;
    size_t i;
    int bad = 0;

    json_array_foreach(t->kept, i, chunk)
        bad |= without_calls(chunk, "delta");
    if (*completion == NULL || bad != 0)
        return bad;
    copy = json_deep_copy(*completion);
    if (copy == NULL || without_calls(copy, "message") != 0) {
        json_decref(copy);
        return -1;
    }
    json_decref(*completion);
    *completion = copy;
    return 0;
}

/* The first turn that calls the client's tools is the last. */
static void hand_over(struct sdk_run *r, const struct tool_turn *turn, json_t *calls_take)
{
    pthread_mutex_lock(&r->lock);
    if (r->handed == NULL) {
        r->handed = json_incref(calls_take);
        snprintf(r->handed_reason, sizeof r->handed_reason, "%s", tool_turn_finish(turn));
    }
    pthread_mutex_unlock(&r->lock);
    json_decref(calls_take);
}

int sdk_turn_end(struct sdk_turn *t, struct sdk_run *r, json_t **completion, struct err *e)
{
    bool goes_on;
    json_t *calls;
    int status = *completion == NULL ? 0 : tool_turn_completion(&t->turn, *completion, e);

    if (status == 0)
        status = tool_turn_settle(&t->turn, &goes_on, e);
    if (status != 0 || t->turn.client_count == 0)
        return status;
    calls = tool_turn_client_calls(&t->turn);
    if (calls == NULL || hide(t, completion) != 0) {
        json_decref(calls);
        return err_set(e, AGW_ENOMEM, "calls of the client's tools");
    }
    hand_over(r, &t->turn, calls);
    return 0;
}

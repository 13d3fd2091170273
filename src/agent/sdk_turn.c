/* SPDX-License-Identifier: MIT */
/* Looks at what a module's model answers for calls that are no module's: of the client's tools,
 * which the module is not to see, and of tools that nobody has, which leave their mark. */
#include <string.h>

#include "agent/sdk_run.h"
#include "agent/tool_round.h"

int sdk_turn_init(struct sdk_turn *t, const struct sdk_run *r, json_t *offered, bool takes,
                  struct err *e)
{
    static const struct toolbox nobody;

    tool_turn_init(&t->turn, takes ? &r->box : &nobody, r->run->added_max);
    t->takes = takes;
    t->offered = json_incref(offered);
    t->kept = json_array();
    return t->kept == NULL ? err_set(e, AGW_ENOMEM, "the answer of a model") : 0;
}

void sdk_turn_free(struct sdk_turn *t)
{
    tool_turn_free(&t->turn);
    json_decref(t->offered);
    json_decref(t->kept);
}

/* `where`: "message" or "delta". */
static bool calls_tools(const json_t *answer, const char *where)
{
    const json_t *choice;
    size_t i;

    json_array_foreach(json_object_get(answer, "choices"), i, choice)
        if (json_array_size(json_object_get(json_object_get(choice, where), "tool_calls")) > 0)
            return true;
    return false;
}

/* From the first call on, until it is known whose the calls are: what comes after must not come
 * before. */
int sdk_turn_chunk(struct sdk_turn *t, json_t *chunk, bool *kept, struct err *e)
{
    json_t *shown;
    int status;

    *kept = false;
    if (!t->takes && t->turn.count == 0 && !calls_tools(chunk, "delta"))
        return 0;
    status = tool_turn_chunk(&t->turn, chunk, &shown, e);
    json_decref(shown);
    *kept = t->takes && t->turn.count > 0;
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

static int end_for_client(struct sdk_turn *t, struct sdk_run *r, json_t **completion,
                          struct err *e)
{
    json_t *calls = tool_turn_client_calls(&t->turn);

    if (calls == NULL || hide(t, completion) != 0) {
        json_decref(calls);
        return err_set(e, AGW_ENOMEM, "calls of the client's tools");
    }
    sdk_handover_take(r, &t->turn, calls);
    return 0;
}

/* The module has nothing to ask the gateway for then, so this is the place to record it. What
 * policy keeps from it is not unknown: that is denied. Nothing runs in either case. */
static int record_unknown(const struct turn_call *call, const struct tool_list *gateway,
                          struct sdk_run *r, struct err *e)
{
    const struct tool *tool = tool_list_find(gateway, turn_call_name(call));
    struct invoke_request request = turn_call_request(call);
    struct tool_result result = {0};
    int status = sdk_calls_count_tool(r, e);

    if (tool != NULL && !invoke_allows(&r->caller, tool))
        request.tool = tool;
    if (status == 0)
        status = invoke_tool(&r->caller, &request, &result, e);
    tool_result_clear(&result);
    return status;
}

/* No more of them than are made of a turn. */
static int record_all_unknown(const struct sdk_turn *t, const bool *unknown, struct sdk_run *r,
                              struct err *e)
{
    static const char *const all[] = {"*"};
    struct tool_list gateway = {0};
    const char *missing;
    int status = toolset_resolve(r->caller.toolset, all, 1, &gateway, &missing, e);

    for (size_t i = 0; status == 0 && i < t->turn.count && i < TOOL_ROUND_CALLS_MAX; i++)
        if (unknown[i])
            status = record_unknown(&t->turn.calls[i], &gateway, r, e);
    tool_list_clear(&gateway);
    if (status != 0)
        sdk_run_break(r, e);
    return status;
}

int sdk_turn_end(struct sdk_turn *t, struct sdk_run *r, json_t **completion, struct err *e)
{
    bool unknown[TOOL_ROUND_CALLS_MAX] = {false}, any = false, goes_on;
    int status = 0;

    if (*completion != NULL && (t->takes || calls_tools(*completion, "message")))
        status = tool_turn_completion(&t->turn, *completion, e);
    for (size_t i = 0; i < t->turn.count && i < TOOL_ROUND_CALLS_MAX; i++) { /* names change below */
        unknown[i] = !sdk_tools_has(t->offered, turn_call_name(&t->turn.calls[i]));
        any = any || unknown[i];
    }
    if (status == 0)
        status = tool_turn_settle(&t->turn, &goes_on, e);
    if (status == 0 && t->turn.client_count > 0)
        return t->takes ? end_for_client(t, r, completion, e) : 0;
    return status == 0 && goes_on && any ? record_all_unknown(t, unknown, r, e) : status;
}

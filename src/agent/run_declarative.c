/* SPDX-License-Identifier: MIT */
/* Answers for an agent of agents.yaml: once, or in a loop with its tools. */
#include "agent/run_declarative.h"

#include "agent/tool_loop.h"

/* Calls of tools belong to one answer: with several, whose would be gone on with? */
static int check_choices(const struct agent_run *run, struct err *e)
{
    if (json_integer_value(json_object_get(run->request, "n")) <= 1)
        return 0;
    return err_set_public(e, AGW_EINVALID, "n",
                          "The agent '%.100s' calls tools, so 'n' must be 1.",
                          run->agent->spec->id);
}

static int ask(void *arg, json_t *body, const struct chat_sink *sink, struct chat_part *part,
               struct chat_usage *usage, struct err *e)
{
    const struct agent_run *run = arg;

    return chat_call(run->upstreams, run->agent->spec->upstream, body, run->request_id, sink, part,
                     usage, e);
}

/* Through the one door. */
static int call_tool(void *arg, const struct turn_call *call, int64_t deadline_ms,
                     struct tool_result *result, struct err *e)
{
    const struct agent_run *run = arg;
    struct invoke_request request = turn_call_request(call);

    request.deadline_ms = deadline_ms == INT64_MAX ? 0 : deadline_ms;
    return invoke_tool(run->caller, &request, result, e);
}

static int loop(const struct agent_run *run, const struct toolbox *box, json_t *body,
                struct chat_usage *usage, struct err *e)
{
    struct tool_loop with = {
        .agent = run->agent->spec->id, .max_rounds = run->agent->spec->max_tool_hops,
        .added_max = run->added_max, .streaming = run->streaming, .box = box, .sink = run->sink,
        .hops = run->hops, .ask = ask, .call = call_tool, .arg = (void *)run};

    return tool_loop_run(&with, body, usage, e);
}

/* With max_tool_hops 0 its tools are the client's to call. */
int run_declarative(const struct agent_run *run, struct chat_usage *usage, struct err *e)
{
    const struct config_agent *spec = run->agent->spec;
    bool loops = spec->tool_count > 0 && spec->max_tool_hops > 0;
    struct toolbox box = {0};
    json_t *body = NULL;
    int status = loops ? check_choices(run, e) : 0;

    if (status == 0 && spec->tool_count > 0)
        status = toolbox_open(&box, run, e);
    if (status != 0)
        goto out;
    body = run_declarative_body(spec, run->request, box.definitions, run->streaming);
    if (body == NULL)
        status = err_set(e, AGW_ENOMEM, "building the request of %s", spec->id);
    else if (loops)
        status = loop(run, &box, body, usage, e);
    else
        status = ask((void *)run, body, run->sink, NULL, usage, e);
out:
    json_decref(body);
    toolbox_close(&box);
    return status;
}

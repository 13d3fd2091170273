/* SPDX-License-Identifier: MIT */
/* Says to a module what it is to do. */
#include <string.h>

#include "agent/sdk_run.h"
#include "util/clock.h"

enum { HEARTBEAT_MS = 2000 };

static json_t *described(const struct tool *tool)
{
    return json_pack("{s:s*,s:o}", "description", tool->description, "parameters",
                     json_deep_copy(tool->schema));
}

/* The tools of the gateway that this key and this agent may call, by name. */
static json_t *gateway_tools(const struct agent_run *run)
{
    static const char *const all[] = {"*"};
    json_t *tools = json_object();
    struct tool_list list = {0};
    const char *missing;
    struct err e;

    if (tools == NULL || toolset_resolve(run->caller->toolset, all, 1, &list, &missing, &e) != 0) {
        json_decref(tools);
        return NULL;
    }
    for (size_t i = 0; i < list.count; i++)
        if (invoke_allows(run->caller, list.tools[i]))
            json_object_set_new(tools, list.tools[i]->name, described(list.tools[i]));
    tool_list_clear(&list);
    return tools;
}

json_t *sdk_start_hello(const struct agent_run *run)
{
    return json_pack("{s:s,s:i,s:{s:i,s:i,s:i},s:o}", "t", "hello", "v", WIRE_VERSION, "limits",
                     "max_line", WIRE_LINE_MAX, "max_turns", SDK_TURNS_MAX, "heartbeat_ms",
                     HEARTBEAT_MS, "gateway_tools", gateway_tools(run));
}

/* Everything of the request but what the gateway sees to itself. */
static json_t *params(const json_t *request)
{
    static const char *const own[] = {"model", "messages", "stream", "stream_options", "user",
                                      "metadata"};
    json_t *copy = json_deep_copy(request);

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        json_object_del(copy, own[i]);
    return copy;
}

static json_t *context(const struct agent_run *run)
{
    const json_t *user = json_object_get(run->request, "user");
    const json_t *metadata = json_object_get(run->request, "metadata");

    return json_pack("{s:s,s:s?,s:s,s:o*,s:o*}", "request_id", run->request_id, "key_id",
                     run->caller->key == NULL ? NULL : run->caller->key->id, "agent",
                     run->agent->spec->id, "user", json_deep_copy(user), "metadata",
                     json_deep_copy(metadata));
}

json_t *sdk_start_run(const struct agent_run *run, const struct dropin *dropin,
                      int64_t deadline_ms)
{
    const char *uid = run->caller->request_uid;

    return json_pack("{s:s,s:s,s:{s:s,s:s},s:s,s:b,s:o,s:o,s:b,s:i,s:I,s:o}", "t", "run.start",
                     "run", uid == NULL ? run->request_id : uid, "agent", "path", dropin->path,
                     "attr", dropin->attr, "model", dropin->spec.model, "model_given",
                     dropin->model_given, "messages",
                     json_deep_copy(json_object_get(run->request, "messages")), "params",
                     params(run->request), "stream", run->streaming, "max_turns", SDK_TURNS_MAX,
                     "deadline_ms", (json_int_t)(deadline_ms - clock_mono_ms()), "context",
                     context(run));
}

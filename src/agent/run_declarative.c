/* SPDX-License-Identifier: MIT */
/* Turns a client's request into the one that its agent makes. */
#include "agent/run_declarative.h"

#include <string.h>

#include "agent/tool_loop.h"

/* Metadata for the gateway itself, never sent upstream. */
static const char *const own_metadata[] = {"max_tool_hops", "max_completion_tokens"};

static bool is_own(const char *name)
{
    for (size_t i = 0; i < sizeof own_metadata / sizeof own_metadata[0]; i++)
        if (strcmp(own_metadata[i], name) == 0)
            return true;
    return false;
}

/* Upstreams refuse these where no tools are sent. */
static bool is_about_tools(const char *name)
{
    return strcmp(name, "tool_choice") == 0 || strcmp(name, "parallel_tool_calls") == 0;
}

/* The specification is shared by threads, so its values are copied, not referenced. */
static int add_defaults(json_t *body, const json_t *metadata)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)metadata, name, value)
    {
        if (is_own(name) || json_object_get(body, name) != NULL)
            continue;
        if (is_about_tools(name) && json_array_size(json_object_get(body, "tools")) == 0)
            continue;
        if (json_object_set_new(body, name, json_deep_copy(value)) != 0)
            return -1;
    }
    return 0;
}

static int cap(json_t *body, const char *field, int64_t most)
{
    json_t *value = json_object_get(body, field);

    if (!json_is_integer(value) || json_integer_value(value) <= most)
        return 0;
    return json_object_set_new(body, field, json_integer(most));
}

static int add_caps(json_t *body, int64_t most)
{
    if (most <= 0)
        return 0;
    if (!json_is_integer(json_object_get(body, "max_tokens")) &&
        !json_is_integer(json_object_get(body, "max_completion_tokens")))
        return json_object_set_new(body, "max_completion_tokens", json_integer(most));
    return cap(body, "max_tokens", most) | cap(body, "max_completion_tokens", most);
}

static int add_messages(json_t *body, const char *instructions, const json_t *messages)
{
    json_t *all = json_array();

    if (all == NULL)
        return -1;
    if (instructions != NULL &&
        json_array_append_new(all, json_pack("{s:s,s:s}", "role", "system", "content",
                                             instructions)) != 0)
        goto fail;
    if (json_array_extend(all, (json_t *)messages) != 0)
        goto fail;
    return json_object_set_new(body, "messages", all);
fail:
    json_decref(all);
    return -1;
}

/* A provider keeps what begins alike in a cache, so that the agent's come first. */
static int add_tools(json_t *body, const json_t *tools)
{
    json_t *sent = json_object_get(body, "tools"), *all;
    int status;

    if (json_array_size(tools) == 0)
        return 0;
    all = json_copy((json_t *)tools);
    status = all == NULL ? -1 : 0;
    if (status == 0 && sent != NULL)
        status = json_array_extend(all, sent);
    if (status == 0)
        status = json_object_set(body, "tools", all);
    json_decref(all);
    return status;
}

json_t *run_declarative_body(const struct config_agent *spec, const json_t *request,
                             const json_t *tools, bool streaming)
{
    json_t *body = json_copy((json_t *)request);

    if (body == NULL)
        return NULL;
    if (json_object_set_new(body, "model", json_string(spec->model)) != 0 ||
        json_object_set_new(body, "stream", json_boolean(streaming)) != 0 ||
        add_messages(body, spec->instructions, json_object_get(request, "messages")) != 0 ||
        add_tools(body, tools) != 0 || add_defaults(body, spec->metadata) != 0 ||
        add_caps(body, spec->max_completion_tokens) != 0) {
        json_decref(body);
        return NULL;
    }
    return body;
}

/* Calls of tools belong to one answer: with several, whose would be gone on with? */
static int check_choices(const struct agent_run *run, struct err *e)
{
    if (json_integer_value(json_object_get(run->request, "n")) <= 1)
        return 0;
    return err_set_public(e, AGW_EINVALID, "n",
                          "The agent '%.100s' calls tools, so 'n' must be 1.",
                          run->agent->spec->id);
}

static int ask_once(const struct agent_run *run, json_t *body, struct chat_usage *usage,
                    struct err *e)
{
    return chat_call(run->upstreams, run->agent->spec->upstream, body, run->request_id,
                     run->sink, NULL, usage, e);
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
        status = tool_loop_run(run, &box, body, usage, e);
    else
        status = ask_once(run, body, usage, e);
out:
    json_decref(body);
    toolbox_close(&box);
    return status;
}

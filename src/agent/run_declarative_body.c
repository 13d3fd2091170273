/* SPDX-License-Identifier: MIT */
/* Turns a client's request into the one that its agent makes. */
#include <string.h>

#include "agent/run_declarative.h"

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

int run_declarative_cap(json_t *body, int64_t most)
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
        run_declarative_cap(body, spec->max_completion_tokens) != 0) {
        json_decref(body);
        return NULL;
    }
    return body;
}

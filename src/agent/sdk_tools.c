/* SPDX-License-Identifier: MIT */
/* Lets a module use tools: those of the gateway through the one door, and its own by leave. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sdk_run.h"
#include "util/json_memory.h"
#include "util/json_text.h"
#include "util/log.h"

enum { HIDDEN_LOGGED_MAX = 100 }; /* a module can make up any number of tools */

/* ---- what a model is offered ---- */

/* Names of the SDK's own making: they hand the run over to another agent of the module. */
static bool is_handoff(const char *function)
{
    return strncmp(function, "transfer_to_", strlen("transfer_to_")) == 0;
}

static bool may_offer(const struct sdk_run *r, const struct tool_list *gateway,
                      const char *function)
{
    const struct tool *tool = tool_list_find(gateway, function);

    if (tool != NULL)
        return invoke_allows(&r->caller, tool);
    return is_handoff(function) || invoke_own_allows(&r->caller, function, r->dropin->module);
}

/* Else nobody would know why the model never calls it. */
static void log_hidden(const struct sdk_run *r, const char *function)
{
    struct log_line line;
    char name[101];

    snprintf(name, sizeof name, "%s", function);
    json_text_repair(name);
    log_begin(&line, LOG_INFO, "tool.hidden");
    log_str(&line, "request_id", r->run->request_id);
    log_str(&line, "key_id", r->caller.key == NULL ? NULL : r->caller.key->id);
    log_str(&line, "agent", r->run->agent->spec->id);
    log_str(&line, "module", r->dropin->module);
    log_str(&line, "tool", name);
    log_end(&line);
}

/* Its name; "" for what is no function: what a provider itself would run has no name that policy
 * could know. */
static const char *function_of(const json_t *definition)
{
    const char *type = sdk_call_text(definition, "type");

    return strcmp(type, "function") == 0 || json_object_get(definition, "type") == NULL
               ? sdk_call_text(json_object_get(definition, "function"), "name") : "";
}

static json_t *allowed_of(const struct sdk_run *r, const json_t *tools,
                          const struct tool_list *gateway, int logged_max)
{
    json_t *kept = json_array(), *definition;
    size_t i;

    json_array_foreach(tools, i, definition)
    {
        const char *name = function_of(definition);

        if (name[0] == '\0' || !may_offer(r, gateway, name)) {
            if (logged_max-- > 0)
                log_hidden(r, name[0] == '\0' ? sdk_call_text(definition, "type") : name);
        } else if (json_array_append(kept, definition) != 0) {
            json_decref(kept);
            return NULL;
        }
    }
    return kept;
}

static const char *chosen_tool(const json_t *body)
{
    return sdk_call_text(json_object_get(json_object_get(body, "tool_choice"), "function"),
                         "name");
}

bool sdk_tools_has(const json_t *tools, const char *name)
{
    const json_t *definition;
    size_t i;

    json_array_foreach(tools, i, definition)
        if (strcmp(sdk_call_text(json_object_get(definition, "function"), "name"), name) == 0)
            return true;
    return false;
}

/* Providers refuse an empty list, what is said about tools without one, and the choice of one that
 * is not in it. */
static int replace(json_t *body, json_t *kept)
{
    const char *chosen = chosen_tool(body);

    if (json_array_size(kept) == 0) {
        json_object_del(body, "tools");
        json_object_del(body, "tool_choice");
        json_object_del(body, "parallel_tool_calls");
        return 0;
    }
    if (chosen[0] != '\0' && !sdk_tools_has(kept, chosen))
        json_object_del(body, "tool_choice");
    return json_object_set(body, "tools", kept);
}

int sdk_tools_strip(const struct sdk_run *r, int number, json_t *body, struct err *e)
{
    static const char *const all[] = {"*"};
    const json_t *tools = json_object_get(body, "tools");
    struct tool_list gateway = {0};
    const char *missing;
    json_t *kept;
    int status;

    json_object_del(body, "functions"); /* the way to offer tools before `tools` */
    json_object_del(body, "function_call");
    json_object_del(body, "web_search_options"); /* a hosted tool without a name for policy */
    if (!json_is_array(tools)) {
        json_object_del(body, "tools");
        return 0;
    }
    status = toolset_resolve(r->caller.toolset, all, 1, &gateway, &missing, e);
    if (status != 0)
        return status;
    kept = allowed_of(r, tools, &gateway, number == 1 ? HIDDEN_LOGGED_MAX : 0);
    tool_list_clear(&gateway);
    if (kept == NULL || replace(body, kept) != 0)
        status = err_set(e, AGW_ENOMEM, "the tools of a model call");
    json_decref(kept);
    return status;
}

/* ---- tools of the gateway ---- */

/* As the model wrote them: a text, or what it stands for. NULL: none, or memory is out. */
static char *arguments_of(const json_t *message)
{
    const json_t *args = json_object_get(message, "args");

    if (args == NULL || json_is_null(args))
        return NULL;
    if (json_is_string(args))
        return strdup(json_string_value(args));
    return json_dumps(args, JSON_COMPACT | JSON_ENCODE_ANY);
}

static void free_arguments(const json_t *message, char *text)
{
    if (json_is_string(json_object_get(message, "args")))
        free(text);
    else
        json_memory_free(text);
}

static json_t *result_of(const struct sdk_call *call, const struct tool_result *result)
{
    json_t *message = sdk_call_head(call, "tool.result");
    bool ok = result->status == TOOL_OK;

    if (json_object_set_new(message, "ok", json_boolean(ok)) != 0 ||
        json_object_set_new(message, ok ? "content" : "error",
                            result->content == NULL
                                ? json_null()
                                : json_stringn(result->content, result->length)) != 0) {
        json_decref(message);
        return NULL;
    }
    return message;
}

void sdk_tools_call(struct sdk_call *call)
{
    struct sdk_run *r = call->r;
    char *text = arguments_of(call->message);
    struct invoke_request request = {.name = sdk_call_text(call->message, "name"),
                                     .call_id = sdk_call_text(call->message, "call_id"),
                                     .arguments = text,
                                     .arguments_length = text == NULL ? 0 : strlen(text),
                                     .deadline_ms = r->deadline_ms};
    struct tool_result result = {0};
    struct err e = {0};

    if (invoke_tool(&r->caller, &request, &result, &e) != 0)
        sdk_run_break(r, &e);
    else
        sdk_call_send(call, result_of(call, &result));
    tool_result_clear(&result);
    free_arguments(call->message, text);
}

/* ---- tools of the module ---- */

static void own_free(struct sdk_own *own)
{
    if (own == NULL)
        return;
    free(own->name);
    free(own->call_id);
    free(own);
}

/* NULL when memory is out. */
static struct sdk_own *own_new(const struct sdk_call *call)
{
    struct sdk_own *own = calloc(1, sizeof *own);

    if (own == NULL)
        return NULL;
    own->id = call->id;
    own->name = strdup(sdk_call_text(call->message, "name"));
    own->call_id = strdup(sdk_call_text(call->message, "call_id"));
    if (own->name != NULL && own->call_id != NULL)
        return own;
    own_free(own);
    return NULL;
}

/* Whether the runner listed it: models and modules can make up any number of names. */
static bool is_listed(const struct dropin *dropin, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach(dropin->tools, i, item)
        if (strcmp(json_string_value(item), name) == 0)
            return true;
    return false;
}

static json_t *verdict_of(const struct sdk_call *call, bool allowed)
{
    json_t *message = sdk_call_head(call, "tool.verdict");

    if (json_object_set_new(message, "allow", json_boolean(allowed)) != 0 ||
        (!allowed &&
         json_object_set_new(message, "message",
                             json_string("This tool is not allowed here by policy.")) != 0)) {
        json_decref(message);
        return NULL;
    }
    return message;
}

/* On record before the module hears that it may. */
void sdk_tools_check(struct sdk_call *call)
{
    struct sdk_run *r = call->r;
    struct sdk_own *own = own_new(call);
    struct err e = {0};
    struct invoke_own_request request;
    bool allowed;

    if (own == NULL) {
        err_set(&e, AGW_ENOMEM, "a tool of a module");
        sdk_run_break(r, &e);
        return;
    }
    request = (struct invoke_own_request){.name = own->name, .module = r->dropin->module,
                                          .call_id = own->call_id,
                                          .listed = is_listed(r->dropin, own->name)};
    if (invoke_own_begin(&r->caller, &request, &own->own, &e) != 0) {
        sdk_run_break(r, &e);
        own_free(own);
        return;
    }
    allowed = invoke_own_allowed(own->own);
    if (allowed) {
        pthread_mutex_lock(&r->lock);
        own->next = r->own;
        r->own = own;
        pthread_mutex_unlock(&r->lock);
    } else {
        invoke_own_end(&own->own, TOOL_DENIED);
        own_free(own);
    }
    sdk_call_send(call, verdict_of(call, allowed));
}

void sdk_tools_done(struct sdk_run *r, const json_t *message)
{
    json_int_t id = json_integer_value(json_object_get(message, "id"));
    struct sdk_own **place, *own;

    pthread_mutex_lock(&r->lock);
    place = &r->own;
    while (*place != NULL && (*place)->id != id)
        place = &(*place)->next;
    own = *place;
    if (own != NULL)
        *place = own->next;
    pthread_mutex_unlock(&r->lock);
    if (own == NULL)
        return;
    invoke_own_end(&own->own,
                   json_is_true(json_object_get(message, "ok")) ? TOOL_OK : TOOL_FAILED);
    own_free(own);
}

void sdk_tools_end(struct sdk_run *r, enum tool_status status)
{
    while (r->own != NULL) {
        struct sdk_own *own = r->own;

        r->own = own->next;
        invoke_own_end(&own->own, status);
        own_free(own);
    }
}

/* SPDX-License-Identifier: MIT */
/* Makes tools of what an entry of tools.yaml offers. */
#include "tools/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/arguments.h"
#include "util/glob.h"

static void note_change(void *arg)
{
    struct tool_source *source = arg;

    atomic_store(&source->changed, true);
}

struct tool_source *source_new(struct config *holder, const struct config_tool *config,
                               const struct tool_provider *provider)
{
    struct tool_source *source = calloc(1, sizeof *source);
    struct err e = {0};

    if (source == NULL)
        return NULL;
    source->holder = config_acquire(holder);
    source->config = config;
    source->provider = provider;
    atomic_init(&source->users, 1);
    if (provider != NULL)
        source->state = provider->open(config, note_change, source, &e);
    if (provider == NULL)
        snprintf(source->problem, sizeof source->problem,
                 "this release has no provider for it");
    else if (source->state == NULL)
        snprintf(source->problem, sizeof source->problem, "%.250s", e.message);
    return source;
}

struct tool_source *source_acquire(struct tool_source *source)
{
    atomic_fetch_add(&source->users, 1);
    return source;
}

void source_release(struct tool_source **slot)
{
    struct tool_source *source = *slot;

    *slot = NULL;
    if (source == NULL || atomic_fetch_sub(&source->users, 1) != 1)
        return;
    if (source->state != NULL)
        source->provider->close(source->state);
    config_release(&source->holder);
    free(source);
}

bool source_lists(const struct tool_source *source)
{
    return source->state != NULL && source->provider->list != NULL;
}

/* ---- tools ---- */

struct tool *tool_acquire(const struct tool *tool)
{
    struct tool *mine = (struct tool *)(uintptr_t)tool;

    atomic_fetch_add(&mine->users, 1);
    return mine;
}

void tool_release(struct tool **slot)
{
    struct tool *tool = *slot;
    struct arguments *arguments;

    *slot = NULL;
    if (tool == NULL || atomic_fetch_sub(&tool->users, 1) != 1)
        return;
    arguments = (struct arguments *)(uintptr_t)tool->arguments;
    arguments_free(&arguments);
    json_decref((json_t *)(uintptr_t)tool->schema);
    free((void *)(uintptr_t)tool->name);
    free((void *)(uintptr_t)tool->function);
    free((void *)(uintptr_t)tool->remote);
    free((void *)(uintptr_t)tool->description);
    source_release(&tool->source);
    free(tool);
}

static char *full_name(const struct config_tool *config, const struct tool_offer *offer)
{
    char *name;

    if (offer == NULL || config->method == NULL || strcmp(config->method, "*") != 0)
        return strdup(config->name);
    return asprintf(&name, "%s.%s", config->name, offer->name) < 0 ? NULL : name;
}

static json_t *schema_of(const struct config_tool *config, const struct tool_offer *offer)
{
    if (config->schema != NULL)
        return json_deep_copy(config->schema);
    if (offer != NULL && offer->schema != NULL)
        return json_deep_copy(offer->schema);
    return json_pack("{s:s}", "type", "object");
}

/* A schema that cannot be used is said, and anything is let through: the tool may know. */
static int set_schema(struct tool *tool, json_t *schema, struct buf *notes)
{
    struct arguments *arguments = NULL;
    struct err e = {0};
    int status = schema == NULL ? AGW_ENOMEM : arguments_compile(schema, &arguments, &e);

    if (status == AGW_EINVALID) {
        buf_printf(notes, "%s: %s\n", tool->name, e.message);
        json_decref(schema);
        schema = json_pack("{s:s}", "type", "object");
        status = schema == NULL ? AGW_ENOMEM : arguments_compile(schema, &arguments, &e);
    }
    tool->schema = schema;
    tool->arguments = arguments;
    if (status == 0 && arguments_note(arguments) != NULL)
        buf_printf(notes, "%s: %s\n", tool->name, arguments_note(arguments));
    return status;
}

static struct tool *make_tool(struct tool_source *source, const struct tool_offer *offer,
                              struct buf *notes)
{
    const struct config_tool *config = source->config;
    const char *description = config->description != NULL ? config->description
                              : offer != NULL             ? offer->description
                                                          : NULL;
    struct tool *tool = calloc(1, sizeof *tool);
    bool whole;

    if (tool == NULL)
        return NULL;
    atomic_init(&tool->users, 1);
    tool->source = source_acquire(source);
    tool->config = config;
    tool->provider = tool_provider_names[config->provider];
    tool->name = full_name(config, offer);
    tool->function = tool->name == NULL ? NULL : tool_function_name(tool->name);
    tool->remote = offer == NULL ? NULL : strdup(offer->name);
    tool->description = description == NULL ? NULL : strdup(description);
    whole = tool->name != NULL && tool->function != NULL &&
            (offer == NULL || tool->remote != NULL) &&
            (description == NULL || tool->description != NULL) &&
            set_schema(tool, schema_of(config, offer), notes) == 0;
    if (!whole)
        tool_release(&tool);
    return tool;
}

/* Whether the entry wants this one of its server's tools. */
static bool is_wanted(const struct config_tool *config, const struct tool_offer *offer)
{
    return config->method == NULL || strcmp(config->method, "*") == 0 ||
           strcmp(config->method, offer->name) == 0;
}

/* A name that policy and agents can speak of: one that no glob could match is of no use. */
static bool is_usable(const struct config_tool *config, const struct tool_offer *offer,
                      struct buf *notes)
{
    size_t length = strlen(config->name) + 1 + strlen(offer->name);

    if (offer->name[0] != '\0' && length <= GLOB_MAX)
        return true;
    buf_printf(notes, "a tool whose name is %s was left out\n",
               offer->name[0] == '\0' ? "empty" : "too long");
    return false;
}

struct tool **source_tools(struct tool_source *source, const struct tool_offers *offers,
                           size_t *count, struct buf *notes)
{
    size_t all = offers == NULL ? 1 : offers->count;
    struct tool **tools = calloc(all + 1, sizeof(struct tool *));
    size_t made = 0;

    *count = 0;
    if (tools == NULL)
        return NULL;
    for (size_t i = 0; i < all; i++) {
        const struct tool_offer *offer = offers == NULL ? NULL : &offers->list[i];

        if (offer != NULL &&
            (!is_wanted(source->config, offer) || !is_usable(source->config, offer, notes)))
            continue;
        tools[made] = make_tool(source, offer, notes);
        if (tools[made] == NULL)
            goto fail;
        made++;
    }
    if (made == 0)
        buf_printf(notes, all == 0 ? "the server offers no tools\n"
                                   : "the server has no tool of this name\n");
    *count = made;
    return tools;
fail:
    while (made > 0)
        tool_release(&tools[--made]);
    free(tools);
    return NULL;
}

/* SPDX-License-Identifier: MIT */
/* Loads agent.so and says what is in it. */
#include "runnerd/native/native_module.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runnerd/memory.h"

enum { DEPTH_MAX = 16, EXPORTS_MAX = 16 };

struct loading {
    struct native_module *module;
    const char *path;
    json_t *exports, *diagnostics;
};

void native_module_init(struct native_module *module)
{
    memset(module, 0, sizeof *module);
    pthread_mutex_init(&module->lock, NULL);
}

void native_module_free(struct native_module *module)
{
    while (module->agents != NULL) {
        struct descriptor *d = module->agents;

        module->agents = d->next;
        descriptor_free(&d);
    }
    for (size_t i = 0; i < module->export_count; i++)
        free((char *)(uintptr_t)module->exports[i].attr);
    free(module->exports);
    pthread_mutex_destroy(&module->lock);
}

/* ---- finding ---- */

static struct descriptor *known(const struct native_module *module, const struct agw_agent *agent)
{
    for (struct descriptor *d = module->agents; d != NULL; d = d->next)
        if (d->agent == agent)
            return d;
    return NULL;
}

const struct descriptor *native_module_find(struct native_module *module,
                                            const struct agw_agent *agent, json_t *problems)
{
    struct descriptor *d;

    pthread_mutex_lock(&module->lock);
    d = known(module, agent);
    if (d == NULL) {
        d = descriptor_new(agent, problems);
        if (d != NULL) {
            d->next = module->agents;
            module->agents = d;
        }
    }
    pthread_mutex_unlock(&module->lock);
    return d;
}

const struct descriptor *native_module_export(struct native_module *module, const char *attr)
{
    json_t *none = json_array();
    const struct descriptor *found = NULL;

    for (size_t i = 0; i < module->export_count && found == NULL; i++)
        if (strcmp(module->exports[i].attr, attr) == 0)
            found = native_module_find(module, module->exports[i].agent, none);
    json_decref(none);
    return found;
}

/* ---- loading ---- */

static void diagnose(struct loading *l, const char *kind, const char *attr, const json_t *message)
{
    json_array_append_new(l->diagnostics,
                          json_pack("{s:s,s:s,s:O,s:s,s:n,s:s?}", "kind", kind, "severity", "error",
                                    "message", message, "path", l->path, "line", "attr", attr));
}

static void diagnose_text(struct loading *l, const char *kind, const char *attr, const char *text)
{
    json_t *message = json_string(text);

    diagnose(l, kind, attr, message == NULL ? json_null() : message);
    json_decref(message);
}

/* The agent and all that it may hand over to. False: one has faults. */
static bool look(struct loading *l, const struct agw_agent *agent, const char *attr, int depth)
{
    json_t *problems = json_array(), *problem;
    bool is_new = known(l->module, agent) == NULL;
    bool fine = native_module_find(l->module, agent, problems) != NULL;
    size_t i;

    json_array_foreach(problems, i, problem)
        diagnose(l, "validation", attr, problem);
    json_decref(problems);
    if (!fine || !is_new || agent->handoffs == NULL)
        return fine;
    if (depth == DEPTH_MAX) {
        diagnose_text(l, "validation", attr, "its handoffs lead from agent to agent without end");
        return false;
    }
    for (i = 0; agent->handoffs[i] != NULL; i++)
        fine = look(l, agent->handoffs[i], attr, depth + 1) && fine;
    return fine;
}

static json_t *tool_names(const struct agw_agent *agent)
{
    json_t *names = json_array();

    for (size_t i = 0; agent->tools != NULL && agent->tools[i].name != NULL; i++)
        json_array_append_new(names, json_string(agent->tools[i].name));
    for (size_t i = 0; agent->gateway_tools != NULL && agent->gateway_tools[i] != NULL; i++)
        json_array_append_new(names, json_string(agent->gateway_tools[i]));
    return names;
}

static json_t *handoff_names(const struct agw_agent *agent)
{
    json_t *names = json_array();

    for (size_t i = 0; agent->handoffs != NULL && agent->handoffs[i] != NULL; i++)
        json_array_append_new(names, json_string(agent->handoffs[i]->name));
    return names;
}

static bool is_exported(const struct native_module *module, const char *attr)
{
    for (size_t i = 0; i < module->export_count; i++)
        if (strcmp(module->exports[i].attr, attr) == 0)
            return true;
    return false;
}

/* `attr` NULL: as it is called itself. */
static void export(struct loading *l, const char *attr, const struct agw_agent *agent)
{
    struct native_module *m = l->module;

    if (!look(l, agent, attr, 0))
        return;
    if (attr == NULL)
        attr = known(l->module, agent)->attr;
    if (is_exported(m, attr)) {
        diagnose_text(l, "validation", attr, "two agents of the module have this name");
        return;
    }
    m->exports = memory_grow(m->exports, (m->export_count + 1) * sizeof *m->exports);
    m->exports[m->export_count++] = (struct native_export){memory_text(attr), agent};
    json_array_append_new(l->exports,
                          json_pack("{s:s,s:s,s:s,s:s?,s:o,s:o}", "attr", attr, "kind",
                                    agent->run == NULL ? "agent" : "runner", "name", agent->name,
                                    "model", agent->model, "tools", tool_names(agent), "handoffs",
                                    handoff_names(agent)));
}

static json_t *meta(const struct agw_agent *agent)
{
    return json_pack("{s:s*,s:s*,s:s*,s:s*,s:s*}", "namespace", agent->in_namespace, "display_name",
                     agent->display_name, "description", agent->description, "model", agent->model,
                     "upstream", agent->upstream);
}

/* Takes `l`'s lists over. */
static json_t *catalog(struct loading *l)
{
    const struct agw_agent *agent =
        l->module->export_count == 0 ? NULL : l->module->exports[0].agent;
    json_t *gateway = agent == NULL ? NULL : meta(agent);

    if (agent != NULL && gateway == NULL)
        diagnose_text(l, "validation", NULL, "the texts of its descriptor are not UTF-8");
    return json_pack("{s:o,s:n,s:o,s:o}", "gateway", gateway == NULL ? json_object() : gateway,
                     "doc", "exports", l->exports, "diagnostics", l->diagnostics);
}

static struct loading begin(struct native_module *module, const char *path)
{
    return (struct loading){.module = module, .path = path == NULL ? "agent.so" : path,
                            .exports = json_array(), .diagnostics = json_array()};
}

static void take(struct loading *l, const struct native_export *exports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct agw_agent *agent = exports[i].agent;
        size_t before = l->module->export_count;

        export(l, exports[i].attr, agent);
        if (before > 0 || l->module->export_count == before)
            continue;
        for (size_t k = 0; agent->others != NULL && agent->others[k] != NULL; k++)
            export(l, NULL, agent->others[k]);
    }
}

json_t *native_module_take(struct native_module *module, const char *path,
                           const struct native_export *exports, size_t count)
{
    struct loading l = begin(module, path);

    take(&l, exports, count);
    return catalog(&l);
}

/* What dlopen() says begins with the path, which is told anyway. */
static void say_why(struct loading *l)
{
    const char *why = dlerror();
    size_t length = strlen(l->path);
    char text[1000];

    if (why != NULL && strncmp(why, l->path, length) == 0 && strncmp(why + length, ": ", 2) == 0)
        why += length + 2;
    snprintf(text, sizeof text, "it cannot be loaded: %.500s%s", why == NULL ? "nobody knows why" : why,
             why != NULL && strstr(why, "undefined symbol: agw_") != NULL
                 ? " (a function of a newer agent_gateway/agent.h)" : "");
    diagnose_text(l, "import", NULL, text);
}

json_t *native_module_load(struct native_module *module, const json_t *load)
{
    struct loading l = begin(module, json_string_value(json_object_get(load, "path")));
    struct native_export exports[EXPORTS_MAX];
    json_t *names = json_object_get(load, "exports"), *name;
    size_t count = 0, i;

    module->handle = dlopen(l.path, RTLD_NOW | RTLD_LOCAL);
    if (module->handle == NULL) {
        say_why(&l);
        return catalog(&l);
    }
    json_array_foreach(names, i, name)
    {
        const void *symbol = json_is_string(name) && count < EXPORTS_MAX
                                 ? dlsym(module->handle, json_string_value(name)) : NULL;

        if (symbol != NULL)
            exports[count++] = (struct native_export){json_string_value(name), symbol};
    }
    if (count == 0)
        diagnose_text(&l, "validation", NULL,
                      "it has no descriptor: const struct agw_agent agent = {...} (not static)");
    take(&l, exports, count);
    return catalog(&l);
}

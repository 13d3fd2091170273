/* SPDX-License-Identifier: MIT */
/* Gives agents their names and tells gateways of them. */
#include "runnerd/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runnerd/allow.h"
#include "runnerd/problem.h"
#include "sandbox/report.h"

/* A list is one line of the wire, and some may wait to be sent: with more of it no gateway would
 * know any agent. The rest of a line is for names and states of modules. */
enum { ID_SIZE = 2 * IDENTITY_NAME + 2, MODULE_MAX = 512 << 10, AGENTS_MAX = 6 << 20,
       ERRORS_MAX = 2 << 20 };

struct listing {
    const struct modules *table;
    const struct config *config;
    json_t *agents;
    json_t *errors, *own; /* found here; those of the module at hand: each has room for its own */
    json_t *contested; /* ids that several modules want, as members */
    size_t bytes, module_bytes; /* of agents so far; of those of the module at hand */
};

/* One export of one module. */
struct item {
    struct module *module;
    const json_t *meta, *export; /* what the module says of itself, and of this one */
    const struct config_agent *agent; /* the entry of agents.yaml that claims it, or NULL */
    const char *attr;
    bool is_primary;
    struct identity identity;
    char id[ID_SIZE];
};

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void complain(struct listing *l, const struct item *i, const char *kind,
                     const char *severity, const char *message)
{
    struct problem_place place = {.agent = i->id[0] == '\0' ? NULL : i->id,
                                  .module = i->module->found.module,
                                  .path = i->module->found.path};

    problem_add(l->own, kind, severity, &place, "%s", message);
}

/* ---- names ---- */

static const struct config_agent *claim_of(const struct module *m, const char *attr)
{
    for (size_t i = 0; i < m->claim_count; i++)
        if (strcmp(m->claims[i].attr, attr) == 0)
            return m->claims[i].agent;
    return NULL;
}

static bool exports_attr(const json_t *exports, const char *attr)
{
    size_t index;
    json_t *item;

    json_array_foreach(exports, index, item) {
        const char *own = text_in(item, "attr");

        if (own != NULL && strcmp(own, attr) == 0)
            return true;
    }
    return false;
}

/* The export that is called like the module itself: the first of the names looked for that it
 * has, else its only one. NULL: none is. */
static const char *primary_of(const struct listing *l, const json_t *exports)
{
    const struct config_gateway *g = &l->config->gateway;

    for (size_t i = 0; i < g->export_count; i++)
        if (exports_attr(exports, g->exports[i]))
            return g->exports[i];
    return json_array_size(exports) == 1 ? text_in(json_array_get(exports, 0), "attr") : NULL;
}

static void name_item(struct item *i)
{
    const char *ns = text_in(i->meta, "namespace");

    if (i->agent != NULL) {
        snprintf(i->id, sizeof i->id, "%s", i->agent->id);
        snprintf(i->identity.ns, sizeof i->identity.ns, "%s", i->agent->ns);
        snprintf(i->identity.name, sizeof i->identity.name, "%s", i->agent->name);
        return;
    }
    i->identity = i->module->identity;
    if (ns != NULL)
        identity_clean(i->identity.ns, ns);
    if (!i->is_primary)
        identity_further(&i->identity, i->attr);
    snprintf(i->id, sizeof i->id, "%s/%s", i->identity.ns, i->identity.name);
}

/* Whose folder has this name: what is granted to the name is meant for it. It need not be loaded
 * for that. NULL: no other module's has. */
static const struct module *owner_of(const struct listing *l, const struct item *i)
{
    const struct module *m = l->table->first;

    for (; m != NULL; m = m->next) {
        size_t length = strlen(m->identity.ns);

        if (m != i->module && m->is_wanted && m->found.is_dropin &&
            strncmp(i->id, m->identity.ns, length) == 0 && i->id[length] == '/' &&
            strcmp(i->id + length + 1, m->identity.name) == 0)
            return m;
    }
    return NULL;
}

/* Whether its folder gives it the name that it has. */
static bool owns_name(const struct item *i)
{
    return i->is_primary && i->module->found.is_dropin &&
           strcmp(i->identity.ns, i->module->identity.ns) == 0;
}

/* Its place in the list; the list's length when it is not there. */
static size_t find_listed(const struct listing *l, const char *id)
{
    size_t index;
    json_t *item;

    json_array_foreach(l->agents, index, item)
        if (strcmp(json_string_value(json_object_get(item, "id")), id) == 0)
            break;
    return index;
}

/* Nobody gets a name that several modules want: who comes later must not get what was granted to
 * who came first. NULL: it is free. */
static const char *taken(struct listing *l, const struct item *i)
{
    static const char other[] = "another module has an agent of this name, so neither is served";
    const struct module *owner = i->agent == NULL ? owner_of(l, i) : NULL;
    const size_t index = find_listed(l, i->id);
    const json_t *listed = json_array_get(l->agents, index);

    if (owner != NULL && !owns_name(i))
        return "the folder of another module has this name";
    if (json_object_get(l->contested, i->id) != NULL)
        return other;
    if (listed == NULL)
        return NULL;
    if (strcmp(json_string_value(json_object_get(listed, "path")), i->module->found.path) == 0)
        return "this module has another agent of this name";
    problem_add(l->own, "validation", "error",
                &(struct problem_place){.agent = i->id, .module = text_in(listed, "module"),
                                        .path = text_in(listed, "path")}, "%s", other);
    json_array_remove(l->agents, index);
    json_object_set_new(l->contested, i->id, json_true());
    return other;
}

/* NULL: it may be listed. */
static const char *forbidden(struct listing *l, const struct item *i, const char **kind,
                             char why[MODULES_WHY])
{
    const struct config_agent *other = config_find_agent(l->config, i->id);
    const char *clash;

    *kind = "validation";
    if (config_name_problem(i->identity.ns) != NULL ||
        config_name_problem(i->identity.name) != NULL)
        return "it has no name that a model could have";
    if (other != NULL && other != i->agent)
        return "agents.yaml has an agent of this name, which stays";
    clash = taken(l, i);
    if (clash != NULL)
        return clash;
    *kind = "security";
    return allow_module(&l->config->security, i->identity.ns, i->module->found.module, why,
                        MODULES_WHY) ? NULL : why;
}

/* ---- one agent ---- */

/* The entry's own, not what it got from the defaults. */
static const char *own_of(const char *of_entry, const char *fallback)
{
    return of_entry == fallback ? NULL : of_entry;
}

static const char *first_of(const char *a, const char *b, const char *c, const char *d)
{
    return a != NULL ? a : b != NULL ? b : c != NULL ? c : d;
}

static const char *why_unavailable(const struct item *i, const char *model)
{
    if (model == NULL)
        return "it names no model, and neither agents.yaml nor gateway.yaml has a default";
    if (i->module->is_broken && i->module->host == NULL && !i->module->is_kept)
        return "its files have errors, its last process has ended, and no copy of what it ran "
               "is kept";
    return NULL;
}

/* Takes `agent` over. */
static void append(struct listing *l, const struct item *i, json_t *agent)
{
    size_t size = json_dumpb(agent, NULL, 0, JSON_COMPACT);
    bool was_told = l->module_bytes > MODULE_MAX;

    l->module_bytes += size;
    if (l->module_bytes <= MODULE_MAX && l->bytes + size <= AGENTS_MAX) {
        l->bytes += size;
        json_array_append_new(l->agents, agent);
        return;
    }
    json_decref(agent);
    l->module_bytes = MODULE_MAX + 1;
    if (!was_told)
        complain(l, i, "validation", "error",
                 "it and what follows it is not listed: what agents say of themselves takes more "
                 "than 512 KiB for this module, or 6 MiB for all");
}

static void add_agent(struct listing *l, const struct item *i)
{
    const struct config_gateway *g = &l->config->gateway;
    const struct config_agent *a = i->agent;
    const struct module *m = i->module;
    const char *meta_name = i->is_primary ? text_in(i->meta, "display_name") : NULL;
    const char *given = first_of(a == NULL ? NULL : own_of(a->model, g->default_model),
                                 text_in(i->meta, "model"), NULL, NULL);
    const char *model = first_of(given, text_in(i->export, "model"), g->default_model, NULL);
    const char *upstream = first_of(a == NULL ? NULL : own_of(a->upstream, g->default_upstream),
                                    text_in(i->meta, "upstream"), NULL, g->default_upstream);
    const char *problem = why_unavailable(i, model);
    json_t *agent;

    if (model == NULL)
        complain(l, i, "validation", "error", problem);
    agent = json_pack(
        "{s:s, s:s, s:s, s:s?, s:s?, s:s, s:s, s:s, s:s, s:s?, s:b, s:s?, s:b, s:s?, s:O, s:O,"
        " s:I}",
        "id", i->id, "namespace", i->identity.ns, "name", i->identity.name, "display_name",
        first_of(a == NULL ? NULL : a->display_name, meta_name, text_in(i->export, "name"), NULL),
        "description",
        first_of(a == NULL ? NULL : a->description, text_in(i->meta, "description"),
                 text_in(m->catalog, "doc"), NULL),
        "lang", discover_lang_names[m->found.lang], "module", m->found.module, "path",
        m->found.path, "attr", i->attr, "model", model, "model_given", given != NULL, "upstream",
        upstream, "available", problem == NULL, "problem", problem, "tools",
        json_object_get(i->export, "tools"), "handoffs", json_object_get(i->export, "handoffs"),
        "loaded_at", (json_int_t)m->loaded_at);
    append(l, i, agent);
}

static void add_module_agents(struct listing *l, struct module *m)
{
    const json_t *exports = json_object_get(m->catalog, "exports");
    const char *primary = primary_of(l, exports);
    size_t index;
    json_t *export;

    l->module_bytes = 0;
    if (m->catalog == NULL)
        return; /* and what it offers is not known */
    json_array_foreach(exports, index, export) {
        struct item i = {.module = m, .meta = json_object_get(m->catalog, "gateway"),
                         .export = export, .attr = text_in(export, "attr")};
        const char *why, *kind;
        char text[MODULES_WHY];

        if (i.attr == NULL)
            continue;
        i.agent = claim_of(m, i.attr);
        if (i.agent == NULL && !m->found.is_dropin)
            continue;
        i.is_primary = primary != NULL && strcmp(primary, i.attr) == 0;
        name_item(&i);
        why = forbidden(l, &i, &kind, text);
        if (why != NULL)
            complain(l, &i, kind, "error", why);
        else
            add_agent(l, &i);
    }
    for (size_t c = 0; c < m->claim_count; c++) {
        struct item i = {.module = m};

        if (exports_attr(exports, m->claims[c].attr))
            continue;
        snprintf(i.id, sizeof i.id, "%s", m->claims[c].agent->id);
        complain(l, &i, "validation", "error",
                 "the module offers nothing under the name that agents.yaml has");
    }
}

/* ---- the rest ---- */

static json_t *describe_module(struct module *m)
{
    m->listed_runs = m->host == NULL ? 0 : host_runs(m->host);
    m->listed_rss = m->host == NULL ? 0 : host_rss(m->host);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "module", m->found.module,
                     "lang", discover_lang_names[m->found.lang], "state", modules_state(m), "pid",
                     (json_int_t)(m->host == NULL ? 0 : host_pid(m->host)), "rss",
                     (json_int_t)m->listed_rss, "runs", (json_int_t)m->listed_runs, "restarts",
                     (json_int_t)m->restarts, "generation", (json_int_t)m->generation);
}

static void add_blocked(struct listing *l, struct module *m)
{
    struct problem_place place = {.module = m->found.module, .path = m->found.path};

    if (!m->is_blocked)
        return;
    problem_add(l->own, "security", "error", &place, "the module is blocked: %s", m->blocked);
}

static json_t *sandbox_of(const struct modules *table)
{
    json_t *layers = table->sandbox[0] == '\0' ? NULL : report_json(table->sandbox);

    return layers == NULL ? json_object() : layers;
}

static int by_id(const void *a, const void *b)
{
    const json_t *left = *(json_t *const *)a, *right = *(json_t *const *)b;

    return strcmp(json_string_value(json_object_get(left, "id")),
                  json_string_value(json_object_get(right, "id")));
}

static json_t *sorted(json_t *agents)
{
    size_t count = json_array_size(agents);
    json_t *out = json_array(), **list = calloc(count + 1, sizeof *list);

    if (list == NULL) {
        json_decref(out);
        return agents;
    }
    for (size_t i = 0; i < count; i++)
        list[i] = json_array_get(agents, i);
    qsort(list, count, sizeof(json_t *), by_id);
    for (size_t i = 0; i < count; i++)
        json_array_append(out, list[i]);
    free(list);
    json_decref(agents);
    return out;
}

/* As far as there is room. */
static void add_errors(json_t *errors, json_t *more, size_t *bytes)
{
    size_t index;
    json_t *error;

    json_array_foreach(more, index, error) {
        *bytes += json_dumpb(error, NULL, 0, JSON_COMPACT);
        if (*bytes > ERRORS_MAX)
            return;
        json_array_append(errors, error);
    }
}

/* First what the runner has found, which a module's own words must not hide. New reference. */
static json_t *all_errors(const struct listing *l)
{
    json_t *errors = json_array();
    size_t bytes = 0;

    add_errors(errors, l->table->problems, &bytes);
    add_errors(errors, l->errors, &bytes);
    for (const struct module *m = l->table->first; m != NULL; m = m->next) {
        if (!m->is_wanted)
            continue;
        add_errors(errors, m->problems, &bytes);
        if (m->runtime != NULL)
            add_errors(errors, m->runtime, &bytes);
    }
    return errors;
}

static void add_of_each(struct listing *l, void (*add)(struct listing *l, struct module *m))
{
    for (struct module *m = l->table->first; m != NULL; m = m->next) {
        if (!m->is_wanted)
            continue;
        l->own = json_array();
        add(l, m);
        json_array_extend(l->errors, l->own);
        json_decref(l->own);
    }
}

json_t *listing_make(const struct modules *table, int64_t generation,
                     const struct listing_watch *watch, const struct listing_runner *runner)
{
    struct listing l = {.table = table, .config = table->config, .agents = json_array(),
                        .errors = json_array(), .contested = json_object()};
    json_t *modules = json_array(), *errors;

    add_of_each(&l, add_blocked);
    if (table->config != NULL)
        add_of_each(&l, add_module_agents);
    for (struct module *m = table->first; m != NULL; m = m->next)
        json_array_append_new(modules, describe_module(m));
    json_decref(l.contested);
    errors = all_errors(&l);
    json_decref(l.errors);
    return json_pack("{s:s, s:I, s:{s:s, s:I, s:b}, s:o, s:o, s:{s:s, s:s?}, s:o, s:o}", "t",
                     "agents",
                     "generation", (json_int_t)generation, "runner", "socket", runner->socket,
                     "started_at", (json_int_t)runner->started_at, "complete",
                     runner->is_complete, "agents", sorted(l.agents), "errors",
                     errors, "watch", "state", watch->state, "reason", watch->reason,
                     "sandbox", sandbox_of(table), "modules", modules);
}

struct module *listing_find(const struct modules *table, const json_t *listing, const char *id)
{
    size_t index;
    json_t *agent;

    json_array_foreach(json_object_get(listing, "agents"), index, agent) {
        const char *path = json_string_value(json_object_get(agent, "path"));

        if (strcmp(json_string_value(json_object_get(agent, "id")), id) != 0)
            continue;
        for (struct module *m = table->first; m != NULL; m = m->next)
            if (strcmp(m->found.path, path) == 0)
                return m;
    }
    return NULL;
}

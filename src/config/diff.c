/* SPDX-License-Identifier: MIT */
/* Compares two trees along the option table. */
#include "config/diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/build.h"
#include "util/json_memory.h"

enum { ARENA_MAX = 512 << 20, PATH_SIZE = 192 };

struct diff {
    enum config_component component;
    json_t *changes;
    const struct tree_node *defaults[2]; /* agents.yaml: a namespace may come from there */
    bool failed;                         /* memory is out */
};

/* Both sides of one object; NULL = it is not there. */
struct pair {
    const struct tree_node *before, *after;
};

static void walk(struct diff *d, const char *parent, const char *prefix, struct pair pair,
                 json_t *fields);

/* What is written, or what holds when nothing is. A new reference. */
static json_t *value_of(const struct option *option, const struct tree_node *node)
{
    if (node != NULL && !tree_is_null(node))
        return values_json(node);
    if (node == NULL && option->fallback != NULL && option->fallback[0] == '[')
        return json_array();
    if (node == NULL && option->fallback != NULL && option->fallback[0] == '{')
        return json_object();
    return node == NULL && option->fallback != NULL ? json_string(option->fallback)
                                                    : json_null();
}

/* Appends how a value is spelled, without quotes; false for lists and mappings. */
static bool spell(const json_t *value, struct buf *out)
{
    char *dumped;

    buf_init(out, TREE_TEXT_MAX);
    if (json_is_array(value) || json_is_object(value))
        return false;
    if (json_is_string(value))
        return buf_puts(out, json_string_value(value)) == 0;
    dumped = json_dumps(value, JSON_ENCODE_ANY);
    buf_puts(out, dumped == NULL ? "" : dumped);
    json_memory_free(dumped);
    return !out->failed;
}

/* A number and a text of the same spelling are the same value of an option. */
static bool same(const json_t *a, const json_t *b)
{
    struct buf left, right;
    bool equal = spell(a, &left);

    equal = spell(b, &right) && equal && strcmp(buf_text(&left), buf_text(&right)) == 0;
    buf_free(&left);
    buf_free(&right);
    return equal || json_equal(a, b);
}

static void add_field(struct diff *d, const struct option *option, const char *name,
                      struct pair pair, json_t *fields)
{
    json_t *before = value_of(option, pair.before), *after = value_of(option, pair.after);
    bool hidden = option->secret;

    if (before == NULL || after == NULL)
        d->failed = true;
    else if (!same(before, after) &&
             json_array_append_new(
                 fields, json_pack("{s:s, s:O, s:O, s:b, s:b}", "field", name, "before",
                                   hidden ? json_null() : before, "after",
                                   hidden ? json_null() : after, "hidden", hidden, "restart",
                                   !option->reloadable)) != 0)
        d->failed = true;
    json_decref(before);
    json_decref(after);
}

static const char *object_name(const struct option *list)
{
    static const struct {
        const char *path, *object;
    } names[] = {{"api_keys", "key"}, {"agents", "agent"}, {"upstreams", "upstream"},
                 {"tools", "tool"}, {"default.namespace_defaults", "namespace"}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].path, list->path) == 0)
            return names[i].object;
    return list->path;
}

static const char *text_of(const struct tree_node *map, const char *key)
{
    const struct tree_node *node =
        map == NULL || map->kind != TREE_MAP ? NULL : tree_get(map, key);

    return node == NULL || node->kind != TREE_TEXT ? NULL : node->text;
}

/* How an element is known: its key, id, or name (with its namespace). */
static const char *identity(const struct diff *d, int side, const struct option *list,
                            const struct tree_node *element, char text[PATH_SIZE])
{
    const char *ns = text_of(element, "namespace"), *name = text_of(element, "name");

    if (list->type == OPTION_SECTIONS)
        return element->key;
    if (d->component != CONFIG_AGENTS)
        return name != NULL ? name : text_of(element, "id");
    if (ns == NULL)
        ns = text_of(d->defaults[side], "namespace");
    snprintf(text, PATH_SIZE, "%s%s%s", ns == NULL ? "" : ns, ns == NULL ? "" : "/",
             name == NULL ? "" : name);
    return text;
}

static const struct tree_node *find(const struct diff *d, int side, const struct option *list,
                                    const struct tree_node *elements, const char *id)
{
    char text[PATH_SIZE];

    for (const struct tree_node *n = elements == NULL ? NULL : elements->first; n != NULL;
         n = n->next) {
        const char *other = identity(d, side, list, n, text);

        if (other != NULL && strcmp(other, id) == 0)
            return n;
    }
    return NULL;
}

static void add_change(struct diff *d, const char *object, const char *id, const char *change,
                       json_t *fields)
{
    if (json_array_append_new(d->changes,
                              json_pack("{s:s, s:s, s:s?, s:s, s:O}", "component",
                                        config_component_names[d->component], "object", object,
                                        "id", id, "change", change, "fields", fields)) != 0)
        d->failed = true;
}

static void compare_element(struct diff *d, const struct option *list, const char *id,
                            struct pair pair)
{
    char parent[PATH_SIZE];
    json_t *fields = json_array();

    snprintf(parent, sizeof parent, "%s%s", list->path,
             list->type == OPTION_LIST ? "[]" : ".*");
    walk(d, parent, "", pair, fields);
    if (pair.before == NULL)
        add_change(d, object_name(list), id, "added", fields);
    else if (pair.after == NULL)
        add_change(d, object_name(list), id, "removed", fields);
    else if (json_array_size(fields) > 0)
        add_change(d, object_name(list), id, "changed", fields);
    json_decref(fields);
}

static void compare_list(struct diff *d, const struct option *list, struct pair pair)
{
    char text[PATH_SIZE];

    for (const struct tree_node *n = pair.before == NULL ? NULL : pair.before->first; n != NULL;
         n = n->next) {
        const char *id = identity(d, 0, list, n, text);

        if (id != NULL)
            compare_element(d, list, id, (struct pair){n, find(d, 1, list, pair.after, id)});
    }
    for (const struct tree_node *n = pair.after == NULL ? NULL : pair.after->first; n != NULL;
         n = n->next) {
        const char *id = identity(d, 1, list, n, text);

        if (id != NULL && find(d, 0, list, pair.before, id) == NULL)
            compare_element(d, list, id, (struct pair){NULL, n});
    }
}

static const struct tree_node *child(const struct tree_node *map, const char *name)
{
    return map == NULL || map->kind != TREE_MAP ? NULL : tree_get(map, name);
}

/* Every option of the section that the table calls `parent`; `prefix` is before its name. */
static void walk(struct diff *d, const char *parent, const char *prefix, struct pair pair,
                 json_t *fields)
{
    for (size_t i = 0; i < schema_option_count; i++) {
        const struct option *option = &schema_options[i];
        const char *name =
            option->component == d->component ? schema_name_in(option, parent) : NULL;
        struct pair inner;
        char path[PATH_SIZE];

        if (name == NULL)
            continue;
        inner = (struct pair){child(pair.before, name), child(pair.after, name)};
        snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", name);
        if (option->type == OPTION_SECTION)
            walk(d, option->path, path, inner, fields);
        else if (option->type == OPTION_LIST || option->type == OPTION_SECTIONS)
            compare_list(d, option, inner);
        else
            add_field(d, option, path, inner, fields);
    }
}

static int compare(struct diff *d, struct pair roots, struct err *e)
{
    json_t *fields = json_array();
    size_t at = json_array_size(d->changes);
    json_t *options;

    d->defaults[0] = child(roots.before, "defaults");
    d->defaults[1] = child(roots.after, "defaults");
    walk(d, "", "", roots, fields);
    if (json_array_size(fields) > 0) { /* before the objects of the same file */
        options = json_pack("{s:s, s:s, s:n, s:s, s:O}", "component",
                            config_component_names[d->component], "object", "options", "id",
                            "change", "changed", "fields", fields);
        if (json_array_insert_new(d->changes, at, options) != 0)
            d->failed = true;
    }
    json_decref(fields);
    return d->failed ? err_set(e, AGW_ENOMEM, "comparing configurations") : 0;
}

/* The tree of a component; NULL without an error when it has no file. */
static int parse(const struct config_source *source, enum config_component component,
                 struct arena *arena, const struct tree_node **root, struct err *e)
{
    struct config_errors errors = {0};
    char *redacted = NULL;
    int status = 0;

    *root = NULL;
    if (source->text == NULL)
        return 0;
    if (component == CONFIG_SECURITY)
        redacted = redact_security(source->text);
    if (component != CONFIG_SECURITY || redacted != NULL)
        *root = tree_parse(source->path, redacted != NULL ? redacted : source->text, arena,
                           &errors);
    if (*root == NULL || errors.count > 0)
        status = err_set(e, AGW_ECONFIG, "%s cannot be read as YAML", source->path);
    free(redacted);
    config_errors_free(&errors);
    return status;
}

int diff_sources(const struct config_sources *before, const struct config_sources *after,
                 json_t **changes, struct err *e)
{
    struct arena *arena = arena_new(ARENA_MAX);
    struct diff d = {.changes = json_array()};
    int status = arena == NULL ? err_set(e, AGW_ENOMEM, "comparing configurations") : 0;

    for (int c = 0; c < CONFIG_COMPONENTS && status == 0; c++) {
        struct pair roots;

        d.component = (enum config_component)c;
        status = parse(&before->component[c], d.component, arena, &roots.before, e);
        if (status == 0)
            status = parse(&after->component[c], d.component, arena, &roots.after, e);
        if (status == 0)
            status = compare(&d, roots, e);
    }
    arena_free(&arena);
    *changes = status == 0 ? json_incref(d.changes) : NULL;
    json_decref(d.changes);
    return status;
}

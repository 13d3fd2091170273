/* SPDX-License-Identifier: MIT */
/* Walks a file's tree along the option table. */
#include <stdio.h>
#include <string.h>

#include "config/build.h"

enum { PATH_MAX_LENGTH = 128 }; /* the longest path of the table has 57 bytes */

static void walk_map(struct build *b, const char *parent, const struct tree_node *map,
                     char *base, bool open);

/* The texts of fallbacks are written in the table, so errors in them are ours. */
static struct tree_node *fallback_node(struct build *b, const struct option *option,
                                       const struct tree_node *near)
{
    struct tree_node *node;

    if (option->fallback[0] == '[' || option->fallback[0] == '{')
        return tree_parse(option->path, option->fallback, b->arena, b->errors);
    node = build_alloc(b, sizeof *node);
    if (node == NULL)
        return NULL;
    node->kind = TREE_TEXT;
    node->plain = node->builtin = true;
    node->line = near->line;
    node->column = near->column;
    node->text = build_alloc(b, strlen(option->fallback) + 1);
    if (node->text == NULL)
        return NULL;
    memcpy(node->text, option->fallback, strlen(option->fallback));
    return node;
}

/* More errors would not be told, so nothing is worth its time. */
static bool is_full(const struct build *b)
{
    return b->errors->count >= CONFIG_ERRORS_MAX;
}

static void walk_elements(struct build *b, const struct option *option,
                          struct tree_node *node, char *base)
{
    char parent[PATH_MAX_LENGTH];
    char *elements = build_alloc(b, node->count * option->size + 1);
    size_t *count = (size_t *)(void *)(base + option->count_offset);

    if (elements == NULL)
        return;
    memcpy(base + option->offset, &elements, sizeof elements);
    *count = 0;
    snprintf(parent, sizeof parent, "%s%s", option->path,
             option->type == OPTION_LIST ? "[]" : ".*");
    for (struct tree_node *n = node->first; n != NULL && !is_full(b); n = n->next) {
        char *element = elements + *count * option->size;

        if (n->kind != TREE_MAP) {
            if (n->kind != TREE_BROKEN)
                build_error(b, n, "each entry of '%s' must be a mapping", option->path);
            continue;
        }
        ++*count;
        walk_map(b, parent, n, element, false);
        if (option->finish != NULL)
            option->finish(b, n, element);
    }
}

static bool is_container(const struct option *option)
{
    return option->type == OPTION_SECTION || option->type == OPTION_LIST ||
           option->type == OPTION_SECTIONS;
}

static void walk_container(struct build *b, const struct option *option,
                           struct tree_node *node, char *base)
{
    enum tree_kind wanted = option->type == OPTION_LIST ? TREE_LIST : TREE_MAP;

    if (node->kind == TREE_BROKEN)
        return;
    if (node->kind != wanted) {
        if (tree_is_null(node))
            build_error(b, node, "'%s' has no value%s", option->path,
                        option->required      ? ""
                        : wanted == TREE_LIST ? "; write [] or leave the line out"
                                              : "; write {} or leave the line out");
        else
            build_error(b, node, "'%s' must be a %s", option->path,
                        wanted == TREE_LIST ? "list of mappings" : "mapping");
        return;
    }
    if (option->type == OPTION_SECTION)
        walk_map(b, option->path, node, base, false);
    else
        walk_elements(b, option, node, base);
}

/* An absent section still has defaults inside. */
static void walk_absent(struct build *b, const struct option *option,
                        const struct tree_node *map, char *base)
{
    struct tree_node empty = {.kind = TREE_MAP, .line = map->line, .column = map->column};
    struct tree_node *node;

    if (option->required) {
        build_error(b, map, "'%s' is missing", option->path);
    } else if (option->type == OPTION_SECTION) {
        walk_map(b, option->path, &empty, base, false);
    } else if (option->fallback != NULL) {
        node = fallback_node(b, option, map);
        if (node == NULL)
            return;
        values_read(b, option, node, base);
        if (option->type == OPTION_JSON)
            walk_map(b, option->path, node, base, true);
    }
}

static void walk_option(struct build *b, const struct option *option, const char *name,
                        const struct tree_node *map, char *base)
{
    struct tree_node *node = tree_get(map, name);
    struct tree_node *override = environment_override(b, option);

    if (override != NULL)
        node = override;
    if (node == NULL) {
        walk_absent(b, option, map, base);
    } else if (is_container(option)) {
        walk_container(b, option, node, base);
    } else {
        values_read(b, option, node, base);
        if (option->type == OPTION_JSON && node->kind == TREE_MAP)
            walk_map(b, option->path, node, base, true);
    }
}

static void refuse_unknown(struct build *b, const char *parent, const struct tree_node *map)
{
    for (struct tree_node *n = map->first; n != NULL && !is_full(b); n = n->next) {
        const char *meant;

        if (n->key == NULL || schema_child(b->component, parent, n->key) != NULL)
            continue;
        meant = schema_suggest(b->component, parent, n->key);
        if (meant != NULL)
            build_key_error(b, n, "unknown option '%.64s', did you mean '%s'?", n->key, meant);
        else
            build_key_error(b, n, "unknown option '%.64s'", n->key);
    }
}

/* Reads the mapping that the table calls `parent`. `open` = other keys are welcome. */
static void walk_map(struct build *b, const char *parent, const struct tree_node *map,
                     char *base, bool open)
{
    if (!open)
        refuse_unknown(b, parent, map);
    for (size_t i = 0; i < schema_option_count; i++) {
        const struct option *option = &schema_options[i];
        const char *name =
            option->component == b->component ? schema_name_in(option, parent) : NULL;

        if (name != NULL)
            walk_option(b, option, name, map, base);
    }
}

void walk_component(struct build *b, struct tree_node *root)
{
    if (root->kind == TREE_MAP)
        walk_map(b, "", root, (char *)b->config, false);
    else if (root->kind != TREE_BROKEN)
        build_error(b, root, "the file must be a mapping of options");
}

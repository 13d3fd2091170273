/* SPDX-License-Identifier: MIT */
/* Makes JSON of a YAML table of cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/yaml_tree.h"
#include "util/buf.h"
#include "yaml_cases.h"

static json_t *scalar(const struct tree_node *node)
{
    char *end;
    long long number;

    if (node->plain && strcmp(node->text, "true") == 0)
        return json_true();
    if (node->plain && strcmp(node->text, "false") == 0)
        return json_false();
    number = strtoll(node->text, &end, 10);
    if (node->plain && end != node->text && *end == '\0')
        return json_integer(number);
    return json_string(node->text);
}

static json_t *convert(const struct tree_node *node)
{
    json_t *value;

    if (node->kind == TREE_TEXT)
        return scalar(node);
    value = node->kind == TREE_LIST ? json_array() : json_object();
    for (const struct tree_node *n = node->first; n != NULL; n = n->next) {
        if (node->kind == TREE_LIST)
            json_array_append_new(value, convert(n));
        else
            json_object_set_new(value, n->key, convert(n));
    }
    return value;
}

static void read_file(const char *path, struct buf *text)
{
    FILE *file = fopen(path, "r");
    char chunk[4096];
    size_t n;

    if (file == NULL)
        fail_msg("cannot open %s", path);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_append(text, chunk, n);
    fclose(file);
}

json_t *cases_load(const char *name)
{
    struct config_errors errors = {0};
    struct arena *arena = arena_new(64 << 20);
    struct tree_node *root;
    struct buf text;
    char path[512];
    json_t *cases;

    buf_init(&text, 16 << 20);
    snprintf(path, sizeof path, "%s/tests/cases/%s", AGW_SOURCE_DIR, name);
    read_file(path, &text);
    root = tree_parse(path, buf_text(&text), arena, &errors);
    if (root == NULL || errors.count > 0)
        fail_msg("%s", config_errors_text(&errors));
    cases = convert(root);
    buf_free(&text);
    arena_free(&arena);
    return cases;
}

const char *cases_text(const json_t *one, const char *member, const char *fallback)
{
    const json_t *value = json_object_get(one, member);

    return value == NULL ? fallback : json_string_value(value);
}

int64_t cases_integer(const json_t *one, const char *member, int64_t fallback)
{
    const json_t *value = json_object_get(one, member);

    return value == NULL ? fallback : (int64_t)json_integer_value(value);
}

bool cases_boolean(const json_t *one, const char *member)
{
    const json_t *value = json_object_get(one, member);

    if (!json_is_boolean(value))
        fail_msg("'%s' must be true or false", member);
    return json_is_true(value);
}

/* SPDX-License-Identifier: MIT */
/* Finds rows of the option table, and what may have been meant by a name without one. */
#include <string.h>

#include "config/schema.h"

const struct option *schema_find(enum config_component component, const char *path)
{
    for (size_t i = 0; i < schema_option_count; i++)
        if (schema_options[i].component == component &&
            strcmp(schema_options[i].path, path) == 0)
            return &schema_options[i];
    return NULL;
}

const char *schema_name_in(const struct option *option, const char *parent)
{
    size_t length = strlen(parent);
    const char *name = option->path;

    if (length > 0) {
        if (strncmp(name, parent, length) != 0 || name[length] != '.')
            return NULL;
        name += length + 1;
    }
    return strpbrk(name, ".[*") == NULL ? name : NULL;
}

const struct option *schema_child(enum config_component component, const char *parent,
                                  const char *key)
{
    for (size_t i = 0; i < schema_option_count; i++) {
        const char *name = schema_options[i].component == component
                               ? schema_name_in(&schema_options[i], parent)
                               : NULL;

        if (name != NULL && strcmp(name, key) == 0)
            return &schema_options[i];
    }
    return NULL;
}

enum { NAME_MAX_LENGTH = 40 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters were missed, added, mistaken or swapped with their neighbour. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][NAME_MAX_LENGTH + 1], *before = rows[0], *last = rows[1], *now = rows[2];
    size_t a_length = strlen(a), b_length = strlen(b);

    for (size_t j = 0; j <= b_length; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *spare = before;

        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            now[j] = least(last[j - 1] + (a[i - 1] != b[j - 1]),
                           least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b_length];
}

const char *schema_suggest(enum config_component component, const char *parent,
                           const char *key)
{
    const char *best = NULL;
    size_t nearest, length = strnlen(key, NAME_MAX_LENGTH + 1);

    if (length == 0 || length > NAME_MAX_LENGTH)
        return NULL;
    nearest = length / 3 + 1; /* what is further away was hardly meant */
    for (size_t i = 0; i < schema_option_count; i++) {
        const char *name = schema_options[i].component == component
                               ? schema_name_in(&schema_options[i], parent)
                               : NULL;

        if (name != NULL && strlen(name) <= NAME_MAX_LENGTH && distance(key, name) <= nearest) {
            size_t d = distance(key, name);

            if (best == NULL || d < nearest)
                best = name;
            nearest = d;
        }
    }
    return best;
}

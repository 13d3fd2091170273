/* SPDX-License-Identifier: MIT */
/* Reads lists of rules, of which some may only be on trial. */
#include <string.h>

#include "config/build.h"

enum mode { MODE_ENFORCE, MODE_SHADOW };

static enum mode read_mode(struct build *b, const struct option *option,
                           const struct tree_node *node)
{
    if (node == NULL || node->kind == TREE_BROKEN)
        return MODE_ENFORCE;
    if (node->kind == TREE_TEXT && strcmp(node->text, "shadow") == 0)
        return MODE_SHADOW;
    if (node->kind != TREE_TEXT || strcmp(node->text, "enforce") != 0)
        build_error(b, node, "the mode of an entry of '%s' must be one of: enforce, shadow",
                    option->path);
    return MODE_ENFORCE;
}

static void refuse_others(struct build *b, const struct option *option,
                          const struct tree_node *entry)
{
    for (const struct tree_node *n = entry->first; n != NULL; n = n->next)
        if (n->key != NULL && strcmp(n->key, "pattern") != 0 && strcmp(n->key, "mode") != 0)
            build_key_error(b, n, "unknown option '%.64s' in an entry of '%s', which has "
                                  "'pattern' and 'mode'", n->key, option->path);
}

static void read_entry(struct build *b, const struct option *option, struct tree_node *entry,
                       struct config_patterns *rules)
{
    struct tree_node *pattern = entry;
    enum mode mode = MODE_ENFORCE;

    if (entry->kind == TREE_MAP) {
        refuse_others(b, option, entry);
        mode = read_mode(b, option, tree_get(entry, "mode"));
        pattern = tree_get(entry, "pattern");
        if (pattern == NULL) {
            build_error(b, entry, "an entry of '%s' has no 'pattern'", option->path);
            return;
        }
    }
    values_add_pattern(b, option, pattern, mode == MODE_SHADOW ? rules->shadow : rules);
}

static size_t count_maps(const struct tree_node *list)
{
    size_t count = 0;

    for (const struct tree_node *n = list->first; n != NULL; n = n->next)
        count += n->kind == TREE_MAP;
    return count;
}

void rules_read(struct build *b, const struct option *option, struct tree_node *list,
                char *base)
{
    struct config_patterns *rules = (void *)(base + option->offset);
    size_t maps = count_maps(list);

    if (values_patterns_alloc(b, rules, list->count) != 0)
        return;
    if (maps > 0) {
        rules->shadow = build_alloc(b, sizeof *rules->shadow);
        if (rules->shadow == NULL || values_patterns_alloc(b, rules->shadow, maps) != 0)
            return;
    }
    for (struct tree_node *n = list->first; n != NULL; n = n->next)
        read_entry(b, option, n, rules);
    if (maps > 0 && rules->shadow->count == 0)
        rules->shadow = NULL;
    else if (maps > 0)
        rules->shadow->present = true;
    /* Rules on trial have no effect, so they cannot make a list that was not there. */
    rules->present = rules->count > 0 || rules->shadow == NULL;
}

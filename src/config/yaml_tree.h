/* SPDX-License-Identifier: MIT */
/* YAML text -> tree of nodes that know their place in the file.
 *
 * Built from parser events, never from libyaml's composed documents: a composed document
 * follows aliases (a node may contain itself) and has no limits. Refused here: aliases,
 * anchors, tags, merge keys, further documents, duplicate keys, keys that are not texts,
 * NUL, control characters, bytes that are not UTF-8, and whatever passes the limits below.
 *
 * Nodes and texts live in the caller's arena. Columns count characters, from 1.
 */
#ifndef AGW_CONFIG_YAML_TREE_H
#define AGW_CONFIG_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/load.h"
#include "util/arena.h"

enum {
    TREE_DEPTH_MAX = 32,
    TREE_EVENTS_MAX = 1000000,
    TREE_TEXT_MAX = 1 << 20, /* bytes of one text */
};

/* BROKEN stands for a value that an error was reported for already. */
enum tree_kind { TREE_TEXT, TREE_LIST, TREE_MAP, TREE_BROKEN };

struct tree_node {
    enum tree_kind kind;
    int line, column;
    const char *key; /* entries of a mapping only */
    int key_line, key_column;
    bool plain;           /* a text without quotes: may mean a number, true, null */
    bool builtin;         /* a default of the option table: not checked again */
    bool expanded;        /* holds the value of an environment variable: never quote it */
    const char *variable; /* the environment variable that it is from, or NULL */
    char *text;           /* TREE_TEXT, no NUL inside */
    size_t start, end;    /* TREE_TEXT: span in the source, in characters */
    size_t count;         /* TREE_LIST, TREE_MAP */
    struct tree_node *first, *last, *next;
};

/* The root, or NULL when no tree could be made. Errors are added in both cases: a tree with
 * errors serves to find the others. */
struct tree_node *tree_parse(const char *file, const char *text, struct arena *arena,
                             struct config_errors *errors);

/* The entry of a mapping, or NULL. */
struct tree_node *tree_get(const struct tree_node *map, const char *key);

/* Whether the value is missing: `key:` alone, `~` or `null`. */
bool tree_is_null(const struct tree_node *node);

/* Line and column (from 1) of the byte at `offset`. */
void tree_place(const char *text, size_t offset, int *line, int *column);

#endif

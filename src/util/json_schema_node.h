/* SPDX-License-Identifier: MIT */
/* A compiled subschema: what json_schema.c makes and json_schema_check.c asks; for these two
 * only. How types and places are spelled, for the messages of both. */
#ifndef AGW_UTIL_JSON_SCHEMA_NODE_H
#define AGW_UTIL_JSON_SCHEMA_NODE_H

#include "util/json_schema.h"
#include "util/json_schema_pattern.h"

enum node_type {
    NODE_NULL = 1,
    NODE_BOOLEAN = 2,
    NODE_OBJECT = 4,
    NODE_ARRAY = 8,
    NODE_NUMBER = 16,
    NODE_STRING = 32,
    NODE_INTEGER = 64 /* also 1.0 */
};

struct node;

struct node_list {
    size_t count;
    struct node **nodes;
};

/* A member by its name, or by a pattern of it. */
struct node_member {
    const char *name;
    pcre2_code *pattern; /* of patternProperties, else NULL */
    struct node *node;
};

struct node_members {
    size_t count;
    struct node_member *list;
};

enum node_limit {
    LIMIT_MIN_LENGTH,
    LIMIT_MAX_LENGTH,
    LIMIT_MIN_ITEMS,
    LIMIT_MAX_ITEMS,
    LIMIT_MIN_PROPERTIES,
    LIMIT_MAX_PROPERTIES,
    LIMITS
};
enum node_bound { BOUND_MINIMUM, BOUND_MAXIMUM, BOUND_ABOVE, BOUND_BELOW, BOUND_MULTIPLE,
                  BOUNDS };

/* Absent keywords are NULL, 0, or -1 for limits. */
struct node {
    const json_t *source;
    bool never;          /* the schema `false` */
    unsigned types;      /* enum node_type, 0 = any */
    const json_t *choices, *constant;
    const json_t *bounds[BOUNDS];
    json_int_t limits[LIMITS];
    bool unique;
    const char *pattern_text;
    pcre2_code *pattern;
    const json_t *required;
    struct node_members properties, pattern_properties;
    struct node *additional, *property_names, *items, *ref, *not;
    struct node *condition, *then, *otherwise;
    struct node_list prefix, any, one, all;
};

struct json_schema {
    json_t *source;
    struct arena *arena;
    struct node *root;
    size_t count;
    struct node *nodes[JSON_SCHEMA_NODES_MAX];
    char ignored[JSON_SCHEMA_MESSAGE_SIZE];
};

/* Makes "/a~1b" one segment longer, as far as there is room (JSON_SCHEMA_POINTER_SIZE bytes);
 * *length is its length before and after. */
void node_pointer_push(char *pointer, size_t *length, const char *segment);

/* The type of a name; 0 = there is none of that name, or it is NULL. */
unsigned node_type_named(const char *name);

/* The names in `types`, "string or null". */
const char *node_types_text(unsigned types, char text[80]);

#endif

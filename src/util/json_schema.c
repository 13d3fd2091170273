/* SPDX-License-Identifier: MIT */
/* Compiles JSON Schemas. */
#include "util/json_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"
#include "util/err.h"
#include "util/json_schema_node.h"
#include "util/json_schema_place.h"
#include "util/json_text.h"

enum { ARENA_MAX = 8 << 20 };

struct compile {
    struct json_schema *schema;
    bool strict;
    int depth;
    int status; /* 0 or what ends it */
    char pointer[JSON_SCHEMA_POINTER_SIZE];
    size_t length;
    struct json_schema_problem *problem;
};

static struct node *compile(struct compile *c, const json_t *source);

/* ---- problems ---- */

__attribute__((format(printf, 2, 3))) static void fail(struct compile *c, const char *format,
                                                       ...)
{
    va_list args;

    if (c->status != 0)
        return;
    c->status = AGW_EINVALID;
    memcpy(c->problem->pointer, c->pointer, c->length + 1);
    va_start(args, format);
    vsnprintf(c->problem->message, sizeof c->problem->message, format, args);
    va_end(args);
    json_text_repair(c->problem->pointer);
    json_text_repair(c->problem->message);
}

static void *take(struct compile *c, size_t size)
{
    void *room = arena_alloc(c->schema->arena, size);

    if (room == NULL && c->status == 0)
        c->status = AGW_ENOMEM;
    return room;
}

/* ---- below a place ---- */

/* Compiles what stands at `segment` below the place we are at. */
static struct node *below(struct compile *c, const char *segment, const json_t *source)
{
    size_t before = c->length;
    struct node *node;

    node_pointer_push(c->pointer, &c->length, segment);
    node = compile(c, source);
    c->length = before;
    c->pointer[before] = '\0';
    return node;
}

static pcre2_code *compile_pattern(struct compile *c, const char *text)
{
    char why[JSON_SCHEMA_PATTERN_WHY_SIZE];
    pcre2_code *code;
    int status = json_schema_pattern_compile(c->schema->arena, text, &code, why);

    if (status == AGW_EINVALID)
        fail(c, "is no pattern: %s", why);
    else if (status != 0)
        c->status = status;
    return code;
}

/* ---- keywords: each gets its value, with the pointer standing at it ---- */

struct keyword {
    const char *name;
    void (*read)(struct compile *c, struct node *node, const struct keyword *keyword,
                 const json_t *value);
    size_t index; /* of a limit or bound, or offset of a member of struct node */
};

static void pass_over(struct compile *c, struct node *node, const struct keyword *keyword,
                      const json_t *value)
{
    (void)c, (void)node, (void)keyword, (void)value;
}

static void read_type(struct compile *c, struct node *node, const struct keyword *keyword,
                      const json_t *value)
{
    size_t i;
    json_t *name;

    (void)keyword;
    node->types = node_type_named(json_string_value(value));
    if (json_is_array(value) && json_array_size(value) > 0) {
        json_array_foreach((json_t *)value, i, name)
        {
            unsigned type = node_type_named(json_string_value(name));

            node->types = type == 0 || (i > 0 && node->types == 0) ? 0 : node->types | type;
        }
    }
    if (node->types == 0)
        fail(c, "must be null, boolean, object, array, number, string or integer, or a list "
                "of these");
}

static void read_value(struct compile *c, struct node *node, const struct keyword *keyword,
                       const json_t *value)
{
    if (keyword->index == offsetof(struct node, choices) && !json_is_array(value)) {
        fail(c, "must be an array");
        return;
    }
    memcpy((char *)node + keyword->index, &value, sizeof value);
}

static void read_bound(struct compile *c, struct node *node, const struct keyword *keyword,
                       const json_t *value)
{
    if (!json_is_number(value))
        fail(c, "must be a number");
    else if (keyword->index == BOUND_MULTIPLE && json_number_value(value) <= 0)
        fail(c, "must be greater than 0");
    node->bounds[keyword->index] = value;
}

static void read_limit(struct compile *c, struct node *node, const struct keyword *keyword,
                       const json_t *value)
{
    double number = json_number_value(value);

    if (!json_is_number(value) || !(number >= 0 && number <= 1e15) ||
        number != (double)(json_int_t)number)
        fail(c, "must be a whole number that is not negative");
    else
        node->limits[keyword->index] = (json_int_t)number;
}

static void read_unique(struct compile *c, struct node *node, const struct keyword *keyword,
                        const json_t *value)
{
    (void)keyword;
    if (!json_is_boolean(value))
        fail(c, "must be true or false");
    node->unique = json_is_true(value);
}

static void read_pattern(struct compile *c, struct node *node, const struct keyword *keyword,
                         const json_t *value)
{
    (void)keyword;
    if (!json_is_string(value)) {
        fail(c, "must be a text");
        return;
    }
    node->pattern_text = json_string_value(value);
    node->pattern = compile_pattern(c, node->pattern_text);
}

static void read_required(struct compile *c, struct node *node, const struct keyword *keyword,
                          const json_t *value)
{
    size_t i;
    json_t *name;

    (void)keyword;
    if (!json_is_array(value))
        fail(c, "must be an array of names");
    json_array_foreach((json_t *)value, i, name) if (!json_is_string(name))
        fail(c, "must be an array of names");
    node->required = value;
}

static void read_members(struct compile *c, struct node *node, const struct keyword *keyword,
                         const json_t *value)
{
    struct node_members *members = (void *)((char *)node + keyword->index);
    bool patterns = keyword->index == offsetof(struct node, pattern_properties);
    const char *name;
    json_t *member;

    if (!json_is_object(value)) {
        fail(c, "must be an object");
        return;
    }
    members->list = take(c, (json_object_size(value) + 1) * sizeof *members->list);
    json_object_foreach((json_t *)value, name, member)
    {
        if (c->status != 0)
            return;
        members->list[members->count].name = name;
        if (patterns)
            members->list[members->count].pattern = compile_pattern(c, name);
        members->list[members->count].node = below(c, name, member);
        members->count++;
    }
}

static void read_node(struct compile *c, struct node *node, const struct keyword *keyword,
                      const json_t *value)
{
    struct node *child = compile(c, value);

    memcpy((char *)node + keyword->index, &child, sizeof child);
}

static void read_list(struct compile *c, struct node *node, const struct keyword *keyword,
                      const json_t *value)
{
    struct node_list *list = (void *)((char *)node + keyword->index);
    size_t i;
    json_t *element;
    char segment[24];

    if (json_array_size(value) == 0) {
        fail(c, "must be an array with at least one schema");
        return;
    }
    list->nodes = take(c, json_array_size(value) * sizeof(struct node *));
    json_array_foreach((json_t *)value, i, element)
    {
        if (c->status != 0)
            return;
        snprintf(segment, sizeof segment, "%zu", i);
        list->nodes[list->count++] = below(c, segment, element);
    }
}

/* Definitions count even where nothing refers to them: what is wrong with them is said. */
static void read_definitions(struct compile *c, struct node *node,
                             const struct keyword *keyword, const json_t *value)
{
    const char *name;
    json_t *member;

    (void)node, (void)keyword;
    if (!json_is_object(value))
        fail(c, "must be an object");
    json_object_foreach((json_t *)value, name, member) if (c->status == 0)
        below(c, name, member);
}

static void read_ref(struct compile *c, struct node *node, const struct keyword *keyword,
                     const json_t *value)
{
    const char *text = json_string_value(value);
    const json_t *target;

    (void)keyword;
    if (text == NULL || text[0] != '#' || (text[1] != '\0' && text[1] != '/')) {
        if (c->strict || text == NULL)
            fail(c, "must be a place of this schema, '#/...'");
        return; /* what stands elsewhere is not fetched, so it is not checked */
    }
    target = json_schema_place_find(c->schema->source, text + 1);
    if (target == NULL)
        fail(c, "there is nothing at '%.100s'", text);
    else
        node->ref = compile(c, target);
}

/* A nested $id would move the place that '#' means. */
static void read_id(struct compile *c, struct node *node, const struct keyword *keyword,
                    const json_t *value)
{
    (void)keyword;
    if (!json_is_string(value))
        fail(c, "must be a text");
    else if (node->source != c->schema->source && c->strict)
        fail(c, "is understood at the top of a schema only");
}

#define MEMBER(name, read, member) {name, read, offsetof(struct node, member)}
static const struct keyword keywords[] = {
    {"type", read_type, 0},
    MEMBER("enum", read_value, choices),
    MEMBER("const", read_value, constant),
    {"minimum", read_bound, BOUND_MINIMUM},
    {"maximum", read_bound, BOUND_MAXIMUM},
    {"exclusiveMinimum", read_bound, BOUND_ABOVE},
    {"exclusiveMaximum", read_bound, BOUND_BELOW},
    {"multipleOf", read_bound, BOUND_MULTIPLE},
    {"minLength", read_limit, LIMIT_MIN_LENGTH},
    {"maxLength", read_limit, LIMIT_MAX_LENGTH},
    {"minItems", read_limit, LIMIT_MIN_ITEMS},
    {"maxItems", read_limit, LIMIT_MAX_ITEMS},
    {"minProperties", read_limit, LIMIT_MIN_PROPERTIES},
    {"maxProperties", read_limit, LIMIT_MAX_PROPERTIES},
    {"uniqueItems", read_unique, 0},
    {"pattern", read_pattern, 0},
    {"required", read_required, 0},
    MEMBER("properties", read_members, properties),
    MEMBER("patternProperties", read_members, pattern_properties),
    MEMBER("additionalProperties", read_node, additional),
    MEMBER("propertyNames", read_node, property_names),
    MEMBER("items", read_node, items),
    MEMBER("prefixItems", read_list, prefix),
    MEMBER("anyOf", read_list, any),
    MEMBER("oneOf", read_list, one),
    MEMBER("allOf", read_list, all),
    MEMBER("not", read_node, not),
    MEMBER("if", read_node, condition),
    MEMBER("then", read_node, then),
    MEMBER("else", read_node, otherwise),
    {"$ref", read_ref, 0},
    {"$defs", read_definitions, 0},
    {"definitions", read_definitions, 0},
    {"$id", read_id, 0},
    {"$schema", pass_over, 0},
    {"$comment", pass_over, 0},
    {"title", pass_over, 0},
    {"description", pass_over, 0},
    {"default", pass_over, 0},
    {"examples", pass_over, 0},
    {"format", pass_over, 0},
    {"deprecated", pass_over, 0},
    {"readOnly", pass_over, 0},
    {"writeOnly", pass_over, 0},
    {"contentEncoding", pass_over, 0},
    {"contentMediaType", pass_over, 0},
    {"contentSchema", pass_over, 0},
};

static const struct keyword *find_keyword(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

static void ignore(struct compile *c, const char *name)
{
    char *text = c->schema->ignored;
    size_t used = strlen(text);

    if (strncmp(name, "x-", 2) == 0)
        return;
    if (c->strict) {
        fail(c, "the keyword '%.60s' of JSON Schema is not supported", name);
    } else if (strstr(text, name) == NULL) {
        snprintf(text + used, sizeof c->schema->ignored - used, "%s%.60s",
                 used > 0 ? ", " : "", name);
        json_text_repair(text);
    }
}

static void read_keyword(struct compile *c, struct node *node, const char *name,
                         const json_t *value)
{
    const struct keyword *keyword = find_keyword(name);
    size_t before = c->length;

    node_pointer_push(c->pointer, &c->length, name);
    if (keyword == NULL)
        ignore(c, name);
    else
        keyword->read(c, node, keyword, value);
    c->length = before;
    c->pointer[before] = '\0';
}

/* ---- the whole ---- */

static struct node *known(const struct json_schema *schema, const json_t *source)
{
    for (size_t i = 0; i < schema->count; i++)
        if (schema->nodes[i]->source == source)
            return schema->nodes[i];
    return NULL;
}

static struct node *new_node(struct compile *c, const json_t *source)
{
    struct node *node;

    if (c->schema->count == JSON_SCHEMA_NODES_MAX) {
        fail(c, "the schema has more than %d subschemas", JSON_SCHEMA_NODES_MAX);
        return NULL;
    }
    node = take(c, sizeof *node);
    if (node == NULL)
        return NULL;
    node->source = source;
    for (int i = 0; i < LIMITS; i++)
        node->limits[i] = -1;
    c->schema->nodes[c->schema->count++] = node;
    return node;
}

/* A place that was compiled before is taken as it is: so references may go round in circles.
 * (Jansson has one object for all of `true`, and one for `false`.) */
static struct node *compile(struct compile *c, const json_t *source)
{
    struct node *node = c->status != 0 ? NULL : known(c->schema, source);
    const char *name;
    json_t *value;

    if (node != NULL || c->status != 0)
        return node;
    if (!json_is_object(source) && !json_is_boolean(source)) {
        fail(c, "must be a schema: an object, true or false");
        return NULL;
    }
    if (c->depth == JSON_SCHEMA_DEPTH_MAX) {
        fail(c, "the schema is nested too deeply");
        return NULL;
    }
    node = new_node(c, source);
    if (node == NULL)
        return NULL;
    node->never = json_is_false(source);
    c->depth++;
    json_object_foreach((json_t *)source, name, value) if (c->status == 0)
        read_keyword(c, node, name, value);
    c->depth--;
    return node;
}

int json_schema_compile(json_t *source, bool strict, struct json_schema **out,
                        struct json_schema_problem *problem)
{
    struct json_schema *schema = calloc(1, sizeof *schema);
    struct compile c = {.schema = schema, .strict = strict, .problem = problem};

    *out = NULL;
    *problem = (struct json_schema_problem){"", ""};
    if (schema == NULL)
        return AGW_ENOMEM;
    schema->source = json_incref(source);
    schema->arena = arena_new(ARENA_MAX);
    if (schema->arena == NULL)
        c.status = AGW_ENOMEM;
    else
        schema->root = compile(&c, source);
    if (c.status != 0) {
        json_schema_free(&schema);
        return c.status;
    }
    *out = schema;
    return 0;
}

void json_schema_free(struct json_schema **slot)
{
    struct json_schema *schema = *slot;

    if (schema == NULL)
        return;
    arena_free(&schema->arena);
    json_decref(schema->source);
    free(schema);
    *slot = NULL;
}

const char *json_schema_ignored(const struct json_schema *schema)
{
    return schema->ignored;
}

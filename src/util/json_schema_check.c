/* SPDX-License-Identifier: MIT */
/* Checks values against compiled JSON Schemas. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/json_schema_node.h"
#include "util/json_text.h"

struct check {
    int steps, depth;
    bool exhausted; /* no more steps: nothing fits any longer */
    char pointer[JSON_SCHEMA_POINTER_SIZE];
    size_t length;
    struct json_schema_problem *problem;
};

static bool fits(struct check *c, const struct node *node, const json_t *value);

/* ---- problems ---- */

/* Always false, so that a check can end with it. */
__attribute__((format(printf, 2, 3))) static bool differs(struct check *c, const char *format,
                                                          ...)
{
    va_list args;

    if (c->exhausted)
        return false; /* that was said */
    memcpy(c->problem->pointer, c->pointer, c->length + 1);
    va_start(args, format);
    vsnprintf(c->problem->message, sizeof c->problem->message, format, args);
    va_end(args);
    json_text_repair(c->problem->pointer);
    json_text_repair(c->problem->message);
    return false;
}

static bool spend(struct check *c)
{
    if (c->exhausted || --c->steps > 0)
        return !c->exhausted;
    differs(c, "takes too long to check");
    c->exhausted = true;
    return false;
}

/* A value as it is quoted in messages. */
static const char *shown(const json_t *value, char text[100])
{
    size_t length = json_dumpb(value, text, 80, JSON_ENCODE_ANY | JSON_COMPACT);

    if (length > 80) {
        memcpy(text + 77, "...", 3);
        length = 80;
    }
    text[length] = '\0';
    json_text_repair(text);
    return text;
}

/* ---- numbers ---- */

/* 64 bits of mantissa hold every integer; where long double has fewer, huge ones are rounded. */
static int compare_numbers(const json_t *a, const json_t *b)
{
    long double x = json_is_integer(a) ? (long double)json_integer_value(a)
                                       : (long double)json_real_value(a);
    long double y = json_is_integer(b) ? (long double)json_integer_value(b)
                                       : (long double)json_real_value(b);

    return x < y ? -1 : x > y;
}

static bool is_whole(const json_t *value)
{
    return json_is_integer(value) ||
           (json_is_real(value) && floor(json_real_value(value)) == json_real_value(value));
}

static bool is_multiple(const json_t *value, const json_t *of)
{
    double quotient;

    if (json_is_integer(value) && json_is_integer(of))
        return json_integer_value(value) % json_integer_value(of) == 0;
    quotient = json_number_value(value) / json_number_value(of);
    return isfinite(quotient) && floor(quotient) == quotient;
}

static bool fit_bound(struct check *c, enum node_bound which, const json_t *bound,
                      const json_t *value)
{
    static const char *const wants[BOUNDS] = {"at least", "at most", "greater than",
                                              "less than", "a multiple of"};
    int order = compare_numbers(value, bound);
    char text[100];
    bool good = which == BOUND_MINIMUM   ? order >= 0
                : which == BOUND_MAXIMUM ? order <= 0
                : which == BOUND_ABOVE   ? order > 0
                : which == BOUND_BELOW   ? order < 0
                                         : is_multiple(value, bound);

    return good || differs(c, "must be %s %s", wants[which], shown(bound, text));
}

static bool fit_number(struct check *c, const struct node *node, const json_t *value)
{
    for (int i = 0; i < BOUNDS; i++)
        if (node->bounds[i] != NULL &&
            !fit_bound(c, (enum node_bound)i, node->bounds[i], value))
            return false;
    return true;
}

/* ---- equality, in which 1 is 1.0 ---- */

static bool equal(struct check *c, const json_t *a, const json_t *b);

static bool equal_arrays(struct check *c, const json_t *a, const json_t *b)
{
    size_t i;
    json_t *element;

    if (json_array_size(a) != json_array_size(b))
        return false;
    json_array_foreach((json_t *)a, i, element) if (!equal(c, element, json_array_get(b, i)))
        return false;
    return true;
}

static bool equal_objects(struct check *c, const json_t *a, const json_t *b)
{
    const char *name;
    json_t *member;

    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)a, name, member)
    {
        const json_t *other = json_object_get(b, name);

        if (other == NULL || !equal(c, member, other))
            return false;
    }
    return true;
}

static bool equal(struct check *c, const json_t *a, const json_t *b)
{
    if (!spend(c))
        return false;
    if (json_is_number(a) && json_is_number(b))
        return compare_numbers(a, b) == 0;
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_string(a))
        return json_string_length(a) == json_string_length(b) &&
               memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;
    if (json_is_array(a))
        return equal_arrays(c, a, b);
    if (json_is_object(a))
        return equal_objects(c, a, b);
    return true;
}

static bool fit_choices(struct check *c, const json_t *choices, const json_t *value)
{
    size_t i;
    json_t *choice;
    char text[100];

    json_array_foreach((json_t *)choices, i, choice) if (equal(c, choice, value)) return true;
    return differs(c, "must be one of %s", shown(choices, text));
}

/* ---- texts ---- */

static bool matches(struct check *c, const pcre2_code *code, const char *text, size_t length)
{
    return spend(c) && json_schema_pattern_matches(code, text, length);
}

static json_int_t code_points(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    json_int_t count = 0;

    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* `what`: "characters", "elements", "members". */
static bool fit_size(struct check *c, const struct node *node, enum node_limit least,
                     json_int_t size, const char *what)
{
    json_int_t min = node->limits[least], max = node->limits[least + 1];

    if (min >= 0 && size < min)
        return differs(c, "must have at least %lld %s, has %lld", (long long)min, what,
                       (long long)size);
    if (max >= 0 && size > max)
        return differs(c, "must have at most %lld %s, has %lld", (long long)max, what,
                       (long long)size);
    return true;
}

static bool fit_string(struct check *c, const struct node *node, const json_t *value)
{
    if ((node->limits[LIMIT_MIN_LENGTH] >= 0 || node->limits[LIMIT_MAX_LENGTH] >= 0) &&
        !fit_size(c, node, LIMIT_MIN_LENGTH, code_points(value), "characters"))
        return false;
    return node->pattern == NULL ||
           matches(c, node->pattern, json_string_value(value), json_string_length(value)) ||
           differs(c, "must match the pattern %.120s", node->pattern_text);
}

/* ---- arrays and objects ---- */

static bool fit_below(struct check *c, const struct node *node, const char *segment,
                      const json_t *value)
{
    size_t before = c->length;
    bool good;

    node_pointer_push(c->pointer, &c->length, segment);
    good = fits(c, node, value);
    c->length = before;
    c->pointer[before] = '\0';
    return good;
}

static bool is_unique(struct check *c, const json_t *array)
{
    size_t count = json_array_size(array);

    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (equal(c, json_array_get(array, i), json_array_get(array, j)))
                return differs(c, "must not have the same element twice (%zu and %zu)", j, i);
    return !c->exhausted;
}

static bool fit_array(struct check *c, const struct node *node, const json_t *value)
{
    char segment[24];
    size_t i;
    json_t *element;

    if (!fit_size(c, node, LIMIT_MIN_ITEMS, (json_int_t)json_array_size(value), "elements"))
        return false;
    json_array_foreach((json_t *)value, i, element)
    {
        const struct node *wanted =
            i < node->prefix.count ? node->prefix.nodes[i] : node->items;

        snprintf(segment, sizeof segment, "%zu", i);
        if (wanted != NULL && wanted == node->items && wanted->never)
            return differs(c, "must not have more than %zu elements", node->prefix.count);
        if (wanted != NULL && !fit_below(c, wanted, segment, element))
            return false;
    }
    return !node->unique || is_unique(c, value);
}

static bool fit_required(struct check *c, const json_t *required, const json_t *value)
{
    size_t i;
    json_t *name;

    json_array_foreach((json_t *)required, i, name)
    {
        if (json_object_getn(value, json_string_value(name), json_string_length(name)) == NULL)
            return differs(c, "the member '%.100s' is missing", json_string_value(name));
    }
    return true;
}

static bool is_declared(const struct node *node, const char *name)
{
    return json_object_get(json_object_get(node->source, "properties"), name) != NULL;
}

static bool fit_name(struct check *c, const struct node *names, const char *name)
{
    json_t *text = json_string_nocheck(name);
    bool good = text != NULL && fit_below(c, names, name, text);

    json_decref(text);
    return good;
}

/* One member by everything that is not said of its very name. */
static bool fit_member(struct check *c, const struct node *node, const char *name,
                       const json_t *member)
{
    bool declared = node->additional == NULL || is_declared(node, name);

    if (!spend(c) ||
        (node->property_names != NULL && !fit_name(c, node->property_names, name)))
        return false;
    for (size_t i = 0; i < node->pattern_properties.count; i++) {
        const struct node_member *p = &node->pattern_properties.list[i];

        if (!matches(c, p->pattern, name, strlen(name)))
            continue;
        declared = true;
        if (!fit_below(c, p->node, name, member))
            return false;
    }
    if (declared)
        return true;
    if (node->additional->never)
        return differs(c, "must not have a member '%.100s'", name);
    return fit_below(c, node->additional, name, member);
}

static bool fit_object(struct check *c, const struct node *node, const json_t *value)
{
    const char *name;
    json_t *member;

    if (!fit_size(c, node, LIMIT_MIN_PROPERTIES, (json_int_t)json_object_size(value),
                  "members") ||
        !fit_required(c, node->required, value))
        return false;
    for (size_t i = 0; i < node->properties.count; i++) {
        const struct node_member *p = &node->properties.list[i];

        member = json_object_get(value, p->name);
        if (member != NULL && !fit_below(c, p->node, p->name, member))
            return false;
    }
    if (node->additional == NULL && node->pattern_properties.count == 0 &&
        node->property_names == NULL)
        return true;
    json_object_foreach((json_t *)value, name, member) if (!fit_member(c, node, name, member))
        return false;
    return true;
}

/* ---- combinations ---- */

/* How many fit (at most `enough` are looked for); *c->problem is the reason of the one that
 * came furthest into the value. */
static size_t count_fitting(struct check *c, const struct node_list *list, size_t enough,
                            const json_t *value)
{
    struct json_schema_problem closest = {"", ""}, *outer = c->problem, here;
    size_t count = 0;

    c->problem = &here;
    for (size_t i = 0; i < list->count && count < enough && !c->exhausted; i++) {
        if (fits(c, list->nodes[i], value))
            count++;
        else if (closest.message[0] == '\0' || c->exhausted ||
                 strlen(here.pointer) > strlen(closest.pointer))
            closest = here;
    }
    c->problem = outer;
    if (count == 0 || c->exhausted)
        *outer = closest;
    return count;
}

static bool fit_combinations(struct check *c, const struct node *node, const json_t *value)
{
    struct json_schema_problem *outer = c->problem, ignored;
    bool fitting;

    for (size_t i = 0; i < node->all.count; i++)
        if (!fits(c, node->all.nodes[i], value))
            return false;
    if (node->any.count > 0 && count_fitting(c, &node->any, 1, value) == 0)
        return false;
    if (node->one.count > 0) {
        size_t count = count_fitting(c, &node->one, 2, value);

        if (count != 1)
            return count > 1 && differs(c, "fits more than one of the alternatives");
    }
    if (node->not == NULL)
        return !c->exhausted;
    c->problem = &ignored;
    fitting = fits(c, node->not, value);
    c->problem = outer;
    if (c->exhausted)
        *outer = ignored;
    return !fitting && !c->exhausted ? true : differs(c, "must not be of this kind");
}

static bool fit_condition(struct check *c, const struct node *node, const json_t *value)
{
    struct json_schema_problem *outer = c->problem, ignored;
    const struct node *then;

    if (node->condition == NULL)
        return true;
    c->problem = &ignored;
    then = fits(c, node->condition, value) ? node->then : node->otherwise;
    c->problem = outer;
    if (c->exhausted)
        *outer = ignored;
    return !c->exhausted && (then == NULL || fits(c, then, value));
}

/* ---- the whole ---- */

static unsigned type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return NODE_OBJECT;
    case JSON_ARRAY:
        return NODE_ARRAY;
    case JSON_STRING:
        return NODE_STRING;
    case JSON_INTEGER:
        return NODE_NUMBER | NODE_INTEGER;
    case JSON_REAL:
        return is_whole(value) ? NODE_NUMBER | NODE_INTEGER : NODE_NUMBER;
    case JSON_NULL:
        return NODE_NULL;
    default:
        return NODE_BOOLEAN;
    }
}

static bool fit_kind(struct check *c, const struct node *node, const json_t *value)
{
    unsigned type = type_of(value);

    if (type & NODE_NUMBER)
        return fit_number(c, node, value);
    if (type == NODE_STRING)
        return fit_string(c, node, value);
    if (type == NODE_ARRAY)
        return fit_array(c, node, value);
    return type != NODE_OBJECT || fit_object(c, node, value);
}

static bool fit_node(struct check *c, const struct node *node, const json_t *value)
{
    char text[100];

    if (node->never)
        return differs(c, "is not allowed");
    if (node->types != 0 && (node->types & type_of(value)) == 0)
        return differs(c, "must be %s", node_types_text(node->types, text));
    if (node->choices != NULL && !fit_choices(c, node->choices, value))
        return false;
    if (node->constant != NULL && !equal(c, node->constant, value))
        return differs(c, "must be %s", shown(node->constant, text));
    return fit_kind(c, node, value) && (node->ref == NULL || fits(c, node->ref, value)) &&
           fit_combinations(c, node, value) && fit_condition(c, node, value);
}

static bool fits(struct check *c, const struct node *node, const json_t *value)
{
    bool good;

    if (!spend(c))
        return false;
    if (c->depth == JSON_SCHEMA_DEPTH_MAX) {
        differs(c, "is nested too deeply to be checked");
        c->exhausted = true;
        return false;
    }
    c->depth++;
    good = fit_node(c, node, value);
    c->depth--;
    return good && !c->exhausted;
}

bool json_schema_fits(const struct json_schema *schema, const json_t *value,
                      struct json_schema_problem *problem)
{
    struct check c = {.steps = JSON_SCHEMA_STEPS_MAX, .problem = problem};

    *problem = (struct json_schema_problem){"", ""};
    return fits(&c, schema->root, value);
}

/* SPDX-License-Identifier: MIT */
/* JSON Schema, draft 2020-12: checks values against a schema that was compiled once.
 *
 * Understood: type enum const; properties required additionalProperties patternProperties
 * propertyNames minProperties maxProperties; items prefixItems minItems maxItems uniqueItems;
 * minimum maximum exclusiveMinimum exclusiveMaximum multipleOf; minLength maxLength pattern;
 * anyOf oneOf allOf not; if then else; $defs, definitions and $ref to a place of the same
 * schema ("#/..."). Patterns are PCRE2's, with ECMAScript's escapes. Annotations (title,
 * description, default, examples, format, $schema, $id of the whole, $comment, deprecated,
 * readOnly, writeOnly, contentEncoding, contentMediaType, contentSchema, and names that begin with "x-") are passed
 * over.
 *
 * Schemas and values may be hostile: depth, steps and the work of a pattern are bounded, and
 * what goes beyond counts as not fitting. Compiled schemas are immutable: any thread.
 */
#ifndef AGW_UTIL_JSON_SCHEMA_H
#define AGW_UTIL_JSON_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct json_schema;

enum {
    JSON_SCHEMA_POINTER_SIZE = 256,
    JSON_SCHEMA_MESSAGE_SIZE = 256,
    JSON_SCHEMA_NODES_MAX = 4096,   /* subschemas of a schema */
    JSON_SCHEMA_DEPTH_MAX = 64,     /* of schemas, and of a value's checks in each other */
    JSON_SCHEMA_STEPS_MAX = 500000, /* subschemas tried and values compared, for one value */
    JSON_SCHEMA_PATTERN_MAX = 1024, /* bytes of a pattern */
    JSON_SCHEMA_SUBJECT_MAX = 32768 /* bytes of a text that a pattern is tried on */
};

/* Where and what, both UTF-8 and cut to their room. */
struct json_schema_problem {
    char pointer[JSON_SCHEMA_POINTER_SIZE]; /* JSON pointer, "" = the whole */
    char message[JSON_SCHEMA_MESSAGE_SIZE];
};

/* `strict`: a keyword that is not understood is a problem; otherwise it is passed over and
 * remembered. What is misused ("required": 3) is a problem in any case. The schema keeps a
 * reference of `schema`, which must not change. 0, AGW_EINVALID with *problem, AGW_ENOMEM. */
int json_schema_compile(json_t *schema, bool strict, struct json_schema **compiled,
                        struct json_schema_problem *problem);
void json_schema_free(struct json_schema **compiled);

/* The keywords that were passed over: "contains, unevaluatedItems"; "" = none. */
const char *json_schema_ignored(const struct json_schema *compiled);

/* Whether `value` fits; if not, *problem says the first reason. */
bool json_schema_fits(const struct json_schema *compiled, const json_t *value,
                      struct json_schema_problem *problem);

#endif

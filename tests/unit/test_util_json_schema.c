/* SPDX-License-Identifier: MIT */
/* What the official test suite does not ask: reasons, places, bounds, hostile schemas. Verdicts
 * for each keyword are the suite's business (tests/integration/test_json_schema.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/err.h"
#include "util/json_schema.h"

static json_t *read_json(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    if (value == NULL)
        fail_msg("no JSON: %s", text);
    return value;
}

static void reasons_say_where_and_what(void **state)
{
    static const struct {
        const char *schema, *value, *pointer, *message;
    } rows[] = {
        {"{\"type\":[\"string\",\"null\"]}", "3", "", "must be null or string"},
        {"{\"properties\":{\"a/b\":{\"items\":{\"minimum\":2}}}}", "{\"a/b\":[2,1]}",
         "/a~1b/1", "must be at least 2"},
        {"{\"required\":[\"x\"]}", "{}", "", "the member 'x' is missing"},
        {"{\"additionalProperties\":false}", "{\"y\":1}", "", "must not have a member 'y'"},
        {"{\"enum\":[1,\"two\"]}", "3", "", "must be one of [1,\"two\"]"},
        {"{\"const\":null}", "3", "", "must be null"},
        {"{\"minLength\":2}", "\"\xc3\xbc\"", "", "must have at least 2 characters, has 1"},
        {"{\"maxItems\":1}", "[1,2]", "", "must have at most 1 elements, has 2"},
        {"{\"pattern\":\"^a$\"}", "\"a\\n\"", "", "must match the pattern ^a$"},
        {"{\"uniqueItems\":true}", "[1,2,1.0]", "",
         "must not have the same element twice (0 and 2)"},
        {"{\"prefixItems\":[true],\"items\":false}", "[1,2]", "",
         "must not have more than 1 elements"},
        /* of alternatives the one that came furthest is told */
        {"{\"anyOf\":[{\"type\":\"string\"},{\"properties\":{\"a\":{\"type\":\"null\"}}}]}",
         "{\"a\":1}", "/a", "must be null"},
        {"{\"oneOf\":[true,true]}", "1", "", "fits more than one of the alternatives"},
        {"{\"not\":{}}", "1", "", "must not be of this kind"},
        {"false", "1", "", "is not allowed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *schema = read_json(rows[i].schema), *value = read_json(rows[i].value);
        struct json_schema *compiled;
        struct json_schema_problem problem;

        assert_int_equal(json_schema_compile(schema, true, &compiled, &problem), 0);
        assert_false(json_schema_fits(compiled, value, &problem));
        assert_string_equal(problem.pointer, rows[i].pointer);
        assert_string_equal(problem.message, rows[i].message);
        json_schema_free(&compiled);
        json_decref(schema);
        json_decref(value);
    }
}

static void wrong_schemas_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *schema, *pointer, *part;
    } rows[] = {
        {"3", "", "must be a schema"},
        {"{\"type\":[]}", "/type", "must be null, boolean"},
        {"{\"type\":[\"string\",\"x\"]}", "/type", "must be null, boolean"},
        {"{\"type\":[\"x\",\"string\"]}", "/type", "must be null, boolean"},
        {"{\"properties\":{\"a\":{\"minLength\":-1}}}", "/properties/a/minLength", "whole number"},
        {"{\"maxItems\":1.5}", "/maxItems", "whole number"},
        {"{\"maxItems\":1e300}", "/maxItems", "whole number"},
        {"{\"multipleOf\":0}", "/multipleOf", "greater than 0"},
        {"{\"anyOf\":[]}", "/anyOf", "at least one schema"},
        {"{\"anyOf\":[{},{\"items\":[]}]}", "/anyOf/1/items", "must be a schema"},
        {"{\"pattern\":\"(\"}", "/pattern", "missing closing parenthesis"},
        {"{\"patternProperties\":{\"[\":{}}}", "/patternProperties", "is no pattern"},
        {"{\"$ref\":\"#/$defs/none\"}", "/$ref", "nothing at '#/$defs/none'"},
        {"{\"$ref\":\"#/%zz\"}", "/$ref", "nothing at"},
        {"{\"$ref\":\"other.json\"}", "/$ref", "place of this schema"},
        {"{\"$defs\":{\"a\":{\"required\":[1]}}}", "/$defs/a/required", "array of names"},
        {"{\"contains\":{}}", "/contains", "'contains' of JSON Schema is not supported"},
        {"{\"enum\":{}}", "/enum", "must be an array"},
        {"{\"uniqueItems\":1}", "/uniqueItems", "true or false"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *schema = read_json(rows[i].schema);
        struct json_schema *compiled;
        struct json_schema_problem problem;

        assert_int_equal(json_schema_compile(schema, true, &compiled, &problem), AGW_EINVALID);
        assert_null(compiled);
        assert_string_equal(problem.pointer, rows[i].pointer);
        if (strstr(problem.message, rows[i].part) == NULL)
            fail_msg("%s: %s", rows[i].schema, problem.message);
        json_decref(schema);
    }
}

static void what_is_passed_over_is_remembered(void **state)
{
    json_t *schema = read_json("{\"contains\":{},\"items\":{\"dependentRequired\":{}},"
                               "\"not\":{\"contains\":1},\"x-own\":2,\"title\":3}");
    struct json_schema *compiled;
    struct json_schema_problem problem;

    (void)state;
    assert_int_equal(json_schema_compile(schema, false, &compiled, &problem), 0);
    assert_string_equal(json_schema_ignored(compiled), "contains, dependentRequired");
    json_schema_free(&compiled);
    json_decref(schema);
}

/* `levels` of {"items": ... }. */
static json_t *nested(int levels)
{
    json_t *schema = json_object();

    while (levels-- > 0)
        schema = json_pack("{s:o}", "items", schema);
    return schema;
}

static void schemas_have_bounds(void **state)
{
    struct json_schema *compiled;
    struct json_schema_problem problem;
    json_t *schema = nested(JSON_SCHEMA_DEPTH_MAX - 1), *many = json_object();

    (void)state;
    assert_int_equal(json_schema_compile(schema, true, &compiled, &problem), 0);
    json_schema_free(&compiled);
    json_decref(schema);
    schema = nested(JSON_SCHEMA_DEPTH_MAX);
    assert_int_equal(json_schema_compile(schema, true, &compiled, &problem), AGW_EINVALID);
    assert_non_null(strstr(problem.message, "too deeply"));
    json_decref(schema);
    for (int i = 0; i < JSON_SCHEMA_NODES_MAX; i++) {
        char name[24];

        snprintf(name, sizeof name, "p%d", i);
        json_object_set_new(many, name, json_object());
    }
    schema = json_pack("{s:o}", "properties", many);
    assert_int_equal(json_schema_compile(schema, true, &compiled, &problem), AGW_EINVALID);
    assert_non_null(strstr(problem.message, "subschemas"));
    json_decref(schema);
}

static void hostile_pairs_end_soon(void **state)
{
    static const struct {
        const char *schema, *value, *part;
    } rows[] = {
        {"{\"$ref\":\"#\"}", "1", "too deeply"},
        {"{\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/b\"},{\"$ref\":\"#/$defs/b\"}]},"
         "\"b\":{\"anyOf\":[{\"$ref\":\"#/$defs/a\"},{\"$ref\":\"#/$defs/a\"}]}},"
         "\"$ref\":\"#/$defs/a\"}", "1", "too deeply"},
        {"{\"pattern\":\"^(a+)+$\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"",
         "must match"},
        {"{\"oneOf\":[true,{\"$ref\":\"#\"}]}", "1", "too deeply"},
        {"{\"not\":{\"$ref\":\"#\"}}", "1", "too deeply"},
        {"{\"if\":{\"$ref\":\"#\"}}", "1", "too deeply"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *schema = read_json(rows[i].schema), *value = read_json(rows[i].value);
        struct json_schema *compiled;
        struct json_schema_problem problem;
        int64_t before = clock_mono_ms();

        assert_int_equal(json_schema_compile(schema, true, &compiled, &problem), 0);
        assert_false(json_schema_fits(compiled, value, &problem));
        if (strstr(problem.message, rows[i].part) == NULL)
            fail_msg("%s: %s", rows[i].schema, problem.message);
        assert_true(clock_mono_ms() - before < 5000);
        json_schema_free(&compiled);
        json_decref(schema);
        json_decref(value);
    }
}

static void comparing_everything_with_everything_ends(void **state)
{
    json_t *schema = read_json("{\"uniqueItems\":true}"), *value = json_array();
    struct json_schema *compiled;
    struct json_schema_problem problem;

    (void)state;
    for (int i = 0; i < 10000; i++)
        json_array_append_new(value, json_integer(i));
    assert_int_equal(json_schema_compile(schema, true, &compiled, &problem), 0);
    assert_false(json_schema_fits(compiled, value, &problem));
    assert_string_equal(problem.message, "takes too long to check");
    json_schema_free(&compiled);
    json_decref(schema);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_say_where_and_what),
        cmocka_unit_test(wrong_schemas_are_refused_with_their_place),
        cmocka_unit_test(what_is_passed_over_is_remembered),
        cmocka_unit_test(schemas_have_bounds),
        cmocka_unit_test(hostile_pairs_end_soon),
        cmocka_unit_test(comparing_everything_with_everything_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

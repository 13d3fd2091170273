/* SPDX-License-Identifier: MIT */
/* The OpenAPI document has every endpoint, with what is known of it, and nothing dangling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "api/openapi.h"
#include "api/routes.h"

static json_t *find(const json_t *document, const char *path, const char *method)
{
    return json_object_get(json_object_get(json_object_get(document, "paths"), path), method);
}

static void every_endpoint_is_described(void **state)
{
    json_t *document = openapi_document();
    size_t operations = 0, at;
    const char *path, *method;
    json_t *item, *operation;

    (void)state;
    assert_non_null(document);
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation)
    {
        assert_true(strlen(json_string_value(json_object_get(operation, "summary"))) > 5);
        operations++;
    }
    assert_int_equal(operations, routes_count);
    for (at = 0; at < routes_count; at++) {
        const struct route *r = &routes_table[at];

        operation = find(document, r->path, strcmp(r->method, "GET") == 0    ? "get"
                                            : strcmp(r->method, "POST") == 0 ? "post"
                                                                             : "delete");
        if (operation == NULL)
            fail_msg("%s %s is missing", r->method, r->path);
        assert_int_equal(json_array_size(json_object_get(operation, "security")) == 0,
                         r->auth == ROUTE_OPEN);
        assert_int_equal(json_object_get(operation, "requestBody") != NULL,
                         r->body != BODY_NONE);
        assert_int_equal(json_object_get(operation, "parameters") != NULL,
                         strchr(r->path, '{') != NULL);
    }
    json_decref(document);
}

static void bodies_are_those_that_are_checked(void **state)
{
    json_t *document = openapi_document();
    json_t *operation = find(document, "/security/keys", "post"), *schema, *id;

    (void)state;
    assert_string_equal(json_string_value(json_object_get(operation, "operationId")),
                        "post_security_keys");
    schema = json_object_get(
        json_object_get(json_object_get(json_object_get(operation, "requestBody"), "content"),
                        "application/json"), "schema");
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(schema, "required"),
                                                         0)), "id");
    id = json_object_get(json_object_get(schema, "properties"), "id");
    assert_string_equal(json_string_value(json_object_get(id, "type")), "string");
    assert_int_equal(json_integer_value(json_object_get(id, "maxLength")), 100);
    operation = find(document, "/security/keys/{id}/rotate", "post");
    assert_string_equal(json_string_value(json_object_get(operation, "operationId")),
                        "post_security_keys_id_rotate");
    assert_true(json_is_false(json_object_get(json_object_get(operation, "requestBody"),
                                              "required")));
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_endpoint_is_described),
        cmocka_unit_test(bodies_are_those_that_are_checked),
    };

    return cmocka_run_group_tests_name("api/openapi", tests, NULL, NULL);
}

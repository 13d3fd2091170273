/* SPDX-License-Identifier: MIT */
/* Describes the endpoints for programs. */
#include "api/openapi.h"

#include <ctype.h>
#include <string.h>

#include "api/chat_request.h"
#include "api/handlers.h"
#include "api/key_terms.h"
#include "api/override_terms.h"
#include "api/routes.h"

/* What the handlers check. Other bodies are objects of which nothing is said here. */
static const struct {
    const char *path;
    const struct field_set *fields;
} bodies[] = {
    {"/v1/chat/completions", &chat_request_fields},
    {"/security/preview", &security_preview_fields},
    {"/security/override", &override_terms_fields},
    {"/security/keys", &key_terms_fields},
    {"/security/keys/{id}/rotate", &keys_api_rotate_fields},
};

static const struct field_set *fields_of(const struct route *route)
{
    static const struct field_set any = {NULL, 0, false};

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        if (strcmp(bodies[i].path, route->path) == 0)
            return bodies[i].fields;
    return &any;
}

static void set_bounds(json_t *schema, const struct field *f, const char *least,
                       const char *most)
{
    if (f->min == 0 && f->max == 0)
        return;
    json_object_set_new(schema, least, json_integer(f->min));
    json_object_set_new(schema, most, json_integer(f->max));
}

static json_t *field_schema(const struct field *f)
{
    json_t *schema = json_object();
    const char *type = "";

    switch (f->type) {
    case FIELD_TEXT:
        type = "string";
        set_bounds(schema, f, "minLength", "maxLength");
        break;
    case FIELD_INTEGER:
    case FIELD_NUMBER:
        type = f->type == FIELD_INTEGER ? "integer" : "number";
        set_bounds(schema, f, "minimum", "maximum");
        break;
    case FIELD_BOOLEAN:
        type = "boolean";
        break;
    case FIELD_OBJECT:
        type = "object";
        break;
    case FIELD_ARRAY:
        type = "array";
        set_bounds(schema, f, "minItems", "maxItems");
        break;
    case FIELD_TEXT_OR_TEXTS:
        json_object_set_new(schema, "type", json_pack("[s,s]", "string", "array"));
        return schema;
    }
    json_object_set_new(schema, "type", json_string(type));
    return schema;
}

static json_t *body_schema(const struct field_set *set)
{
    json_t *properties = json_object(), *required = json_array();
    json_t *schema = json_pack("{s:s,s:b}", "type", "object", "additionalProperties",
                               !set->closed);

    for (size_t i = 0; i < set->count; i++) {
        const struct field *f = &set->fields[i];

        json_object_set_new(properties, f->name, field_schema(f));
        if (f->required)
            json_array_append_new(required, json_string(f->name));
    }
    json_object_set_new(schema, "properties", properties);
    json_object_set_new(schema, "required", required);
    return schema;
}

static json_t *request_body(const struct route *route)
{
    return json_pack("{s:b,s:{s:{s:o}}}", "required", route->body == BODY_REQUIRED, "content",
                     "application/json", "schema", body_schema(fields_of(route)));
}

static json_t *parameters(void)
{
    return json_pack("[{s:s,s:s,s:b,s:{s:s}}]", "name", "id", "in", "path", "required", true,
                     "schema", "type", "string");
}

/* Either way of sending the one credential. */
static json_t *security(const struct route *route)
{
    return route->auth == ROUTE_OPEN ? json_array()
                                     : json_pack("[{s:[]},{s:[]}]", "bearer", "header");
}

static json_t *role_names(unsigned roles)
{
    static const struct {
        unsigned role;
        const char *name;
    } names[] = {{ROLE_CLIENT, "client"}, {ROLE_AUDITOR, "auditor"}, {ROLE_ADMIN, "admin"}};
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (roles & names[i].role)
            json_array_append_new(list, json_string(names[i].name));
    return list;
}

/* "post_security_keys_id_rotate" */
static json_t *operation_id(const struct route *route)
{
    char name[128] = "";
    size_t n = 0;

    for (const char *c = route->method; *c != '\0' && n < sizeof name - 1; c++)
        name[n++] = (char)tolower((unsigned char)*c);
    for (const char *c = route->path; *c != '\0' && n < sizeof name - 1; c++)
        if (isalnum((unsigned char)*c))
            name[n++] = *c;
        else if (*c != '}' && name[n - 1] != '_')
            name[n++] = '_';
    return json_stringn(name, n);
}

static const char *text_of(const struct route *route)
{
    for (size_t i = 0; i < endpoint_text_count; i++)
        if (strcmp(endpoint_texts[i].method, route->method) == 0 &&
            strcmp(endpoint_texts[i].path, route->path) == 0)
            return endpoint_texts[i].text;
    return "";
}

static json_t *operation(const struct route *route)
{
    json_t *json = json_pack(
        "{s:o,s:s,s:o,s:o,s:{s:{s:s},s:{s:s}}}", "operationId", operation_id(route), "summary",
        text_of(route), "security", security(route), "x-roles", role_names(route->roles),
        "responses", "200", "description", text_of(route), "default", "$ref",
        "#/components/responses/Error");

    if (json != NULL && strchr(route->path, '{') != NULL)
        json_object_set_new(json, "parameters", parameters());
    if (json != NULL && route->body != BODY_NONE)
        json_object_set_new(json, "requestBody", request_body(route));
    return json;
}

static json_t *paths(void)
{
    json_t *all = json_object();

    for (size_t i = 0; i < routes_count; i++) {
        const struct route *route = &routes_table[i];
        json_t *path = json_object_get(all, route->path);
        char method[16] = "";

        if (path == NULL) {
            path = json_object();
            json_object_set_new(all, route->path, path);
        }
        for (size_t c = 0; route->method[c] != '\0' && c < sizeof method - 1; c++)
            method[c] = (char)tolower((unsigned char)route->method[c]);
        json_object_set_new(path, method, operation(route));
    }
    return all;
}

/* The error object of the OpenAI API, and the two ways to send a key. */
static json_t *components(void)
{
    json_t *error = json_pack(
        "{s:s,s:[s],s:{s:{s:s,s:[s,s,s,s],s:{s:{s:s},s:{s:s},s:{s:[s,s]},s:{s:[s,s]}}}}}",
        "type", "object", "required", "error", "properties", "error", "type", "object",
        "required", "message", "type", "param", "code", "properties", "message", "type",
        "string", "type", "type", "string", "param", "type", "string", "null", "code", "type",
        "string", "null");

    return json_pack(
        "{s:{s:{s:s,s:s},s:{s:s,s:s,s:s}},s:{s:{s:s,s:{s:{s:{s:s}}}}},s:{s:o}}",
        "securitySchemes", "bearer", "type", "http", "scheme", "bearer", "header", "type",
        "apiKey", "in", "header", "name", "x-api-key", "responses", "Error", "description",
        "Why the request was refused or failed.", "content", "application/json", "schema",
        "$ref", "#/components/schemas/Error", "schemas", "Error", error);
}

json_t *openapi_document(void)
{
    return json_pack("{s:s,s:{s:s,s:s,s:s},s:o,s:o}", "openapi", "3.1.0", "info", "title",
                     "Agent Gateway", "version", PACKAGE_VERSION, "description",
                     "Agents as models of the OpenAI API, with one policy and a durable audit "
                     "trail. `x-roles`: the key needs one of these.", "paths", paths(),
                     "components", components());
}

int openapi_get(struct exchange *x)
{
    x->answer.json = openapi_document();
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "openapi.json") : 0;
}

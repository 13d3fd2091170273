/* SPDX-License-Identifier: MIT */
/* Writes the headers of MCP's HTTP transport (revision 2026-07-28, "Streamable HTTP"). */
#include "tools/mcp_headers.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/secret.h"

#define KEYWORD "x-mcp-header"
#define ENCODED_BEGIN "=?base64?"
#define ENCODED_END "?="

enum { NAME_MAX_LENGTH = 200 };

/* Integers beyond are not the same number everywhere, and are not sent. */
static const json_int_t integer_max = 9007199254740991;

/* ---- lines ---- */

static void append(struct mcp_headers *headers, char *line)
{
    char **grown = NULL;

    if (line != NULL)
        grown = reallocarray(headers->lines, headers->count + 2, sizeof *grown);
    if (grown == NULL) {
        secret_free(&line);
        headers->failed = true;
        return;
    }
    headers->lines = grown;
    headers->lines[headers->count++] = line;
    headers->lines[headers->count] = NULL;
}

void mcp_headers_add(struct mcp_headers *headers, const char *name, const char *value)
{
    char *line;

    if (strpbrk(value, "\r\n") == NULL)
        append(headers, asprintf(&line, "%s: %s", name, value) < 0 ? NULL : line);
}

void mcp_headers_line(struct mcp_headers *headers, const char *line)
{
    append(headers, strdup(line));
}

/* An empty value is not plain either: libcurl takes "Name:" as a header to leave out. */
static bool is_plain(const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || value[0] == ' ' || value[length - 1] == ' ' ||
        strncmp(value, ENCODED_BEGIN, sizeof ENCODED_BEGIN - 1) == 0)
        return false;
    for (size_t i = 0; i < length; i++)
        if (value[i] < ' ' || value[i] > '~')
            return false;
    return true;
}

void mcp_headers_encode(struct mcp_headers *headers, const char *name, const char *value)
{
    size_t length = strlen(value), room = strlen(name) + 2 + sizeof ENCODED_BEGIN +
                                          (length + 2) / 3 * 4 + sizeof ENCODED_END;
    char *line, *end;

    if (is_plain(value)) {
        mcp_headers_add(headers, name, value);
        return;
    }
    line = malloc(room);
    if (line != NULL) {
        end = line + snprintf(line, room, "%s: " ENCODED_BEGIN, name);
        end += EVP_EncodeBlock((unsigned char *)end, (const unsigned char *)value, (int)length);
        memcpy(end, ENCODED_END, sizeof ENCODED_END);
    }
    append(headers, line);
}

void mcp_headers_free(struct mcp_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        secret_free(&headers->lines[i]);
    free(headers->lines);
    *headers = (struct mcp_headers){0};
}

/* ---- which arguments ---- */

struct scan {
    json_t *declared;
    json_t *path;    /* of the schema that is looked at */
    char *problem;
};

static bool refuse(struct scan *scan, const char *what)
{
    snprintf(scan->problem, MCP_HEADERS_PROBLEM, "its " KEYWORD " %s", what);
    return false;
}

/* RFC 9110, 5.6.2 */
static bool is_token(const char *text)
{
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    return *text != '\0' && text[strspn(text, allowed)] == '\0';
}

static bool is_taken(const struct scan *scan, const char *name)
{
    json_t *entry;
    size_t i;

    json_array_foreach(scan->declared, i, entry)
    {
        if (strcasecmp(json_string_value(json_object_get(entry, "header")), name) == 0)
            return true;
    }
    return false;
}

static bool declare(struct scan *scan, const json_t *schema, bool reachable)
{
    static const char *const types[] = {"string", "integer", "boolean"};
    const json_t *keyword = json_object_get(schema, KEYWORD);
    const char *name = json_string_value(keyword);
    const char *type = json_string_value(json_object_get(schema, "type"));
    bool primitive = false;

    if (keyword == NULL)
        return true;
    if (!reachable || json_array_size(scan->path) == 0)
        return refuse(scan, "stands where no argument is");
    if (name == NULL || !is_token(name) || strlen(name) > NAME_MAX_LENGTH)
        return refuse(scan, "is no name of a header");
    for (size_t i = 0; type != NULL && i < sizeof types / sizeof types[0]; i++)
        primitive = primitive || strcmp(type, types[i]) == 0;
    if (!primitive)
        return refuse(scan, "is at an argument that is not string, integer or boolean");
    if (is_taken(scan, name))
        return refuse(scan, "has one name twice");
    return json_array_append_new(scan->declared,
                                 json_pack("{s:s,s:o}", "header", name, "path",
                                           json_deep_copy(scan->path))) == 0;
}

static bool visit(struct scan *scan, const json_t *schema, bool reachable);

/* Schemas below that are not arguments by themselves: no header may come from there. The last
 * ones are maps of schemas, each schema is looked at once. */
static bool visit_others(struct scan *scan, const json_t *schema)
{
    static const char *const keywords[] = {
        "items", "prefixItems", "contains", "additionalProperties", "unevaluatedProperties",
        "unevaluatedItems", "propertyNames", "oneOf", "anyOf", "allOf", "not", "if", "then",
        "else", "patternProperties", "dependentSchemas", "$defs", "definitions"};
    const size_t all = sizeof keywords / sizeof keywords[0], maps = all - 4;

    for (size_t k = 0; k < all; k++) {
        json_t *below = json_object_get(schema, keywords[k]), *one;
        const char *name;
        size_t i;

        if (k < maps && !visit(scan, below, false))
            return false;
        json_array_foreach(below, i, one)
        {
            if (!visit(scan, one, false))
                return false;
        }
        json_object_foreach(k < maps ? NULL : below, name, one)
        {
            if (!visit(scan, one, false))
                return false;
        }
    }
    return true;
}

static bool visit(struct scan *scan, const json_t *schema, bool reachable)
{
    const char *name;
    json_t *property;
    bool good;

    if (!json_is_object(schema))
        return true;
    if (!declare(scan, schema, reachable))
        return false;
    json_object_foreach(json_object_get(schema, "properties"), name, property)
    {
        json_array_append_new(scan->path, json_string(name));
        good = visit(scan, property, reachable);
        json_array_remove(scan->path, json_array_size(scan->path) - 1);
        if (!good)
            return false;
    }
    return visit_others(scan, schema);
}

json_t *mcp_headers_declared(const json_t *schema, char problem[MCP_HEADERS_PROBLEM])
{
    struct scan scan = {json_array(), json_array(), problem};
    bool good;

    problem[0] = '\0';
    good = scan.declared != NULL && scan.path != NULL && visit(&scan, schema, true);
    json_decref(scan.path);
    if (good)
        return scan.declared;
    json_decref(scan.declared);
    return NULL;
}

/* ---- their values ---- */

void mcp_headers_params(struct mcp_headers *headers, const json_t *declared,
                        const json_t *arguments)
{
    json_t *entry, *step;
    size_t i, j;

    json_array_foreach(declared, i, entry)
    {
        const json_t *value = arguments;
        char name[256], number[32];

        json_array_foreach(json_object_get(entry, "path"), j, step)
        {
            value = json_object_get(value, json_string_value(step));
        }
        snprintf(name, sizeof name, "Mcp-Param-%s",
                 json_string_value(json_object_get(entry, "header")));
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        if (json_is_string(value))
            mcp_headers_encode(headers, name, json_string_value(value));
        else if (json_is_boolean(value))
            mcp_headers_add(headers, name, json_is_true(value) ? "true" : "false");
        else if (json_is_integer(value) && json_integer_value(value) <= integer_max &&
                 json_integer_value(value) >= -integer_max)
            mcp_headers_add(headers, name, number);
    }
}

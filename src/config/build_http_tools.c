/* SPDX-License-Identifier: MIT */
/* Endpoints of tools.yaml: methods, and where templates may stand. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "config/build.h"
#include "util/template.h"

enum { URL_MAX = 2000 };

/* As of any URL, but for the templates, which may stand behind the host. */
const char *tools_check_url(const char *text)
{
    char plain[URL_MAX + 1];
    const char *at = text, *host = strstr(text, "://");
    struct template_piece piece;
    size_t used = 0;

    if (host != NULL)
        host += 3 + strcspn(host + 3, "/?#");
    while (template_next(&at, NULL, &piece) && used + piece.length < sizeof plain) {
        if (piece.is_name && (host == NULL || piece.text < host))
            return "must not have a template before its path";
        memcpy(plain + used, piece.text, piece.length);
        used += piece.length;
    }
    plain[used] = '\0';
    return upstreams_check_url(plain);
}

static bool has_templates(const char *text)
{
    struct template_piece piece;

    while (template_next(&text, NULL, &piece))
        if (piece.is_name)
            return true;
    return false;
}

static bool is_required(const json_t *schema, const char *name)
{
    const json_t *list = json_object_get(schema, "required");
    size_t i;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
        if (json_is_string(entry) && strcmp(json_string_value(entry), name) == 0)
            return true;
    return false;
}

static const char *template_problem(const json_t *schema, const char *name, bool required)
{
    static const char *const scalars[] = {"string", "integer", "number", "boolean"};
    const json_t *property = json_object_get(json_object_get(schema, "properties"), name);
    const char *type = json_string_value(json_object_get(property, "type"));

    if (property == NULL)
        return "is no property of 'schema'";
    if (required && !is_required(schema, name))
        return "must be required by 'schema'";
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        if (type != NULL && strcmp(type, scalars[i]) == 0)
            return NULL;
    return "must have the type string, integer, number or boolean in 'schema'";
}

static void check_templates(struct build *b, const struct tree_node *node, const char *text,
                            const json_t *schema, bool required)
{
    struct template_piece piece;

    while (template_next(&text, NULL, &piece)) {
        char name[64];
        const char *problem;

        if (!piece.is_name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(piece.length < 64 ? piece.length : 63),
                 piece.text);
        problem = piece.length < sizeof name ? template_problem(schema, name, required)
                                             : "is too long a name";
        if (problem != NULL)
            build_error(b, node, "'{%s}' %s", name, problem);
    }
}

static void check_method(struct build *b, const struct tree_node *node,
                         const struct config_tool *tool)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(tool->method, methods[i]) == 0)
            return;
    build_error(b, tree_get(node, "method"),
                "'method' must be one of: GET, POST, PUT, PATCH, DELETE");
}

void tools_check_http(struct build *b, const struct tree_node *node,
                      const struct config_tool *tool)
{
    const struct tree_node *headers = tree_get(node, "headers");

    if (tool->provider != TOOL_HTTP) {
        if (tool->url != NULL && has_templates(tool->url))
            build_error(b, tree_get(node, "url"),
                        "'url' of this provider must not have templates");
        return;
    }
    check_method(b, node, tool);
    if (tool->url != NULL)
        check_templates(b, tree_get(node, "url"), tool->url, tool->schema, true);
    for (size_t i = 0; i < tool->header_count; i++)
        if (!tool->headers[i].expanded)
            check_templates(b, tree_get(headers, tool->headers[i].name),
                            tool->headers[i].value, tool->schema, false);
}

/* SPDX-License-Identifier: MIT */
/* Says which endpoint takes a request, and who may use it. */
#include "api/routes.h"

#include <stdio.h>
#include <string.h>

#include "api/handlers.h"

#define AUDITORS (ROLE_ADMIN | ROLE_AUDITOR)

/* clang-format off */
const struct route routes_table[] = {
    /* method    path                        auth           roles        kind        limit  body   target, handle */
    {"GET",    "/health",                    ROUTE_OPEN,    0,           "",         false, false, NULL, health_alive},
    {"GET",    "/ready",                     ROUTE_OPEN,    0,           "",         false, false, NULL, health_ready},
    {"GET",    "/openapi.json",              ROUTE_OPEN,    0,           "",         false, false, NULL, openapi_get},
    {"GET",    "/v1/models",                 ROUTE_KEY,     ROLE_CLIENT, "access",   true,  false, NULL, models_list},
    {"GET",    "/v1/models/{id}",            ROUTE_KEY,     ROLE_CLIENT, "access",   true,  false, NULL, models_get},
    {"POST",   "/v1/chat/completions",       ROUTE_KEY,     ROLE_CLIENT, "decision", true,  true,  chat_target, chat_complete},
    {"POST",   "/security/preview",          ROUTE_KEY,     AUDITORS,    "preview",  false, true,  security_preview_target, security_preview},
    {"POST",   "/security/override",         ROUTE_KEY,     ROLE_ADMIN,  "access",   false, true,  NULL, overrides_api_create},
    {"GET",    "/security/overrides",        ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, overrides_api_list},
    {"DELETE", "/security/overrides/{id}",   ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, overrides_api_revoke},
    {"POST",   "/security/refresh",          ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, security_refresh},
    {"GET",    "/security/keys",             ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, keys_api_list},
    {"POST",   "/security/keys",             ROUTE_KEY,     ROLE_ADMIN,  "access",   false, true,  NULL, keys_api_create},
    {"POST",   "/security/keys/{id}/rotate", ROUTE_KEY,     ROLE_ADMIN,  "access",   false, BODY_OPTIONAL, NULL, keys_api_rotate},
    {"DELETE", "/security/keys/{id}",        ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, keys_api_revoke},
    {"GET",    "/security/audit",            ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, audit_api_query},
    {"GET",    "/security/audit/verify",     ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, audit_api_verify},
    {"GET",    "/agents",                    ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, admin_agents},
    {"GET",    "/admin/agents",              ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, admin_agents},
    {"POST",   "/agents/refresh",            ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, admin_agents_refresh},
    {"POST",   "/admin/agents/refresh",      ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, admin_agents_refresh},
    {"GET",    "/upstreams",                 ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, admin_upstreams},
    {"GET",    "/admin/upstreams",           ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, admin_upstreams},
    {"POST",   "/upstreams/refresh",         ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, admin_upstreams_refresh},
    {"POST",   "/admin/upstreams/refresh",   ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, admin_upstreams_refresh},
    {"GET",    "/tools",                     ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, admin_tools},
    {"GET",    "/admin/tools",               ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, admin_tools},
    {"POST",   "/tools/refresh",             ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, admin_tools_refresh},
    {"POST",   "/admin/tools/refresh",       ROUTE_KEY,     ROLE_ADMIN,  "access",   false, false, NULL, admin_tools_refresh},
    {"GET",    "/agents/errors",             ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, admin_errors},
    {"GET",    "/admin/agents/errors",       ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, admin_errors},
    {"GET",    "/metrics",                   ROUTE_METRICS, AUDITORS,    "access",   false, false, NULL, metrics_api_text},
    {"GET",    "/metrics/prometheus",        ROUTE_METRICS, AUDITORS,    "access",   false, false, NULL, metrics_api_text},
    {"GET",    "/admin/metrics",             ROUTE_KEY,     AUDITORS,    "access",   false, false, NULL, metrics_api_json},
};
/* clang-format on */
const size_t routes_count = sizeof routes_table / sizeof routes_table[0];

static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"};
enum { GET, HEAD, POST, DELETE, OPTIONS, METHODS };

static unsigned bit_of(const char *method)
{
    for (unsigned i = 0; i < METHODS; i++)
        if (strcmp(methods[i], method) == 0)
            return 1u << i;
    return 0;
}

/* Where the `{id}` begins in `path`, with its length, 0 when the route has none; NULL when it
 * is another path. The ids of models have a slash; all others are one segment. */
static const char *match(const struct route *route, const char *path, size_t *length)
{
    size_t fixed = strcspn(route->path, "{"), whole = strlen(path), behind;
    const char *end = route->path + fixed + strlen("{id}");

    *length = 0;
    if (route->path[fixed] == '\0')
        return strcmp(route->path, path) == 0 ? path + whole : NULL;
    behind = strlen(end);
    if (strncmp(route->path, path, fixed) != 0 || whole <= fixed + behind ||
        strcmp(path + whole - behind, end) != 0)
        return NULL;
    *length = whole - fixed - behind;
    if (strncmp(path, "/v1/", 4) != 0 && memchr(path + fixed, '/', *length) != NULL)
        return NULL;
    return path + fixed;
}

int routes_find(const char *method, const char *path, const struct route **route,
                struct route_id *id, unsigned *allow)
{
    /* HEAD is GET without a body. */
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    *route = NULL;
    *id = (struct route_id){NULL, 0};
    *allow = 0;
    for (size_t i = 0; i < routes_count; i++) {
        size_t length;
        const char *start = match(&routes_table[i], path, &length);

        if (start == NULL)
            continue;
        *allow |= bit_of(routes_table[i].method);
        if (*route != NULL || strcmp(routes_table[i].method, wanted) != 0)
            continue;
        *route = &routes_table[i];
        if (length > 0)
            *id = (struct route_id){start, length};
    }
    if (*allow & 1u << GET)
        *allow |= 1u << HEAD;
    if (*allow != 0)
        *allow |= 1u << OPTIONS;
    return *route != NULL ? 0 : *allow != 0 ? AGW_EMETHOD : AGW_ENOROUTE;
}

const char *routes_allow_text(unsigned allow, char text[64])
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < METHODS; i++)
        if (allow & 1u << i)
            used += (size_t)snprintf(text + used, 64 - used, "%s%s", used > 0 ? ", " : "",
                                     methods[i]);
    return text;
}

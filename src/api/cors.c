/* SPDX-License-Identifier: MIT */
/* Tells browsers which pages may read our answers. */
#include "api/cors.h"

#include <string.h>

#include "api/routes.h"

static bool is_listed(const struct exchange *x)
{
    const struct config_gateway *gateway;

    if (x->request.origin == NULL || x->policy == NULL)
        return false;
    gateway = &x->policy->config->gateway;
    for (size_t i = 0; i < gateway->cors_origin_count; i++)
        if (strcmp(gateway->cors_origins[i], x->request.origin) == 0)
            return true;
    return false;
}

void cors_headers(struct exchange *x)
{
    if (x->policy != NULL && x->policy->config->gateway.cors_origin_count > 0)
        response_header(&x->response, "vary", "Origin");
    if (!is_listed(x))
        return;
    response_header(&x->response, "access-control-allow-origin", "%s", x->request.origin);
    response_header(&x->response, "access-control-expose-headers",
                    "x-request-id, retry-after, x-ratelimit-limit-requests, "
                    "x-ratelimit-remaining-requests, x-ratelimit-reset-requests");
}

int cors_preflight(struct exchange *x, unsigned allow)
{
    char methods[64];

    routes_allow_text(allow, methods);
    response_header(&x->response, "allow", "%s", methods);
    if (is_listed(x) && x->request.access_request_method != NULL) {
        response_header(&x->response, "access-control-allow-methods", "%s", methods);
        /* Reflected, since client libraries keep adding headers of their own. */
        if (x->request.access_request_headers != NULL)
            response_header(&x->response, "access-control-allow-headers", "%s",
                            x->request.access_request_headers);
        response_header(&x->response, "access-control-max-age", "600");
    }
    return response_empty(&x->response, 204);
}

/* SPDX-License-Identifier: MIT */
/* Cross-origin rules (Fetch standard): only origins that the configuration lists. */
#ifndef AGW_API_CORS_H
#define AGW_API_CORS_H

#include "api/context.h"

/* Adds the response headers when the request's Origin is listed; otherwise nothing. */
void cors_headers(struct exchange *x);

/* Answers an OPTIONS request; `allow` as from routes_find(). */
int cors_preflight(struct exchange *x, unsigned allow);

#endif

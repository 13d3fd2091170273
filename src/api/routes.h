/* SPDX-License-Identifier: MIT */
/* The table of endpoints: method, path, who may use it, what answers. */
#ifndef AGW_API_ROUTES_H
#define AGW_API_ROUTES_H

#include <stddef.h>

#include "api/context.h"

enum route_auth {
    ROUTE_OPEN,    /* no key, no audit */
    ROUTE_KEY,     /* a key with one of `roles` */
    ROUTE_METRICS  /* as ROUTE_KEY, or as ROUTE_OPEN when metrics.open is set */
};

enum route_body {
    BODY_NONE,     /* or false */
    BODY_REQUIRED, /* or true */
    BODY_OPTIONAL  /* none stands for {} */
};

struct route {
    const char *method, *path; /* "{id}" is one segment; of a model, any number */
    enum route_auth auth;
    unsigned roles;            /* mask of enum config_role */
    const char *kind;          /* of its audit row: "decision" "preview" "access" */
    bool limited;              /* counts against the key's rate limit */
    enum route_body body;      /* a JSON object, parsed before `target` */
    /* Finds and decides what the request is about; NULL = nothing to decide. */
    int (*target)(struct exchange *x);
    /* Fills x->answer, or writes the response itself and sets x->answered. Both callbacks:
     * 0, or AGW_E* to refuse with. */
    int (*handle)(struct exchange *x);
};

extern const struct route routes_table[];
extern const size_t routes_count;

/* The `{id}` of a path: within it, not terminated; start NULL = there is none. */
struct route_id {
    const char *start;
    size_t length;
};

/* The route of a method and path, and its id. 0; AGW_ENOROUTE; AGW_EMETHOD.
 * *allow receives the mask of methods in ROUTES_METHODS order that the path takes. */
int routes_find(const char *method, const char *path, const struct route **route,
                struct route_id *id, unsigned *allow);

/* "GET, POST" for such a mask; `text` has room for all. */
const char *routes_allow_text(unsigned allow, char text[64]);

#endif

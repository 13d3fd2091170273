/* SPDX-License-Identifier: MIT */
/* The table of endpoints: method, path, who may use it, what answers. */
#ifndef AGW_API_ROUTES_H
#define AGW_API_ROUTES_H

#include <stddef.h>

#include "api/context.h"

enum route_auth {
    ROUTE_OPEN,    /* no key */
    ROUTE_KEY,     /* a key with one of `roles` */
    ROUTE_METRICS  /* a key with one of `roles`, or nobody when metrics.open is set */
};

struct route {
    const char *method, *path; /* "{id}" at the end takes the rest of the path */
    enum route_auth auth;
    unsigned roles;            /* mask of enum config_role */
    bool has_body;
    /* Answers. 0, or AGW_E* for steps.c to refuse with. */
    int (*handle)(struct exchange *x);
};

extern const struct route routes_table[];
extern const size_t routes_count;

/* 0; AGW_ENOROUTE; AGW_EMETHOD with *allow (static or in the arena) for the Allow header. */
int routes_find(struct exchange *x, const struct route **route, const char **allow);

#endif

/* SPDX-License-Identifier: MIT */
/* The way of a request, from its first byte to its one outcome. */
#ifndef AGW_API_STEPS_H
#define AGW_API_STEPS_H

#include "api/context.h"

/* Walks one request; never fails: whatever happens is answered, recorded and counted. */
void steps_walk(struct api *api, struct fcgi *x);

/* The waiter refused a connection: counts and records `overloaded`. */
void steps_overloaded(struct api *api);

#endif

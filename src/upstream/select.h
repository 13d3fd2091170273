/* SPDX-License-Identifier: MIT */
/* Which upstreams may serve a call, in the order in which they are tried. */
#ifndef AGW_UPSTREAM_SELECT_H
#define AGW_UPSTREAM_SELECT_H

#include "upstream/entry.h"
#include "upstream/upstreams.h"

/* The preferred upstream (NULL = none; it is taken whatever its `models`), then those that
 * serve `model` by priority, in one priority drawn by weight; those that a health check found
 * down come last, in the same order. References in a malloc'ed array, to be given to
 * select_free(); NULL when memory is out. */
struct upstream_entry **select_candidates(struct upstreams *upstreams, const char *preferred,
                                          const char *model, size_t *count);
void select_free(struct upstream_entry **candidates, size_t count);

#endif

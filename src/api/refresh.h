/* SPDX-License-Identifier: MIT */
/* Reloads one component of the configuration on request. */
#ifndef AGW_API_REFRESH_H
#define AGW_API_REFRESH_H

#include "api/context.h"

/* Reads the component's file anew. Accepted: x->policy is the new policy and 0 is returned
 * with no answer set. Refused: status 422 and an answer that lists every error with file,
 * line and column. AGW_E* for anything else. */
int refresh_component(struct exchange *x, enum config_component component);

#endif

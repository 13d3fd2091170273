/* SPDX-License-Identifier: MIT */
/* Adds up what the calls of one request to its upstream used. */
#ifndef AGW_AGENT_HOP_USAGE_H
#define AGW_AGENT_HOP_USAGE_H

#include "upstream/chat_call.h"

/* Adds one call to the total, which begins with no tokens reported (-1). Who answered last
 * stays. */
void hop_usage_add(struct chat_usage *total, const struct chat_usage *hop);

/* Adds an upstream's `usage` object, with its details, to *sum (NULL = nothing yet). What is
 * no object changes nothing. 0 or AGW_ENOMEM. */
int hop_usage_merge(json_t **sum, const json_t *reported);

#endif

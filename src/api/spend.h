/* SPDX-License-Identifier: MIT */
/* What a request takes on its way: a use of the grant that lets it in, a request of its key's
 * day, tokens. A request that does not come to run gives back what it took. */
#ifndef AGW_API_SPEND_H
#define AGW_API_SPEND_H

#include "api/context.h"

/* For a request that was allowed and is about to run: takes it from its key's budget, and a
 * use of the grant that allows it. AGW_EQUOTA when the budget is used up. When no use is left
 * it is decided anew as if the grant were not there: AGW_EDENIED. */
int spend(struct exchange *x);

/* Gives back what was taken, unless the request is recorded. */
void spend_return(struct exchange *x);

/* Adds the tokens that are known by now to the key's day, each once. Returns the time that
 * the end row must have, so that the trail has them in the same day. */
int64_t spend_tokens(struct exchange *x);

#endif

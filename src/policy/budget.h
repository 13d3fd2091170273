/* SPDX-License-Identifier: MIT */
/* What a key may use up in a UTC day, and a grant before it ends: exact in all processes of
 * the host. Only what runs is counted, whatever becomes of it. Tokens are known afterwards:
 * while fewer than the budget are used up a request is let run, so those in progress may go
 * past it. Any thread.
 */
#ifndef AGW_POLICY_BUDGET_H
#define AGW_POLICY_BUDGET_H

#include "config/config.h"
#include "policy/tally.h"
#include "store/overrides.h"

/* The key's own, and the default's where it has none; 0 = unlimited. */
struct config_budget budget_of_key(const struct config_security *security,
                                   const struct config_key *key);

enum budget_verdict { BUDGET_ALLOWS, BUDGET_REQUESTS, BUDGET_TOKENS };

/* Takes a request at `now` (of store_now()) if the budget has one; the verdict says of what
 * there is none left. TALLY_LATER: the day is over, read the clock again. AGW_ESTORE. */
int budget_take(struct tally *tally, const char *key_id, const struct config_budget *budget,
                int64_t now, enum budget_verdict *verdict, struct err *e);
/* One that was taken at `now` does not run after all. */
void budget_give_back(struct tally *tally, const char *key_id, int64_t now);
/* Tokens of a request that ends at `now`. */
int budget_add_tokens(struct tally *tally, const char *key_id,
                      const struct config_budget *budget, int64_t now, int64_t tokens,
                      struct err *e);

/* Takes one use of a grant that has max_uses; *taken false = none is left. */
int budget_take_use(struct tally *tally, const struct override *o, bool *taken, struct err *e);
void budget_give_back_use(struct tally *tally, const struct override *o);
/* Uses taken so far; -1 = unknown, or not counted. */
int64_t budget_uses(const struct tally *tally, const struct override *o);

/* Lets decide_agent() see which grants of the list are spent. The tally must outlive it. */
int budget_watch(struct tally *tally, struct override_list *list, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/* Says how much of a budget, or of a grant, is left, and takes from it. */
#include "policy/budget.h"

#include "store/usage.h"

struct config_budget budget_of_key(const struct config_security *security,
                                   const struct config_key *key)
{
    struct config_budget budget = key->budget;

    if (budget.requests_per_day < 0)
        budget.requests_per_day = security->budget.requests_per_day;
    if (budget.tokens_per_day < 0)
        budget.tokens_per_day = security->budget.tokens_per_day;
    return budget;
}

static struct tally_name of_day(enum tally_kind kind, const char *key_id, int64_t now)
{
    return (struct tally_name){kind, key_id, now / USAGE_DAY_MS};
}

/* It is needed until it expires, so that is its period. */
static struct tally_name of_override(const struct override *o)
{
    return (struct tally_name){TALLY_USES, o->id, o->expires_at / USAGE_DAY_MS};
}

int budget_take(struct tally *tally, const char *key_id, const struct config_budget *budget,
                int64_t now, enum budget_verdict *verdict, struct err *e)
{
    struct tally_name requests = of_day(TALLY_REQUESTS, key_id, now);
    struct tally_name tokens = of_day(TALLY_TOKENS, key_id, now);
    int64_t used;
    bool taken;
    int status;

    *verdict = BUDGET_ALLOWS;
    if (budget->tokens_per_day > 0) {
        status = tally_read(tally, &tokens, &used, e);
        if (status != 0)
            return status;
        if (used >= budget->tokens_per_day) {
            *verdict = BUDGET_TOKENS;
            return 0;
        }
    }
    if (budget->requests_per_day <= 0) {
        tally_note(tally, &requests, 1);
        return 0;
    }
    status = tally_take(tally, &requests, budget->requests_per_day, &taken, e);
    if (status == 0 && !taken)
        *verdict = BUDGET_REQUESTS;
    return status;
}

void budget_give_back(struct tally *tally, const char *key_id, int64_t now)
{
    struct tally_name requests = of_day(TALLY_REQUESTS, key_id, now);

    tally_note(tally, &requests, -1);
}

int budget_add_tokens(struct tally *tally, const char *key_id,
                      const struct config_budget *budget, int64_t now, int64_t tokens,
                      struct err *e)
{
    struct tally_name name = of_day(TALLY_TOKENS, key_id, now);

    if (budget->tokens_per_day > 0)
        return tally_add(tally, &name, tokens, e);
    tally_note(tally, &name, tokens);
    return 0;
}

int budget_take_use(struct tally *tally, const struct override *o, bool *taken, struct err *e)
{
    struct tally_name name = of_override(o);
    int status = tally_take(tally, &name, o->max_uses, taken, e);

    return status == TALLY_LATER ? 0 : status;
}

void budget_give_back_use(struct tally *tally, const struct override *o)
{
    struct tally_name name = of_override(o);

    tally_note(tally, &name, -1);
}

int64_t budget_uses(const struct tally *tally, const struct override *o)
{
    struct tally_name name = of_override(o);

    return o->max_uses == 0 ? -1 : tally_peek(tally, &name);
}

static bool is_spent(const void *arg, const struct override *o)
{
    return budget_uses(arg, o) >= o->max_uses;
}

int budget_watch(struct tally *tally, struct override_list *list, struct err *e)
{
    int status = 0;

    for (size_t i = 0; i < list->count && status >= 0; i++) {
        struct tally_name name = of_override(&list->items[i]);
        int64_t uses;

        if (list->items[i].max_uses > 0 && list->items[i].used_up_at == 0)
            status = tally_read(tally, &name, &uses, e);
    }
    list->is_spent = is_spent;
    list->is_spent_arg = tally;
    return status < 0 ? status : 0;
}

/* SPDX-License-Identifier: MIT */
/* Takes from budgets and grants what one request uses. */
#include "api/spend.h"

#include "policy/budget.h"
#include "util/clock.h"
#include "util/log.h"

static const int64_t day_ms = 86400000;

static struct config_budget budget_of(const struct exchange *x)
{
    return budget_of_key(&x->policy->config->security, x->key);
}

static int refuse(struct exchange *x, const struct config_budget *budget,
                  enum budget_verdict verdict)
{
    char renewed[CLOCK_TEXT_SIZE];
    bool of_tokens = verdict == BUDGET_TOKENS;

    clock_format((x->decided_at / day_ms + 1) * day_ms, renewed);
    return err_set_public(&x->err, AGW_EQUOTA, NULL,
                          "The budget of this API key is used up: %lld %s per day. The day ends"
                          " at %s.",
                          (long long)(of_tokens ? budget->tokens_per_day
                                                : budget->requests_per_day),
                          of_tokens ? "tokens" : "requests", renewed);
}

/* The moment of the decision names the day, here and in the trail. */
static int take_request(struct exchange *x)
{
    struct config_budget budget = budget_of(x);
    enum budget_verdict verdict;
    int status;

    while ((status = budget_take(x->api->tally, x->key->id, &budget, x->decided_at, &verdict,
                                 &x->err)) == TALLY_LATER)
        x->decided_at = store_now(x->api->store);
    if (status != 0)
        return status;
    if (verdict != BUDGET_ALLOWS)
        return refuse(x, &budget, verdict);
    if (budget.requests_per_day > 0)
        x->budgeted_at = x->decided_at;
    return 0;
}

static int take_use(struct exchange *x)
{
    while (x->decision.override != NULL && x->decision.override->max_uses > 0) {
        bool taken;
        int status = budget_take_use(x->api->tally, x->decision.override, &taken, &x->err);

        if (status != 0)
            return status;
        if (taken) {
            x->used = x->decision.override;
            return 0;
        }
        context_decide(x, x->key);
    }
    return x->decision.allowed ? 0 : context_denied(x);
}

int spend(struct exchange *x)
{
    int status = take_request(x);

    return status == 0 ? take_use(x) : status;
}

void spend_return(struct exchange *x)
{
    if (x->recorded)
        return;
    if (x->used != NULL)
        budget_give_back_use(x->api->tally, x->used);
    if (x->budgeted_at != 0)
        budget_give_back(x->api->tally, x->key->id, x->budgeted_at);
    x->used = NULL;
    x->budgeted_at = 0;
}

static int64_t or_zero(int64_t number)
{
    return number < 0 ? 0 : number;
}

int64_t spend_tokens(struct exchange *x)
{
    int64_t tokens = or_zero(x->usage.prompt_tokens) + or_zero(x->usage.completion_tokens);
    int64_t now = x->ended_at != 0 ? x->ended_at : store_now(x->api->store);
    struct config_budget budget;
    struct err problem;

    if (tokens == x->tokens_added || x->key == NULL)
        return now;
    budget = budget_of(x);
    if (budget_add_tokens(x->api->tally, x->key->id, &budget, now, tokens - x->tokens_added,
                          &problem) != 0)
        log_message(LOG_ERROR, "store.failed", "tokens of %s: %s", x->request.id,
                    problem.message);
    x->tokens_added = tokens;
    x->ended_at = now;
    return now;
}

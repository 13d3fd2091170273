/* SPDX-License-Identifier: MIT */
/* Asks a proposed policy about the sums of a replay. */
#include <stdlib.h>
#include <string.h>

#include "api/decision_json.h"
#include "ctl/replay.h"
#include "policy/explain.h"

static bool flips(const struct replay_sum *sum)
{
    return (sum->verdict.status == 0) != (strcmp(sum->decision, "allow") == 0);
}

static int ask(struct replay *r, struct replay_sum *sum, struct err *e)
{
    const struct replay_pair *pair = sum->pair;
    json_t *detail = sum->detail == NULL ? NULL : json_loads(sum->detail, 0, NULL), *rule;
    struct moment moment = {.at = sum->first, .seq = sum->seq,
                            .used_up = json_object_get(detail, "used_up")};
    const struct policy *policy;
    struct explanation x;
    bool failed = false;
    int status = history_at(replay_history(r), &moment, &policy, e);

    json_decref(detail);
    if (status != 0)
        return status;
    explain_request(policy, pair->key_id, pair->agent, pair->ns, true, sum->first, &x);
    sum->verdict.status = x.status;
    if (!flips(sum) || (x.status != 0 && x.status != AGW_EDENIED))
        return 0;
    rule = decision_json_rule(&x.decision);
    sum->verdict.source = decision_source_name(x.decision.source);
    sum->verdict.pattern = replay_copy(r, x.decision.pattern, &failed);
    sum->verdict.rule = replay_copy(r, json_string_value(rule), &failed);
    json_decref(rule);
    return failed ? err_set(e, AGW_ENOMEM, "replay") : 0;
}

static int by_first(const void *a, const void *b)
{
    int64_t left = (*(struct replay_sum *const *)a)->first;
    int64_t right = (*(struct replay_sum *const *)b)->first;

    return left < right ? -1 : left > right;
}

/* In the order of time: the history then goes through its changes once. */
static int ask_all(struct replay *r, struct err *e)
{
    struct replay_sum **sums = malloc((replay_sums(r) + 1) * sizeof *sums);
    size_t count = 0;
    int status = 0;

    if (sums == NULL)
        return err_set(e, AGW_ENOMEM, "replay");
    for (struct replay_sum *s = NULL; (s = replay_next(r, s)) != NULL;)
        sums[count++] = s;
    qsort(sums, count, sizeof *sums, by_first);
    for (size_t i = 0; i < count && status == 0; i++)
        status = ask(r, sums[i], e);
    free(sums);
    return status;
}

static bool same_flip(const struct replay_sum *a, const struct replay_sum *b)
{
    return a->verdict.status == b->verdict.status &&
           replay_same_text(a->verdict.source, b->verdict.source) &&
           replay_same_text(a->verdict.pattern, b->verdict.pattern) &&
           replay_same_text(a->verdict.rule, b->verdict.rule) && replay_same_text(a->decision, b->decision) &&
           replay_same_text(a->source, b->source) && replay_same_text(a->pattern, b->pattern) &&
           replay_same_text(a->place, b->place);
}

/* Adds it to the same flip of another sum, one of those from `from` on, or as a new one.
 * `flips` has the room. */
static void add_flip(struct replay_flips *found, size_t from, const struct replay_sum *sum)
{
    struct replay_flip *f = &found->items[from];

    while (f < &found->items[found->count] && !same_flip(f->sum, sum))
        f++;
    if (f == &found->items[found->count]) {
        found->count++;
        *f = (struct replay_flip){.sum = sum, .first = sum->first, .last = sum->last};
    }
    f->count += sum->count;
    f->first = sum->first < f->first ? sum->first : f->first;
    f->last = sum->last > f->last ? sum->last : f->last;
}

static int compare_flips(const void *a, const void *b)
{
    const struct replay_flip *x = a, *y = b;
    int by_key;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    by_key = strcmp(x->sum->pair->key_id, y->sum->pair->key_id);
    return by_key != 0 ? by_key : strcmp(x->sum->pair->agent, y->sum->pair->agent);
}

int replay_flips(struct replay *r, struct replay_flips *found, struct err *e)
{
    const struct replay_sum *last = NULL;
    size_t from = 0;
    int status = ask_all(r, e);

    *found = (struct replay_flips){0};
    if (status != 0)
        return status;
    found->items = malloc((replay_sums(r) + 1) * sizeof *found->items);
    if (found->items == NULL)
        return err_set(e, AGW_ENOMEM, "replay");
    for (const struct replay_sum *s = NULL; (s = replay_next(r, s)) != NULL; last = s) {
        if (last == NULL || last->pair != s->pair)
            from = found->count;
        if (flips(s))
            add_flip(found, from, s);
    }
    qsort(found->items, found->count, sizeof *found->items, compare_flips);
    return 0;
}

void replay_flips_free(struct replay_flips *found)
{
    free(found->items);
    *found = (struct replay_flips){0};
}

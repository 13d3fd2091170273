/* SPDX-License-Identifier: MIT */
/* Sums the decisions on record. */
#include "ctl/replay.h"

#include <stdlib.h>
#include <string.h>

#include "util/arena.h"
#include "util/glob.h"

enum { SLOTS_FIRST = 1024, ARENA_MAX = 1 << 30, ALONE_MAX = 100000 };

/* Between two moments at which any override begins or ends, with those that are active. */
struct epoch {
    bool known;
    size_t count;
    struct override *overrides; /* the texts are the history's */
};

struct replay {
    struct history *history;
    size_t moment_count;
    int64_t *moments;            /* at which overrides begin and end, sorted */
    struct epoch *epochs;        /* one more than moments; learnt when a row falls into them */
    struct arena *arena;         /* pairs, sums and their texts */
    struct replay_pair **slots;  /* hash table by key and agent */
    struct replay_sum **sum_slots; /* hash table by pair and what is summed */
    size_t mask, count, sum_mask, sums, alone;
    int64_t requests;
};

static int by_time(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return left < right ? -1 : left > right;
}

static int list_epochs(struct replay *r)
{
    const struct override_list *all = history_overrides(r->history);

    r->moments = calloc(5 * all->count + 1, sizeof *r->moments);
    r->epochs = calloc(5 * all->count + 1, sizeof *r->epochs);
    if (r->moments == NULL || r->epochs == NULL)
        return AGW_ENOMEM;
    for (size_t i = 0; i < all->count; i++) {
        const struct override *o = &all->items[i];
        const int64_t moments[] = {o->created_at, o->expires_at, o->revoked_at, o->expired_at,
                                   o->used_up_at};

        for (size_t m = 0; m < 5; m++)
            if (moments[m] != 0)
                r->moments[r->moment_count++] = moments[m];
    }
    qsort(r->moments, r->moment_count, sizeof *r->moments, by_time);
    return 0;
}

static int learn_epoch(struct replay *r, struct epoch *epoch, int64_t at)
{
    const struct override_list *active;
    struct err e;

    if (history_active(r->history, &(struct moment){.at = at}, &active, &e) != 0)
        return AGW_ENOMEM;
    epoch->overrides = arena_alloc(r->arena, (active->count + 1) * sizeof *epoch->overrides);
    if (epoch->overrides == NULL)
        return AGW_ENOMEM;
    memcpy(epoch->overrides, active->items, active->count * sizeof *epoch->overrides);
    epoch->count = active->count;
    epoch->known = true;
    return 0;
}

struct replay *replay_new(struct history *history)
{
    struct replay *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    r->history = history;
    r->arena = arena_new(ARENA_MAX);
    r->slots = calloc(SLOTS_FIRST, sizeof *r->slots);
    r->sum_slots = calloc(SLOTS_FIRST, sizeof *r->sum_slots);
    r->mask = r->sum_mask = SLOTS_FIRST - 1;
    if (r->arena == NULL || r->slots == NULL || r->sum_slots == NULL || list_epochs(r) != 0)
        replay_free(&r);
    return r;
}

void replay_free(struct replay **replay)
{
    if (*replay == NULL)
        return;
    arena_free(&(*replay)->arena);
    free((*replay)->slots);
    free((*replay)->sum_slots);
    free((*replay)->moments);
    free((*replay)->epochs);
    free(*replay);
    *replay = NULL;
}

bool replay_is_exact(const struct replay *r)
{
    return r->alone <= ALONE_MAX;
}

int64_t replay_requests(const struct replay *r)
{
    return r->requests;
}

size_t replay_pairs(const struct replay *r)
{
    return r->count;
}

/* ---- sums ---- */

/* FNV-1a; the end of the first text is part of it. */
static size_t hash_of(const char *key_id, const char *agent)
{
    uint64_t hash = 14695981039346656037u;

    for (const char *c = key_id; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    hash *= 1099511628211u;
    for (const char *c = agent; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return (size_t)(hash ^ hash >> 32);
}

static struct replay_pair **find_slot(struct replay_pair **slots, size_t mask,
                                      const char *key_id, const char *agent)
{
    size_t at = hash_of(key_id, agent) & mask;

    while (slots[at] != NULL &&
           (strcmp(slots[at]->key_id, key_id) != 0 || strcmp(slots[at]->agent, agent) != 0))
        at = (at + 1) & mask;
    return &slots[at];
}

static int grow(struct replay *r)
{
    size_t mask = 2 * r->mask + 1;
    struct replay_pair **slots = calloc(mask + 1, sizeof *slots);

    if (slots == NULL)
        return AGW_ENOMEM;
    for (size_t i = 0; i <= r->mask; i++)
        if (r->slots[i] != NULL)
            *find_slot(slots, mask, r->slots[i]->key_id, r->slots[i]->agent) = r->slots[i];
    free(r->slots);
    r->slots = slots;
    r->mask = mask;
    return 0;
}

/* Adds moments, or with changes NULL only counts them; 0 is none. */
static void add_changes(struct replay_pair *pair, const int64_t *moments, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (moments[i] != 0) {
            if (pair->changes != NULL)
                pair->changes[pair->change_count] = moments[i];
            pair->change_count++;
        }
}

static void find_changes(const struct replay *r, struct replay_pair *pair,
                         int64_t key_expires_at)
{
    const struct key_list *keys = history_keys(r->history);

    pair->change_count = 0;
    add_changes(pair, &key_expires_at, 1);
    for (size_t i = 0; i < keys->count; i++) {
        const struct key_record *k = &keys->items[i];

        if (strcmp(k->row.id, pair->key_id) == 0)
            add_changes(pair, (int64_t[]){k->created_at, k->row.expires_at, k->revoked_at}, 3);
    }
}

static int list_changes(struct replay *r, struct replay_pair *pair, int64_t key_expires_at)
{
    find_changes(r, pair, key_expires_at);
    if (pair->change_count == 0)
        return 0;
    pair->changes = arena_alloc(r->arena, pair->change_count * sizeof *pair->changes);
    if (pair->changes == NULL)
        return AGW_ENOMEM;
    find_changes(r, pair, key_expires_at);
    qsort(pair->changes, pair->change_count, sizeof *pair->changes, by_time);
    return 0;
}

/* How many of the moments have come. */
static size_t count_before(const int64_t *moments, size_t count, int64_t at)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (moments[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t proposed_expiry(struct replay *r, const char *key_id)
{
    const struct config_key *key;
    const struct policy *policy;
    struct err e;

    if (history_at(r->history, &(struct moment){.at = 0}, &policy, &e) != 0)
        return 0;
    key = policy_find_key(policy, key_id);
    return key == NULL ? 0 : key->expires_at;
}

static struct replay_pair *new_pair(struct replay *r, const struct audit_decision *row)
{
    struct replay_pair *pair = arena_alloc(r->arena, sizeof *pair);

    if (pair == NULL)
        return NULL;
    pair->key_id = arena_strdup(r->arena, row->key_id);
    pair->agent = arena_strdup(r->arena, row->agent);
    pair->ns = arena_strdup(r->arena, row->ns == NULL ? "" : row->ns);
    if (pair->key_id == NULL || pair->agent == NULL || pair->ns == NULL ||
        list_changes(r, pair, proposed_expiry(r, row->key_id)) != 0)
        return NULL;
    r->count++;
    return pair;
}

static struct replay_pair *find_pair(struct replay *r, const struct audit_decision *row)
{
    struct replay_pair **slot;

    if (2 * r->count > r->mask && grow(r) != 0)
        return NULL;
    slot = find_slot(r->slots, r->mask, row->key_id, row->agent);
    if (*slot == NULL)
        *slot = new_pair(r, row);
    return *slot;
}

bool replay_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_of(const struct replay_sum *sum, const struct replay_pair *pair,
                  const struct audit_decision *row, size_t life, uint64_t grants)
{
    return sum->pair == pair && sum->life == life && sum->grants == grants && replay_same_text(sum->place, row->place) &&
           replay_same_text(sum->pattern, row->pattern) && replay_same_text(sum->source, row->source) &&
           replay_same_text(sum->decision, row->decision);
}

const char *replay_copy(struct replay *r, const char *text, bool *failed)
{
    const char *made = text == NULL ? NULL : arena_strdup(r->arena, text);

    *failed |= text != NULL && made == NULL;
    return made;
}

static struct replay_sum *new_sum(struct replay *r, struct replay_pair *pair,
                                  const struct audit_decision *row)
{
    struct replay_sum *sum = arena_alloc(r->arena, sizeof *sum);
    bool failed = false;

    if (sum == NULL)
        return NULL;
    sum->decision = replay_copy(r, row->decision, &failed);
    sum->source = replay_copy(r, row->source, &failed);
    sum->pattern = replay_copy(r, row->pattern, &failed);
    sum->place = replay_copy(r, row->place, &failed);
    sum->first = sum->last = row->ts;
    sum->pair = pair;
    r->sums++;
    return failed ? NULL : sum;
}

static struct replay_sum *stand_alone(struct replay *r, struct replay_pair *pair,
                                      const struct audit_decision *row)
{
    struct replay_sum *sum = new_sum(r, pair, row);
    bool failed = false;

    if (sum == NULL)
        return NULL;
    sum->seq = row->seq;
    sum->detail = replay_copy(r, row->detail, &failed);
    sum->next = pair->alone;
    pair->alone = sum;
    return failed ? NULL : sum;
}

/* The overrides that bear on the pair at that moment, as a hash; *limited: one of them has a
 * number of uses. Negative when memory is out. */
static int find_grants(struct replay *r, const struct replay_pair *pair, int64_t at,
                       uint64_t *grants, bool *limited)
{
    struct epoch *epoch = &r->epochs[count_before(r->moments, r->moment_count, at)];

    *grants = 0;
    *limited = false;
    if (!epoch->known && learn_epoch(r, epoch, at) != 0)
        return AGW_ENOMEM;
    for (size_t i = 0; i < epoch->count; i++) {
        const struct override *o = &epoch->overrides[i];

        if ((o->key_id != NULL && strcmp(o->key_id, pair->key_id) != 0) ||
            !glob_match(o->pattern, pair->agent))
            continue;
        *grants = *grants * 1099511628211u + hash_of(o->id, "");
        *limited |= o->max_uses > 0;
    }
    return 0;
}

/* What rows of one pair differ in most, the rest is left to comparing. */
static size_t sum_hash(const struct replay_pair *pair, size_t life, uint64_t grants)
{
    uint64_t hash = ((uint64_t)(uintptr_t)pair >> 4) * 0x9e3779b97f4a7c15u;

    hash = (hash ^ (hash >> 29) ^ grants ^ life) * 0xbf58476d1ce4e5b9u;
    return (size_t)(hash ^ hash >> 32);
}

static int grow_sums(struct replay *r)
{
    size_t mask = 2 * r->sum_mask + 1;
    struct replay_sum **slots = calloc(mask + 1, sizeof *slots);

    if (slots == NULL)
        return AGW_ENOMEM;
    for (size_t i = 0; i <= r->sum_mask; i++) {
        struct replay_sum *sum = r->sum_slots[i];
        size_t at = sum == NULL ? 0 : sum_hash(sum->pair, sum->life, sum->grants) & mask;

        if (sum == NULL)
            continue;
        while (slots[at] != NULL)
            at = (at + 1) & mask;
        slots[at] = sum;
    }
    free(r->sum_slots);
    r->sum_slots = slots;
    r->sum_mask = mask;
    return 0;
}

static struct replay_sum *find_sum(struct replay *r, struct replay_pair *pair,
                                   const struct audit_decision *row)
{
    size_t life = count_before(pair->changes, pair->change_count, row->ts);
    struct replay_sum *sum;
    uint64_t grants;
    bool limited;
    size_t at;

    if (find_grants(r, pair, row->ts, &grants, &limited) != 0)
        return NULL;
    if (limited && r->alone++ < ALONE_MAX)
        return stand_alone(r, pair, row);
    if (2 * r->sums > r->sum_mask && grow_sums(r) != 0)
        return NULL;
    at = sum_hash(pair, life, grants) & r->sum_mask;
    while ((sum = r->sum_slots[at]) != NULL && !is_of(sum, pair, row, life, grants))
        at = (at + 1) & r->sum_mask;
    if (sum != NULL)
        return sum;
    sum = new_sum(r, pair, row);
    if (sum == NULL)
        return NULL;
    sum->life = life;
    sum->grants = grants;
    sum->next = pair->sums;
    pair->sums = sum;
    return r->sum_slots[at] = sum;
}

int replay_add(void *replay, const struct audit_decision *row)
{
    struct replay *r = replay;
    struct replay_pair *pair = find_pair(r, row);
    struct replay_sum *sum = pair == NULL ? NULL : find_sum(r, pair, row);

    if (sum == NULL)
        return AGW_ENOMEM;
    r->requests++;
    sum->count++;
    if (row->ts < sum->first)
        sum->first = row->ts;
    if (row->ts > sum->last)
        sum->last = row->ts;
    return 0;
}

struct replay_sum *replay_next(const struct replay *r, const struct replay_sum *sum)
{
    const struct replay_pair *pair = sum == NULL ? NULL : sum->pair;
    size_t slot = pair == NULL ? 0 : pair->slot;

    if (sum != NULL && sum->next != NULL)
        return sum->next;
    if (pair != NULL && sum->seq == 0 && pair->alone != NULL)
        return pair->alone;
    for (slot += pair != NULL; slot <= r->mask; slot++)
        if (r->slots[slot] != NULL) {
            r->slots[slot]->slot = slot;
            return r->slots[slot]->sums != NULL ? r->slots[slot]->sums : r->slots[slot]->alone;
        }
    return NULL;
}

size_t replay_sums(const struct replay *r)
{
    return r->sums;
}

struct history *replay_history(const struct replay *r)
{
    return r->history;
}

/* SPDX-License-Identifier: MIT */
/* Puts the upstreams that can serve a model into the order of trying. */
#include "upstream/select.h"

#include <stdlib.h>
#include <string.h>

#include "upstream/set.h"

static bool is_down(struct upstream_entry *entry)
{
    bool down;

    pthread_mutex_lock(&entry->lock);
    down = entry->state == ENTRY_DOWN;
    pthread_mutex_unlock(&entry->lock);
    return down;
}

static void swap(struct upstream_entry **a, struct upstream_entry **b)
{
    struct upstream_entry *other = *a;

    *a = *b;
    *b = other;
}

/* Multiples of the golden ratio spread evenly whatever their number, so shares come out
 * exact after few calls, without state that calls for different models would disturb. */
static uint32_t spread(uint32_t turn)
{
    return turn * 2654435769u;
}

/* Draws the first of `count` entries by weight; the rest then by the same draw, scrambled. */
static void draw(struct upstream_entry **entries, size_t count, uint32_t point)
{
    for (; count > 1; entries++, count--) {
        uint64_t total = 0, at;
        size_t chosen = 0;

        for (size_t i = 0; i < count; i++)
            total += (uint64_t)entries[i]->weight;
        at = (uint64_t)(((unsigned __int128)total * point) >> 32);
        while (chosen + 1 < count && at >= (uint64_t)entries[chosen]->weight)
            at -= (uint64_t)entries[chosen++]->weight;
        swap(&entries[0], &entries[chosen]);
        point = (point ^ (point >> 15)) * 0x85ebca6bu;
    }
}

/* Stable: equal priorities keep the configuration's order. */
static void sort_by_priority(struct upstream_entry **entries, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && entries[j]->priority < entries[j - 1]->priority; j--)
            swap(&entries[j], &entries[j - 1]);
}

static void order(struct upstream_entry **entries, size_t count, uint32_t point)
{
    sort_by_priority(entries, count);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count; end++)
            if (entries[end]->priority != entries[first]->priority)
                break;
        draw(entries + first, end - first, point);
    }
}

/* Moves what is down behind the rest, keeping the order within both. */
static void down_last(struct upstream_entry **entries, size_t count)
{
    size_t healthy = 0;

    for (size_t i = 0; i < count; i++) {
        if (is_down(entries[i]))
            continue;
        for (size_t j = i; j > healthy; j--)
            swap(&entries[j], &entries[j - 1]);
        healthy++;
    }
}

struct upstream_entry **select_candidates(struct upstreams *upstreams, const char *preferred,
                                          const char *model, size_t *count)
{
    size_t all = 0, kept = 0, first = 0;
    struct upstream_entry **list = set_entries(upstreams, &all);

    *count = 0;
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < all; i++) {
        bool wanted = preferred != NULL && strcmp(list[i]->name, preferred) == 0;

        if (!wanted && !entry_serves(list[i], model)) {
            entry_release(&list[i]);
            continue;
        }
        swap(&list[kept], &list[i]);
        if (wanted) {
            swap(&list[0], &list[kept]);
            first = 1;
        }
        kept++;
    }
    order(list + first, kept - first, spread(atomic_fetch_add(&upstreams->turn, 1)));
    down_last(list, kept);
    *count = kept;
    return list;
}

void select_free(struct upstream_entry **candidates, size_t count)
{
    set_release(candidates, count);
}

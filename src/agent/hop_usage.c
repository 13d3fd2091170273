/* SPDX-License-Identifier: MIT */
/* Sums tokens over the hops of a request. */
#include "agent/hop_usage.h"

#include <stdio.h>

#include "util/err.h"

/* Nobody's call has more tokens, and sums of many must still fit a number. */
enum { TOKENS_MAX = 1000000000, DEPTH_MAX = 2 };

static void add_tokens(int64_t *total, int64_t tokens)
{
    if (tokens >= 0)
        *total = (*total < 0 ? 0 : *total) + tokens;
}

void hop_usage_add(struct chat_usage *total, const struct chat_usage *hop)
{
    add_tokens(&total->prompt_tokens, hop->prompt_tokens);
    add_tokens(&total->completion_tokens, hop->completion_tokens);
    total->attempts += hop->attempts;
    if (hop->upstream[0] != '\0')
        snprintf(total->upstream, sizeof total->upstream, "%s", hop->upstream);
}

static int merge(json_t *sum, const json_t *reported, int depth);

static int merge_member(json_t *sum, const char *name, const json_t *value, int depth)
{
    json_t *old = json_object_get(sum, name);
    json_int_t number = json_integer_value(value);

    if (json_is_integer(value) && number >= 0 && number <= TOKENS_MAX)
        return json_object_set_new(sum, name, json_integer(json_integer_value(old) + number));
    if (!json_is_object(value) || depth == DEPTH_MAX)
        return 0;
    if (!json_is_object(old)) {
        if (json_object_set_new(sum, name, json_object()) != 0)
            return -1;
        old = json_object_get(sum, name);
    }
    return merge(old, value, depth + 1);
}

static int merge(json_t *sum, const json_t *reported, int depth)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)reported, name, value)
        if (merge_member(sum, name, value, depth) != 0)
            return -1;
    return 0;
}

int hop_usage_merge(json_t **sum, const json_t *reported)
{
    if (!json_is_object(reported))
        return 0;
    if (*sum == NULL)
        *sum = json_object();
    return *sum == NULL || merge(*sum, reported, 1) != 0 ? AGW_ENOMEM : 0;
}

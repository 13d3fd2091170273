/* SPDX-License-Identifier: MIT */
/* Builds the objects clients see from what an upstream sent: only known members, right
 * types, one id, created and model throughout. Nothing an upstream wrote is passed on raw.
 */
#ifndef AGW_API_CHAT_SHAPE_H
#define AGW_API_CHAT_SHAPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct chat_shape {
    const char *model;      /* the agent's id: the model that was asked for */
    char id[48];            /* of the first object, else ours */
    int64_t created;        /* UTC seconds */
    bool with_usage;        /* the client asked for a usage chunk */
};

/* Starts with an id and a time of our own. */
void chat_shape_init(struct chat_shape *shape, const char *model);

/* A chat.completion; new reference, NULL when `upstream` has no usable choice or memory is
 * out. */
json_t *chat_shape_completion(struct chat_shape *shape, const json_t *upstream);

/* A chat.completion.chunk with the choices of `upstream`; new reference; NULL when memory is
 * out. Chunks without choices (usage, keep-alives) give an empty `choices`. */
json_t *chat_shape_chunk(struct chat_shape *shape, const json_t *upstream);

/* The first chunk of choice `index`: {"role":"assistant","content":""}. */
json_t *chat_shape_role_chunk(struct chat_shape *shape, int64_t index);

/* The closing chunk with `choices: []` and the usage; NULL when `usage` is none. */
json_t *chat_shape_usage_chunk(struct chat_shape *shape, const json_t *usage);

/* Whether a delta of this upstream chunk carries something for the user. */
bool chat_shape_has_content(const json_t *upstream);

#endif

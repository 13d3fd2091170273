/* SPDX-License-Identifier: MIT */
/* What the model says in one turn, gathered from a completion or from the chunks of a stream:
 * its text and its calls of tools, whole and in a form that can be sent back, and what of it
 * the client is to see. One thread.
 */
#ifndef AGW_AGENT_TOOL_TURN_H
#define AGW_AGENT_TOOL_TURN_H

#include "agent/turn_call.h"

/* More calls than that in one turn are no honest answer. */
enum { TOOL_TURN_CALLS_MAX = 128 };

struct tool_turn {
    const struct toolbox *box;
    size_t text_max;
    struct turn_call *calls;
    size_t count, client_count;
    struct buf text, reasoning; /* failed: it was longer than text_max */
    char finish_reason[32];   /* "" = none came */
    json_t *completion;       /* the whole answer of a call that is not a stream */
    json_t *frame;            /* of a stream: the members around `choices` */
};

/* Of each text at most `text_max` bytes are kept. */
void tool_turn_init(struct tool_turn *turn, const struct toolbox *box, size_t text_max);
void tool_turn_free(struct tool_turn *turn);

/* Takes in a chunk; *shown is a new reference to what the client is to see of it at once: text,
 * and the deltas of calls of its own tools. NULL when that is nothing. AGW_EUPSTREAM,
 * AGW_ENOMEM. */
int tool_turn_chunk(struct tool_turn *turn, const json_t *chunk, json_t **shown,
                    struct err *e);
int tool_turn_completion(struct tool_turn *turn, json_t *completion, struct err *e);

/* After the whole turn: whether the gateway has calls to run and the model is to go on. A call
 * of one of the client's tools ends the turn for all; so does an answer that was cut. Then
 * every call has an id of its own and a name that can be sent back. */
int tool_turn_settle(struct tool_turn *turn, bool *goes_on, struct err *e);

/* The assistant's message with the calls that the gateway runs. New reference or NULL. */
json_t *tool_turn_message(const struct tool_turn *turn);

/* How the answer ends for the client, when the turn is the last one: "tool_calls" with calls of
 * its own tools. */
const char *tool_turn_finish(const struct tool_turn *turn);
/* The last chunk of a stream. New reference or NULL. */
json_t *tool_turn_last_chunk(const struct tool_turn *turn);
/* The completion with the text `before`, if there is any, and a gap before its own, and the
 * client's calls alone. New reference or NULL. */
#define TOOL_TURN_GAP "\n\n"
json_t *tool_turn_answer(const struct tool_turn *turn, const struct buf *before);
/* The calls of its own tools alone. New reference or NULL. */
json_t *tool_turn_client_calls(const struct tool_turn *turn);

#endif

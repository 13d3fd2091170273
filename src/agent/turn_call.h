/* SPDX-License-Identifier: MIT */
/* One call of a tool, as a model writes it: whole or in pieces, and not always by the book. */
#ifndef AGW_AGENT_TURN_CALL_H
#define AGW_AGENT_TURN_CALL_H

#include "agent/toolbox.h"
#include "util/buf.h"

struct turn_call {
    json_t *value;            /* {"id","type","function":{"name","arguments"}}, or "custom" */
    const struct tool *tool;  /* the agent's, borrowed from the box; NULL = there is none */
    enum toolbox_owner owner;
    bool decided;             /* whose it is */
    bool shown;               /* the client has seen its beginning */
    int64_t index;            /* as the upstream counts */
    int64_t place;            /* as the client counts its own */
    json_t *given_id;         /* the upstream's own, NULL = none; may not be the value's */
    struct buf arguments;     /* as they come in */
};

/* Begins a call with its first piece. 0, AGW_ENOMEM, or AGW_EUPSTREAM for arguments of more than
 * `arguments_max` bytes. To be freed in any case. */
int turn_call_begin(struct turn_call *call, const json_t *piece, size_t arguments_max,
                    struct err *e);
int turn_call_add(struct turn_call *call, const json_t *piece, struct err *e);
void turn_call_free(struct turn_call *call);

/* Whether a piece with the index of this call begins another one: some providers give the same
 * index to all. Others give each piece an id of its own, so it must have a name, too. */
bool turn_call_is_other(const struct turn_call *call, const json_t *piece);

const char *turn_call_id(const struct turn_call *call);   /* "" = none yet */
const char *turn_call_name(const struct turn_call *call); /* "" = none yet */
bool turn_call_is_custom(const struct turn_call *call);

/* Replaces the id when it is none, is longer than TURN_CALL_ID_MAX bytes, or is taken among the
 * `count` calls of the turn, of which this is one: by an earlier one, or by one that the client
 * has seen. 0 or AGW_ENOMEM. */
enum { TURN_CALL_ID_MAX = 256 };
int turn_call_fix_id(struct turn_call *call, const struct turn_call *calls, size_t count);

/* Completes the value: its arguments as a text, which is "{}" when they are empty, and a name
 * that upstreams take, [A-Za-z0-9_-]{1,64}. 0 or AGW_ENOMEM. */
int turn_call_settle(struct turn_call *call);

/* For the one door, where what is not one of the agent's is unknown. Borrows from the call. */
struct invoke_request turn_call_request(const struct turn_call *call);

/* What the client is to see of `piece`, of which the call has been told: the first time all
 * that is known of it. New reference, NULL when memory is out. */
json_t *turn_call_show(struct turn_call *call, const json_t *piece);

#endif

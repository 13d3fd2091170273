/* SPDX-License-Identifier: MIT */
/* Makes the calls of one turn, several at once. */
#ifndef AGW_AGENT_TOOL_ROUND_H
#define AGW_AGENT_TOOL_ROUND_H

#include "agent/tool_turn.h"
#include "upstream/chat_sink.h"

/* Of one turn so many calls are made, and of one request so many at once. */
enum { TOOL_ROUND_CALLS_MAX = 32, TOOL_ROUND_PARALLEL = 8 };

/* Makes one call and fills *result, as invoke_tool(); from several threads at once. `deadline_ms` is
 * the round's. */
typedef int tool_round_call(void *arg, const struct turn_call *call, int64_t deadline_ms,
                            struct tool_result *result, struct err *e);

struct tool_round {
    tool_round_call *call;
    void *arg;                    /* of it */
    const struct chat_sink *sink; /* gets its ticks while tools run; from the calling thread */
    int64_t *quiet_since_ms;      /* since when the client got nothing; a tick moves it */
    int64_t deadline_ms;          /* clock_mono_ms() for the request, INT64_MAX = none */
    bool in_turn;                 /* one after the other */
};

/* Calls what a settled turn says and appends a message of role "tool" for each call, in the
 * order of the calls, to `messages`; *added grows by their bytes. A tool that fails, is
 * denied, does not exist is a message too. AGW_EGONE when the client has left, AGW_EAUDIT,
 * AGW_ENOMEM; every call that was begun has ended then. */
int tool_round_run(const struct tool_round *round, const struct tool_turn *turn,
                   json_t *messages, size_t *added, struct err *e);

#endif

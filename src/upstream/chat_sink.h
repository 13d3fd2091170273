/* SPDX-License-Identifier: MIT */
/* Where the model's answer goes: declared here, below those who implement it (the JSON
 * collector and the SSE writer of api/chat.c, later the tool loop).
 *
 * A sink sees either chunks or one completion, never both. Every callback returns 0 or an
 * AGW_E* that cancels the upstream call (AGW_EGONE: the client left; AGW_EAUDIT: the row is
 * not committed). Called from the request's own thread.
 */
#ifndef AGW_UPSTREAM_CHAT_SINK_H
#define AGW_UPSTREAM_CHAT_SINK_H

#include <jansson.h>
#include <stdint.h>

struct chat_sink {
    int (*chunk)(void *arg, json_t *chunk);           /* chat.completion.chunk, borrowed */
    int (*completion)(void *arg, json_t *completion); /* chat.completion, borrowed */
    int (*tick)(void *arg);       /* nothing flowed for tick_ms: send a keep-alive */
    int64_t tick_ms;              /* 0 = no ticks */
    /* A request has been sent to an upstream: what must have happened before the answer goes
     * on may be waited for now, while the upstream is at work. NULL = nothing. */
    int (*sent)(void *arg);
    int watch_fd;                 /* the client's socket, -1 = none */
    void *arg;
};

#endif

/* SPDX-License-Identifier: MIT */
/* Receives one attempt's answer and hands what is good to the sink; for chat_call.c. */
#ifndef AGW_UPSTREAM_CHAT_ANSWER_H
#define AGW_UPSTREAM_CHAT_ANSWER_H

#include <stdbool.h>

#include "net/http_client.h"
#include "net/sse_parse.h"
#include "upstream/chat_call.h"
#include "upstream/entry.h"
#include "util/buf.h"

struct chat_answer {
    const struct upstream_entry *entry;
    const struct chat_sink *sink;
    struct chat_usage *usage;
    struct err *e;
    int64_t *quiet_since_ms;    /* moved forward whenever the sink got something */
    bool streaming;             /* a stream was asked for */

    int status;                 /* of the response, 0 = none yet */
    bool passed;                /* the sink saw something: no second attempt */
    bool sink_refused;          /* the code in hand is the sink's own */
    bool rejected;              /* it is not what was asked for: the transfer was well */
    bool done;                  /* [DONE] came */
    struct sse_parser *parser;  /* while a stream is received */
    struct buf body;            /* otherwise */
};

/* Callbacks of struct http_call; arg is the answer. */
int chat_answer_head(void *arg, const struct http_result *head);
int chat_answer_body(void *arg, const char *bytes, size_t length);
int chat_answer_tick(void *arg);
int chat_answer_sent(void *arg);

/* After http_client_call() returned 0: passes the completion on, or finds out that a stream
 * has no honest end, or maps an error status. */
int chat_answer_finish(struct chat_answer *answer, const struct http_result *result);
void chat_answer_reset(struct chat_answer *answer);

#endif

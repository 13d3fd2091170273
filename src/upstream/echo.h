/* SPDX-License-Identifier: MIT */
/* The builtin-echo provider: a deterministic stand-in for a model, for trying the gateway
 * out and for tests. It answers "echo: " and the last user message's text; after the results of
 * tools, their texts, one a line. A last user message of "call NAME ARGUMENTS" (several: a line
 * each) with names of functions among the request's `tools` is answered by these calls.
 *
 * A token is a run of non-blanks: tokens are counted so in every message's text for the
 * prompt, and in the answers for the completion. Honoured: n (1..16), max_tokens and
 * max_completion_tokens (the smaller), stop, stream, stream_options.include_usage, seed
 * (the same request with the same seed gets the same id). Ignored: sampling parameters,
 * response_format, logprobs.
 */
#ifndef AGW_UPSTREAM_ECHO_H
#define AGW_UPSTREAM_ECHO_H

#include "upstream/chat_call.h"

/* 0, AGW_EUPSTREAMREQ (status 400, public message) for a request that no provider would
 * take, AGW_ENOMEM, or the sink's code. Any thread. */
int echo_answer(const json_t *body, const struct chat_sink *sink, struct chat_usage *usage,
                struct err *e);

#endif

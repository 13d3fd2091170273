/* SPDX-License-Identifier: MIT */
/* One chat completion from whichever upstream can give it: selection, retry with jittered
 * back-off, failover, circuit breaker, deadlines, metrics. Nothing is retried once a chunk
 * was passed to the sink.
 */
#ifndef AGW_UPSTREAM_CHAT_CALL_H
#define AGW_UPSTREAM_CHAT_CALL_H

#include <jansson.h>
#include <stdint.h>

#include "upstream/chat_sink.h"
#include "upstream/upstreams.h"
#include "util/err.h"

struct chat_usage {
    int64_t prompt_tokens, completion_tokens; /* -1 = not reported */
    char upstream[64];                        /* who answered */
    int attempts;
};

/* One call of several that answer one request together. */
struct chat_part {
    int64_t deadline_ms; /* clock_mono_ms() by which all must have ended; 0 before the first
                            call, which sets it: total deadline of the upstream it begins with,
                            INT64_MAX = none */
};

/* `preferred` is the agent's upstream name (tried first whatever its priority, then others
 * that serve `model`), or NULL. `body` is the request as the upstream shall see it (model and
 * messages included; "stream" true or false decides what the sink gets; for streams
 * "stream_options.include_usage" is set here, and the usage chunk is passed on as it came).
 * AGW_EUPSTREAMREQ with e->status and a public message for the upstream's 400/404/413/422/429
 * (429 keeps Retry-After); AGW_EUPSTREAM, AGW_ETIMEOUT, AGW_EUNAVAILABLE; or the sink's code.
 * After the sink saw a chunk an error means: cut. `part` is NULL for a call by itself. */
int chat_call(struct upstreams *upstreams, const char *preferred, json_t *body,
              const char *request_id, const struct chat_sink *sink, struct chat_part *part,
              struct chat_usage *usage, struct err *e);

#endif

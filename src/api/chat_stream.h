/* SPDX-License-Identifier: MIT */
/* The sink that writes an answer to the client as server-sent events. */
#ifndef AGW_API_CHAT_STREAM_H
#define AGW_API_CHAT_STREAM_H

#include "api/chat_shape.h"
#include "api/context.h"
#include "upstream/chat_sink.h"

enum { CHAT_STREAM_CHOICES_MAX = 128 };

struct chat_stream {
    struct exchange *x;
    struct chat_shape shape;
    bool role_sent[CHAT_STREAM_CHOICES_MAX];
    json_t *usage;          /* the upstream's, kept for the end */
};

/* `stream` must outlive the sink. */
void chat_stream_init(struct chat_stream *stream, struct exchange *x, struct chat_sink *sink);

/* Ends an honest stream: usage if asked for, then [DONE]. */
int chat_stream_done(struct chat_stream *stream);

/* Ends a broken one with an error event and no [DONE]; only after the head was sent. */
void chat_stream_fail(struct chat_stream *stream, int code, const struct err *e);

void chat_stream_free(struct chat_stream *stream);

#endif

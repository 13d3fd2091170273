/* SPDX-License-Identifier: MIT */
/* Turns an upstream's bytes into chunks or a completion for the sink. */
#include "upstream/chat_answer.h"

#include <string.h>

#include "upstream/chat_check.h"
#include "upstream/chat_error.h"
#include "util/clock.h"

enum {
    EVENT_MAX = 512 * 1024,     /* a chunk is small; nothing honest comes near */
    ERROR_BODY_MAX = 64 * 1024
};

/* What the sink says ends the call with the sink's own code. */
static int sink_said(struct chat_answer *answer, int code)
{
    if (code != 0)
        answer->sink_refused = true;
    return code;
}

static int on_event(void *arg, const char *event, const char *data, size_t length)
{
    struct chat_answer *answer = arg;
    json_t *chunk = NULL;
    int code;

    (void)event;
    if (length == 6 && memcmp(data, "[DONE]", 6) == 0) {
        answer->done = true;
        return HTTP_CLIENT_ENOUGH;
    }
    code = chat_check_chunk(data, length, &chunk, answer->e);
    if (code != 0)
        return code;
    chat_check_usage(chunk, answer->usage);
    answer->passed = true;
    code = sink_said(answer, answer->sink->chunk(answer->sink->arg, chunk));
    *answer->quiet_since_ms = clock_mono_ms();
    json_decref(chunk);
    return code;
}

static int start_stream(struct chat_answer *answer, const struct http_result *head)
{
    if (strcmp(head->content_type, "text/event-stream") != 0) {
        answer->rejected = true;
        return err_set(answer->e, AGW_EUPSTREAM, "a stream was asked for and '%s' came",
                       head->content_type);
    }
    answer->parser = sse_parse_new(EVENT_MAX, on_event, answer);
    if (answer->parser == NULL)
        return err_set(answer->e, AGW_ENOMEM, "starting a stream");
    return 0;
}

int chat_answer_head(void *arg, const struct http_result *head)
{
    struct chat_answer *answer = arg;
    bool good = head->status >= 200 && head->status < 300;

    answer->status = head->status;
    if (good && answer->streaming)
        return start_stream(answer, head);
    buf_init(&answer->body, good ? (size_t)answer->entry->max_response_bytes : ERROR_BODY_MAX);
    return 0;
}

int chat_answer_body(void *arg, const char *bytes, size_t length)
{
    struct chat_answer *answer = arg;

    if (answer->parser != NULL) {
        int code = sse_parse_feed(answer->parser, bytes, length, answer->e);

        answer->rejected = code < 0 && !answer->sink_refused;
        return code;
    }
    if (buf_append(&answer->body, bytes, length) == 0)
        return 0;
    if (answer->status >= 300) /* enough to tell what is wrong */
        return HTTP_CLIENT_ENOUGH;
    return err_set(answer->e, AGW_ENOMEM, "buffering an answer");
}

int chat_answer_tick(void *arg)
{
    struct chat_answer *answer = arg;

    return sink_said(answer, answer->sink->tick(answer->sink->arg));
}

int chat_answer_sent(void *arg)
{
    struct chat_answer *answer = arg;

    return sink_said(answer, answer->sink->sent(answer->sink->arg));
}

static int finish_completion(struct chat_answer *answer)
{
    json_t *completion = NULL;
    int code = chat_check_completion(buf_text(&answer->body), answer->body.length, &completion,
                                     answer->e);

    answer->rejected = code != 0;
    if (code != 0)
        return code;
    buf_free(&answer->body);
    chat_check_usage(completion, answer->usage);
    answer->passed = true;
    code = sink_said(answer, answer->sink->completion(answer->sink->arg, completion));
    json_decref(completion);
    return code;
}

int chat_answer_finish(struct chat_answer *answer, const struct http_result *result)
{
    if (result->status < 200 || result->status >= 300)
        return chat_error_map(answer->entry, result, &answer->body, answer->e);
    if (!answer->streaming)
        return finish_completion(answer);
    if (!answer->done)
        return err_set(answer->e, AGW_EUPSTREAM, "the stream ended without [DONE]");
    if (!answer->passed)
        return err_set(answer->e, AGW_EUPSTREAM, "the stream had no chunk");
    return 0;
}

void chat_answer_reset(struct chat_answer *answer)
{
    sse_parse_free(&answer->parser);
    buf_free(&answer->body);
}

/* SPDX-License-Identifier: MIT */
/* Streams an answer, frame by frame, from the moment its audit row is safe. */
#include "api/chat_stream.h"

#include "api/outcome.h"
#include "api/spend.h"
#include "http/sse_write.h"
#include "util/clock.h"
#include "util/log.h"

/* The promise of the product stands here: no byte before the row is committed. */
static int open_stream(struct exchange *x)
{
    int status;

    if (x->response.head_sent)
        return 0;
    status = audit_wait(x->ticket, &x->err);
    return status != 0 ? status : sse_write_begin(&x->response);
}

static int write_owned(struct exchange *x, json_t *frame)
{
    int status;

    if (frame == NULL)
        return err_set(&x->err, AGW_ENOMEM, "frame");
    status = sse_write_json(&x->response, frame);
    json_decref(frame);
    return status;
}

/* Clients build the message on a first delta with the role; not every upstream sends one. */
static int send_role(struct chat_stream *s, int64_t index)
{
    if (index < 0 || index >= CHAT_STREAM_CHOICES_MAX || s->role_sent[index])
        return 0;
    s->role_sent[index] = true;
    return write_owned(s->x, chat_shape_role_chunk(&s->shape, index));
}

/* The role has been said by send_role(); false when nothing else is left to say. */
static bool strip_role(json_t *shaped)
{
    json_t *choices = json_object_get(shaped, "choices"), *choice;
    bool says_something = false;
    size_t i;

    json_array_foreach(choices, i, choice)
    {
        json_t *delta = json_object_get(choice, "delta");
        json_t *content = json_object_get(delta, "content");

        json_object_del(delta, "role");
        if (json_object_size(delta) == 1 && json_is_string(content) &&
            json_string_length(content) == 0)
            json_object_del(delta, "content");
        if (json_object_size(delta) > 0 ||
            !json_is_null(json_object_get(choice, "finish_reason")))
            says_something = true;
    }
    return says_something;
}

static int on_chunk(void *arg, json_t *upstream)
{
    struct chat_stream *s = arg;
    struct exchange *x = s->x;
    json_t *usage = json_object_get(upstream, "usage"), *shaped, *choice;
    int status = open_stream(x);
    size_t i;

    if (status != 0)
        return status;
    if (json_is_object(usage)) {
        json_decref(s->usage);
        s->usage = json_incref(usage);
    }
    if (x->first_token_us == 0 && chat_shape_has_content(upstream))
        x->first_token_us = clock_mono_us() - x->request.started_us;
    shaped = chat_shape_chunk(&s->shape, upstream);
    if (shaped == NULL)
        return err_set(&x->err, AGW_ENOMEM, "frame");
    json_array_foreach(json_object_get(shaped, "choices"), i, choice)
        if (status == 0)
            status = send_role(s, json_integer_value(json_object_get(choice, "index")));
    if (status == 0 && strip_role(shaped))
        status = sse_write_json(&x->response, shaped);
    json_decref(shaped);
    return status;
}

static int on_tick(void *arg)
{
    struct chat_stream *s = arg;
    int status = open_stream(s->x);

    return status != 0 ? status : sse_write_ping(&s->x->response);
}

static int on_sent(void *arg)
{
    struct chat_stream *s = arg;

    return audit_wait(s->x->ticket, &s->x->err);
}

void chat_stream_init(struct chat_stream *s, struct exchange *x, struct chat_sink *sink)
{
    *s = (struct chat_stream){.x = x};
    chat_shape_init(&s->shape, x->agent_id);
    *sink = (struct chat_sink){.chunk = on_chunk,
                               .tick = on_tick,
                               .sent = on_sent,
                               .tick_ms = x->policy->config->gateway.stream_heartbeat_ms,
                               .watch_fd = fcgi_fd(x->request.x),
                               .arg = s};
}

/* [DONE] says that all is well and on record, so its end row is committed first. From then
 * on the outcome stands: a client that leaves now has seen everything, and one whose end
 * could not be written in time sees a stream without [DONE]. */
static void write_done(struct exchange *x)
{
    struct audit_row row = audit_row_new(0, NULL);
    struct err problem;

    outcome_row_end(x, &row);
    row.ts = spend_tokens(x);
    if (audit_finish_wait(x->api->audit, &x->ticket, &row, &problem) == 0)
        sse_write_done(&x->response);
    else
        log_message(LOG_ERROR, "audit.failed", "%s: %s", x->request.id, problem.message);
}

int chat_stream_done(struct chat_stream *s)
{
    struct exchange *x = s->x;
    json_t *usage;
    int status = open_stream(x);

    if (status == 0 && s->shape.with_usage) {
        usage = chat_shape_usage_chunk(&s->shape, s->usage);
        if (usage != NULL)
            status = write_owned(x, usage);
    }
    if (status == 0)
        write_done(x);
    return status;
}

void chat_stream_fail(struct chat_stream *s, int code, const struct err *e)
{
    json_t *error = response_error_json(code, e);

    if (error != NULL)
        sse_write_json(&s->x->response, error);
    json_decref(error);
}

void chat_stream_free(struct chat_stream *s)
{
    json_decref(s->usage);
}

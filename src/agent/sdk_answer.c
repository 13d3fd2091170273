/* SPDX-License-Identifier: MIT */
/* Says to the client what a module says. */
#include <string.h>

#include "agent/sdk_run.h"
#include "util/clock.h"

static int pass(struct sdk_answer *a, json_t *chunk_take)
{
    const struct chat_sink *sink = a->r->run->sink;
    int status = chunk_take == NULL ? err_set(a->e, AGW_ENOMEM, "a chunk")
                                    : sink->chunk(sink->arg, chunk_take);

    json_decref(chunk_take);
    a->quiet_since_ms = clock_mono_ms();
    return status;
}

static json_t *chunk_of(json_t *delta_take, const char *reason)
{
    return json_pack("{s:[{s:i,s:o,s:s?}]}", "choices", "index", 0, "delta", delta_take,
                     "finish_reason", reason);
}

static int too_long(struct sdk_answer *a)
{
    err_set_public(a->e, AGW_EAGENT, NULL, "The answer of the agent '%.100s' is too long.",
                   a->r->run->agent->spec->id);
    a->e->status = SDK_CRASH;
    return AGW_EAGENT;
}

/* Only what users are to see, and only of these kinds. */
int sdk_answer_delta(struct sdk_answer *a, const json_t *message)
{
    static const char *const kinds[] = {"content", "refusal", "reasoning_content"};
    json_t *delta;
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        bytes += json_string_length(json_object_get(message, kinds[i]));
    if (!a->r->run->streaming || bytes == 0)
        return 0;
    if (bytes > SDK_TEXT_MAX - a->text)
        return too_long(a);
    a->text += bytes;
    delta = json_object();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const json_t *text = json_object_get(message, kinds[i]);

        if (json_string_length(text) == 0)
            continue;
        if (json_object_set_new(delta, kinds[i], json_deep_copy(text)) != 0) {
            json_decref(delta);
            return err_set(a->e, AGW_ENOMEM, "a delta");
        }
    }
    return pass(a, chunk_of(delta, NULL));
}

int sdk_answer_tick(struct sdk_answer *a)
{
    const struct chat_sink *sink = a->r->run->sink;

    if (sink->tick == NULL || sink->tick_ms <= 0 ||
        clock_mono_ms() - a->quiet_since_ms < sink->tick_ms)
        return 0;
    a->quiet_since_ms = clock_mono_ms();
    return sink->tick(sink->arg);
}

/* ---- the end ---- */

static const char *finish_reason(const json_t *message)
{
    static const char *const known[] = {"stop", "length", "content_filter"};
    const char *said = json_string_value(json_object_get(message, "finish_reason"));

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (said != NULL && strcmp(said, known[i]) == 0)
            return known[i];
    return "stop";
}

/* Threads may still add to it. *usage NULL: nobody has reported any. */
static int take_usage(struct sdk_answer *a, json_t **usage)
{
    struct sdk_run *r = a->r;
    bool any;

    pthread_mutex_lock(&r->lock);
    any = r->reported != NULL;
    *usage = any ? json_deep_copy(r->reported) : NULL;
    pthread_mutex_unlock(&r->lock);
    return any && *usage == NULL ? err_set(a->e, AGW_ENOMEM, "usage") : 0;
}

/* In a stream each has its place. */
static json_t *streamed(const json_t *calls)
{
    json_t *copies = json_deep_copy(calls), *call;
    size_t i;

    json_array_foreach(copies, i, call)
        if (json_object_set_new(call, "index", json_integer((json_int_t)i)) != 0) {
            json_decref(copies);
            return NULL;
        }
    return copies;
}

static int finish_stream(struct sdk_answer *a, const char *reason, const json_t *calls)
{
    json_t *usage;
    int status = take_usage(a, &usage);

    if (status == 0 && calls != NULL)
        status = pass(a, chunk_of(json_pack("{s:o}", "tool_calls", streamed(calls)), NULL));
    if (status == 0)
        status = pass(a, chunk_of(json_object(), reason));
    if (status == 0 && usage != NULL)
        return pass(a, json_pack("{s:[],s:o}", "choices", "usage", usage));
    json_decref(usage);
    return status;
}

static json_t *text_or_null(const json_t *message, const char *name)
{
    const json_t *text = json_object_get(message, name);

    return json_is_string(text) ? json_deep_copy(text) : json_null();
}

static int finish_whole(struct sdk_answer *a, const json_t *message, const char *reason,
                        const json_t *calls)
{
    const struct chat_sink *sink = a->r->run->sink;
    bool refuses = json_is_string(json_object_get(message, "refusal"));
    json_t *usage = NULL, *answer, *text, *copy = json_deep_copy(calls);
    int status = calls != NULL && copy == NULL ? err_set(a->e, AGW_ENOMEM, "calls of tools")
                                               : take_usage(a, &usage);

    if (status != 0) {
        json_decref(copy);
        return status;
    }
    if (refuses || (calls != NULL && sdk_call_text(message, "output")[0] == '\0'))
        text = json_null();
    else
        text = text_or_null(message, "output");
    answer = json_pack("{s:[{s:i,s:{s:s,s:o,s:o,s:o*},s:s}],s:o*}", "choices", "index", 0,
                       "message", "role", "assistant", "content", text, "refusal",
                       text_or_null(message, "refusal"), "tool_calls", copy,
                       "finish_reason", reason, "usage", usage);
    status = answer == NULL ? err_set(a->e, AGW_ENOMEM, "an answer")
                            : sink->completion(sink->arg, answer);
    json_decref(answer);
    return status;
}

int sdk_answer_done(struct sdk_answer *a, const json_t *message)
{
    const json_t *calls = sdk_handover_calls(a->r);
    const char *reason = calls == NULL ? finish_reason(message) : a->r->handed_reason;

    return a->r->run->streaming ? finish_stream(a, reason, calls)
                                : finish_whole(a, message, reason, calls);
}

int sdk_answer_filtered(struct sdk_answer *a)
{
    return finish_stream(a, "content_filter", NULL);
}

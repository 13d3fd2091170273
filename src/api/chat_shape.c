/* SPDX-License-Identifier: MIT */
/* Gives every answer the shape that strict clients expect. */
#include "api/chat_shape.h"

#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "util/secret.h"

static const char *const finish_reasons[] = {"stop", "length", "tool_calls", "content_filter",
                                             "function_call"};

/* Members of a message or delta that are passed on when they have the right type. */
static const struct member {
    const char *name;
    json_type type;
} message_members[] = {
    {"role", JSON_STRING},          {"content", JSON_STRING},
    {"refusal", JSON_STRING},       {"reasoning_content", JSON_STRING},
    {"tool_calls", JSON_ARRAY},     {"function_call", JSON_OBJECT},
    {"annotations", JSON_ARRAY},    {"audio", JSON_OBJECT},
};

void chat_shape_init(struct chat_shape *shape, const char *model)
{
    char hex[25] = "";

    *shape = (struct chat_shape){.model = model, .created = clock_wall_ms() / 1000};
    secret_random_hex(hex, 12);
    snprintf(shape->id, sizeof shape->id, "chatcmpl-%s", hex);
}

static json_t *finish_reason(const json_t *choice, bool is_last)
{
    const char *text = json_string_value(json_object_get(choice, "finish_reason"));

    if (text == NULL)
        return is_last ? json_string("stop") : json_null();
    for (size_t i = 0; i < sizeof finish_reasons / sizeof finish_reasons[0]; i++)
        if (strcmp(finish_reasons[i], text) == 0)
            return json_string(text);
    return json_string("stop");
}

static json_t *counter(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;

    return json_integer(number < 0 ? 0 : number);
}

/* The three totals, and the details as far as they are numbers. */
static json_t *usage_of(const json_t *usage)
{
    static const char *const details[] = {"prompt_tokens_details",
                                          "completion_tokens_details"};
    json_t *shaped;

    if (!json_is_object(usage))
        return NULL;
    shaped = json_pack("{s:o,s:o,s:o}", "prompt_tokens", counter(usage, "prompt_tokens"),
                       "completion_tokens", counter(usage, "completion_tokens"), "total_tokens",
                       counter(usage, "total_tokens"));
    for (size_t i = 0; shaped != NULL && i < 2; i++) {
        const char *name;
        json_t *value, *part = json_object_get(usage, details[i]), *numbers;

        if (!json_is_object(part))
            continue;
        numbers = json_object();
        json_object_foreach(part, name, value)
            if (json_is_integer(value))
                json_object_set(numbers, name, value);
        json_object_set_new(shaped, details[i], numbers);
    }
    return shaped;
}

/* null members of tool call deltas are omitted: clients concatenate what is there. */
static json_t *without_nulls(json_t *value)
{
    const char *name;
    json_t *member, *copy;
    size_t i;

    if (json_is_array(value)) {
        copy = json_array();
        json_array_foreach(value, i, member)
            json_array_append_new(copy, without_nulls(member));
        return copy;
    }
    if (!json_is_object(value))
        return json_incref(value);
    copy = json_object();
    json_object_foreach(value, name, member)
        if (!json_is_null(member))
            json_object_set_new(copy, name, without_nulls(member));
    return copy;
}

/* Tool call deltas need their index every time, even where an upstream forgot it. */
static json_t *tool_deltas(json_t *calls)
{
    json_t *shaped = without_nulls(calls), *call;
    size_t i;

    json_array_foreach(shaped, i, call)
        if (json_is_object(call) && !json_is_integer(json_object_get(call, "index")))
            json_object_set_new(call, "index", json_integer((json_int_t)i));
    return shaped;
}

static void copy_members(json_t *to, const json_t *from, bool is_delta)
{
    for (size_t i = 0; i < sizeof message_members / sizeof message_members[0]; i++) {
        const struct member *m = &message_members[i];
        json_t *value = json_object_get(from, m->name);

        if (value == NULL || json_typeof(value) != m->type)
            continue;
        if (m->type == JSON_ARRAY && json_array_size(value) == 0)
            continue;
        if (strcmp(m->name, "role") == 0)
            json_object_set_new(to, m->name, json_string("assistant"));
        else if (is_delta && strcmp(m->name, "tool_calls") == 0)
            json_object_set_new(to, m->name, tool_deltas(value));
        else
            json_object_set(to, m->name, value);
    }
}

/* Alternatives without `bytes` fail strict readers, so a malformed list is dropped whole. */
static json_t *logprobs_of(const json_t *choice)
{
    json_t *value = json_object_get(choice, "logprobs");

    return json_is_object(value) ? json_incref(value) : json_null();
}

static json_t *index_of(const json_t *choice, size_t position)
{
    const json_t *index = json_object_get(choice, "index");

    return json_is_integer(index) && json_integer_value(index) >= 0
               ? json_integer(json_integer_value(index))
               : json_integer((json_int_t)position);
}

static json_t *completion_choice(const json_t *choice, size_t position)
{
    const json_t *source = json_object_get(choice, "message");
    json_t *message = json_pack("{s:s,s:n,s:n}", "role", "assistant", "content", "refusal");

    copy_members(message, source, false);
    return json_pack("{s:o,s:o,s:o,s:o}", "index", index_of(choice, position), "message",
                     message, "logprobs", logprobs_of(choice), "finish_reason",
                     finish_reason(choice, true));
}

static json_t *chunk_choice(const json_t *choice, size_t position)
{
    json_t *delta = json_object();
    json_t *shaped;

    copy_members(delta, json_object_get(choice, "delta"), true);
    shaped = json_pack("{s:o,s:o,s:o}", "index", index_of(choice, position), "delta", delta,
                       "finish_reason", finish_reason(choice, false));
    if (shaped != NULL && json_is_object(json_object_get(choice, "logprobs")))
        json_object_set(shaped, "logprobs", json_object_get(choice, "logprobs"));
    return shaped;
}

static json_t *envelope(const struct chat_shape *shape, const char *object, json_t *choices,
                        const json_t *upstream)
{
    json_t *shaped = json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", shape->id, "object", object,
                               "created", (json_int_t)shape->created, "model", shape->model,
                               "choices", choices);
    json_t *fingerprint = json_object_get(upstream, "system_fingerprint");

    if (shaped != NULL && json_is_string(fingerprint))
        json_object_set(shaped, "system_fingerprint", fingerprint);
    return shaped;
}

json_t *chat_shape_completion(struct chat_shape *shape, const json_t *upstream)
{
    json_t *source = json_object_get(upstream, "choices"), *choices, *choice, *shaped, *usage;
    size_t i;

    if (json_array_size(source) == 0)
        return NULL;
    choices = json_array();
    json_array_foreach(source, i, choice)
        json_array_append_new(choices, completion_choice(choice, i));
    shaped = envelope(shape, "chat.completion", choices, upstream);
    usage = usage_of(json_object_get(upstream, "usage"));
    if (shaped != NULL && usage != NULL)
        json_object_set_new(shaped, "usage", usage);
    return shaped;
}

/* `usage: null` on every chunk but the last, when usage was asked for. */
static json_t *chunk(const struct chat_shape *shape, json_t *choices, const json_t *upstream)
{
    json_t *shaped = envelope(shape, "chat.completion.chunk", choices, upstream);

    if (shaped != NULL && shape->with_usage)
        json_object_set_new(shaped, "usage", json_null());
    return shaped;
}

json_t *chat_shape_chunk(struct chat_shape *shape, const json_t *upstream)
{
    json_t *source = json_object_get(upstream, "choices"), *choices = json_array(), *choice;
    size_t i;

    json_array_foreach(source, i, choice)
        json_array_append_new(choices, chunk_choice(choice, i));
    return chunk(shape, choices, upstream);
}

json_t *chat_shape_role_chunk(struct chat_shape *shape, int64_t index)
{
    return chunk(shape,
                 json_pack("[{s:I,s:{s:s,s:s},s:n}]", "index", (json_int_t)index, "delta",
                           "role", "assistant", "content", "", "finish_reason"),
                 NULL);
}

json_t *chat_shape_usage_chunk(struct chat_shape *shape, const json_t *usage)
{
    json_t *numbers = usage_of(usage), *shaped;

    if (numbers == NULL)
        return NULL;
    shaped = chunk(shape, json_array(), NULL);
    if (shaped == NULL)
        json_decref(numbers);
    else
        json_object_set_new(shaped, "usage", numbers);
    return shaped;
}

bool chat_shape_has_content(const json_t *upstream)
{
    json_t *choices = json_object_get(upstream, "choices"), *choice;
    size_t i;

    json_array_foreach(choices, i, choice)
    {
        json_t *delta = json_object_get(choice, "delta");

        if (json_string_length(json_object_get(delta, "content")) > 0 ||
            json_array_size(json_object_get(delta, "tool_calls")) > 0)
            return true;
    }
    return false;
}

/* SPDX-License-Identifier: MIT */
/* Takes an upstream's JSON apart before anybody believes it. */
#include "upstream/chat_check.h"

#include <string.h>

#include "util/json_limits.h"

static int parse(const char *text, size_t length, json_t **value, struct err *e)
{
    struct err problem;
    int status = json_limits_parse(text, length, &json_limits_default, value, &problem);

    if (status == AGW_ENOMEM)
        return err_set(e, AGW_ENOMEM, "%s", problem.message);
    if (status != 0)
        return err_set(e, AGW_EUPSTREAM, "it sent %.300s", problem.message);
    if (!json_is_object(*value))
        return err_set(e, AGW_EUPSTREAM, "it sent JSON that is not an object");
    return 0;
}

static const char *reason_for(const char *reason)
{
    static const char *const known[] = {"stop", "length", "tool_calls", "content_filter",
                                        "function_call"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(reason, known[i]) == 0)
            return known[i];
    return strcmp(reason, "max_tokens") == 0 ? "length" : "stop";
}

static int put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value);
}

static int put_missing(json_t *object, const char *key, json_t *value)
{
    if (json_object_get(object, key) == NULL)
        return json_object_set_new(object, key, value);
    json_decref(value);
    return 0;
}

/* Clients' enumerations are closed: a provider's own word would break them. */
static int fix_finish_reason(json_t *choice, bool whole)
{
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));

    if (reason != NULL && strcmp(reason_for(reason), reason) == 0)
        return 0;
    if (reason != NULL)
        return put(choice, "finish_reason", json_string(reason_for(reason)));
    return put(choice, "finish_reason", whole ? json_string("stop") : json_null());
}

/* Nobody's request has more tokens than this, and sums of many must still fit a number. */
enum { TOKENS_MAX = 1000000000 };

static bool is_count(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0 &&
           json_integer_value(value) <= TOKENS_MAX;
}

static void fix_usage(json_t *value)
{
    const json_t *usage = json_object_get(value, "usage");

    if (usage == NULL || json_is_null(usage))
        return;
    if (!is_count(json_object_get(usage, "prompt_tokens")) ||
        !is_count(json_object_get(usage, "completion_tokens")) ||
        !is_count(json_object_get(usage, "total_tokens")))
        json_object_del(value, "usage");
}

static int fix_choice(json_t *choice, size_t position, bool whole)
{
    const char *part = whole ? "message" : "delta";
    json_t *content;
    int bad = 0;

    if (!is_count(json_object_get(choice, "index")))
        bad |= put(choice, "index", json_integer((json_int_t)position));
    if (!whole)
        bad |= put_missing(choice, part, json_object());
    content = json_object_get(choice, part);
    if (!json_is_object(content))
        return AGW_EUPSTREAM;
    bad |= fix_finish_reason(choice, whole);
    if (whole) {
        bad |= put(content, "role", json_string("assistant"));
        bad |= put_missing(content, "content", json_null());
        bad |= put_missing(content, "refusal", json_null());
        bad |= put_missing(choice, "logprobs", json_null());
    }
    return bad == 0 ? 0 : AGW_ENOMEM;
}

static int check(json_t *value, bool whole, struct err *e)
{
    json_t *choices = json_object_get(value, "choices");
    const json_t *error = json_object_get(value, "error");
    size_t i;
    json_t *choice;

    if (error != NULL && !json_is_null(error))
        return err_set(e, AGW_EUPSTREAM, "it sent an error object");
    if (choices == NULL && !whole && json_is_object(json_object_get(value, "usage"))) {
        json_object_set_new(value, "choices", json_array());
        choices = json_object_get(value, "choices");
    }
    if (!json_is_array(choices) || (whole && json_array_size(choices) == 0))
        return err_set(e, AGW_EUPSTREAM, "it sent JSON without choices");
    json_array_foreach(choices, i, choice) {
        int status = json_is_object(choice) ? fix_choice(choice, i, whole) : AGW_EUPSTREAM;

        if (status != 0)
            return err_set(e, status, "choice %zu has no %s", i, whole ? "message" : "delta");
    }
    fix_usage(value);
    return 0;
}

static int take(const char *text, size_t length, bool whole, json_t **value, struct err *e)
{
    int status = parse(text, length, value, e);

    if (status == 0)
        status = check(*value, whole, e);
    if (status != 0) {
        json_decref(*value);
        *value = NULL;
    }
    return status;
}

int chat_check_chunk(const char *text, size_t length, json_t **value, struct err *e)
{
    return take(text, length, false, value, e);
}

int chat_check_completion(const char *text, size_t length, json_t **value, struct err *e)
{
    return take(text, length, true, value, e);
}

void chat_check_usage(const json_t *value, struct chat_usage *usage)
{
    const json_t *reported = json_object_get(value, "usage");
    const json_t *prompt = json_object_get(reported, "prompt_tokens");
    const json_t *completion = json_object_get(reported, "completion_tokens");

    if (is_count(prompt) && is_count(completion)) {
        usage->prompt_tokens = json_integer_value(prompt);
        usage->completion_tokens = json_integer_value(completion);
    }
}

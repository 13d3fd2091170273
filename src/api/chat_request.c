/* SPDX-License-Identifier: MIT */
/* Checks a chat completion request before anybody pays for it. */
#include "api/chat_request.h"

#include <stdio.h>
#include <string.h>

#include "api/fields.h"

enum { MESSAGES_MAX = 100000, MODEL_MAX = 256 };

static const struct field body_fields[] = {
    {"model", FIELD_TEXT, true, 1, MODEL_MAX},
    {"messages", FIELD_ARRAY, true, 1, MESSAGES_MAX},
    {"stream", FIELD_BOOLEAN, false, 0, 0},
    {"stream_options", FIELD_OBJECT, false, 0, 0},
    {"temperature", FIELD_NUMBER, false, 0, 2},
    {"top_p", FIELD_NUMBER, false, 0, 1},
    {"n", FIELD_INTEGER, false, 1, 128},
    {"stop", FIELD_TEXT_OR_TEXTS, false, 0, 0},
    {"seed", FIELD_INTEGER, false, 0, 0},
    {"presence_penalty", FIELD_NUMBER, false, -2, 2},
    {"frequency_penalty", FIELD_NUMBER, false, -2, 2},
    {"logit_bias", FIELD_OBJECT, false, 0, 0},
    {"logprobs", FIELD_BOOLEAN, false, 0, 0},
    {"top_logprobs", FIELD_INTEGER, false, 0, 20},
    {"max_tokens", FIELD_INTEGER, false, 1, INT32_MAX},
    {"max_completion_tokens", FIELD_INTEGER, false, 1, INT32_MAX},
    {"response_format", FIELD_OBJECT, false, 0, 0},
    {"tools", FIELD_ARRAY, false, 0, 1024},
    {"parallel_tool_calls", FIELD_BOOLEAN, false, 0, 0},
    {"user", FIELD_TEXT, false, 0, 0},
    {"metadata", FIELD_OBJECT, false, 0, 0},
    {"store", FIELD_BOOLEAN, false, 0, 0},
};

const struct field_set chat_request_fields = {
    body_fields, sizeof body_fields / sizeof body_fields[0], false};

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool",
                                    "function"};

static bool is_role(const char *text)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(roles[i], text) == 0)
            return true;
    return false;
}

static int bad_message(struct err *e, size_t index, const char *member, const char *problem)
{
    char param[64];

    snprintf(param, sizeof param, "messages[%zu]%s", index, member);
    return err_set_public(e, AGW_EINVALID, param, "'%s' %s.", param, problem);
}

static bool is_part(const json_t *part)
{
    return json_is_object(part) && json_is_string(json_object_get(part, "type"));
}

static int check_content(const json_t *message, const char *role, size_t index, struct err *e)
{
    const json_t *content = json_object_get(message, "content");
    json_t *part;
    size_t i;

    if (content == NULL || json_is_null(content)) {
        /* An assistant may have spoken through tool calls or a refusal alone. */
        if (strcmp(role, "assistant") == 0 || strcmp(role, "function") == 0)
            return 0;
        return bad_message(e, index, ".content", "is required");
    }
    if (json_is_string(content))
        return 0;
    if (!json_is_array(content))
        return bad_message(e, index, ".content", "must be a string or an array of parts");
    json_array_foreach((json_t *)content, i, part)
        if (!is_part(part))
            return bad_message(e, index, ".content",
                               "must hold objects with a 'type' of type string");
    return 0;
}

static int check_message(const json_t *message, size_t index, struct err *e)
{
    const char *role;

    if (!json_is_object(message))
        return bad_message(e, index, "", "must be an object");
    role = json_string_value(json_object_get(message, "role"));
    if (role == NULL)
        return bad_message(e, index, ".role", "is required");
    if (!is_role(role))
        return bad_message(e, index, ".role",
                           "must be one of system, developer, user, assistant, tool, function");
    if (strcmp(role, "tool") == 0 &&
        !json_is_string(json_object_get(message, "tool_call_id")))
        return bad_message(e, index, ".tool_call_id", "is required");
    return check_content(message, role, index, e);
}

int chat_request_check(const json_t *body, struct err *e)
{
    json_t *message;
    size_t i;

    if (fields_check(body, body_fields, sizeof body_fields / sizeof body_fields[0], false, e) !=
        0)
        return AGW_EINVALID;
    json_array_foreach(json_object_get(body, "messages"), i, message)
        if (check_message(message, i, e) != 0)
            return AGW_EINVALID;
    if (json_is_object(json_object_get(body, "stream_options")) && !chat_request_streams(body))
        return err_set_public(e, AGW_EINVALID, "stream_options",
                              "'stream_options' is only allowed with 'stream': true.");
    return 0;
}

bool chat_request_streams(const json_t *body)
{
    return json_is_true(json_object_get(body, "stream"));
}

bool chat_request_wants_usage(const json_t *body)
{
    return json_is_true(
        json_object_get(json_object_get(body, "stream_options"), "include_usage"));
}

/* SPDX-License-Identifier: MIT */
/* Any answer of a model, whole ('!' first) or as chunks (one a line), in an agent with tools: what
 * goes back to it and what the client sees has the shape that both rely on. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "agent/tool_turn.h"
#include "upstream/chat_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    assert(text != NULL);
    return text;
}

static void check_call(const json_t *call)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const json_t *function = json_object_get(call, "function");
    const char *id = text_of(call, "id");

    assert(id[0] != '\0' && strlen(id) <= TURN_CALL_ID_MAX);
    if (function == NULL) { /* one without a name is the gateway's to answer */
        assert(json_object_get(call, "custom") != NULL);
        return;
    }
    assert(text_of(function, "name")[0] != '\0' && strlen(text_of(function, "name")) <= 64);
    assert(strspn(text_of(function, "name"), letters) == strlen(text_of(function, "name")));
    assert(json_string_length(json_object_get(function, "arguments")) > 0);
}

static void check_message(const struct tool_turn *turn)
{
    json_t *message = tool_turn_message(turn), *calls = json_object_get(message, "tool_calls");

    assert(message != NULL && json_array_size(calls) == turn->count);
    assert(turn->count <= TOOL_TURN_CALLS_MAX);
    for (size_t i = 0; i < turn->count; i++) {
        check_call(json_array_get(calls, i));
        for (size_t j = 0; j < i; j++)
            assert(strcmp(text_of(json_array_get(calls, i), "id"),
                          text_of(json_array_get(calls, j), "id")) != 0);
    }
    json_decref(message);
}

/* What a client gets at once: one choice, without a reason, and calls of its own tool only. */
static void check_shown(const json_t *shown)
{
    json_t *choices = json_object_get(shown, "choices"), *call;
    json_t *choice = json_array_get(choices, 0), *delta = json_object_get(choice, "delta");
    size_t i;

    assert(json_array_size(choices) == 1 && json_is_object(delta));
    assert(json_is_null(json_object_get(choice, "finish_reason")));
    assert(json_object_get(delta, "role") == NULL && json_object_get(shown, "usage") == NULL);
    json_array_foreach(json_object_get(delta, "tool_calls"), i, call)
    {
        const json_t *name = json_object_get(json_object_get(call, "function"), "name");

        assert(json_is_integer(json_object_get(call, "index")));
        assert(name == NULL || strcmp(json_string_value(name), "mine") == 0);
    }
}

static int hear(struct tool_turn *turn, const char *text, size_t length, bool whole)
{
    json_t *answer = NULL, *shown = NULL;
    struct err e = {0};
    int status = whole ? chat_check_completion(text, length, &answer, &e)
                       : chat_check_chunk(text, length, &answer, &e);

    if (status == 0)
        status = whole ? tool_turn_completion(turn, answer, &e)
                       : tool_turn_chunk(turn, answer, &shown, &e);
    assert(status == 0 || status == AGW_EUPSTREAM);
    if (shown != NULL)
        check_shown(shown);
    json_decref(shown);
    json_decref(answer);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct toolbox box = {.client_names = json_pack("{s:b}", "mine", 1)};
    const char *at = (const char *)data, *end = at + size;
    bool whole = size > 0 && data[0] == '!', goes_on;
    struct tool_turn turn;
    struct buf before;
    struct err e = {0};
    json_t *last;
    int status = 0;

    tool_turn_init(&turn, &box, 2000);
    buf_init(&before, 100);
    if (whole)
        status = hear(&turn, at + 1, size - 1, true);
    while (!whole && at < end && status == 0) {
        size_t length = (size_t)(memchr(at, '\n', (size_t)(end - at)) == NULL
                                     ? end - at
                                     : (const char *)memchr(at, '\n', (size_t)(end - at)) - at);

        status = hear(&turn, at, length, false);
        at += length + 1;
    }
    if (status == 0) {
        assert(tool_turn_settle(&turn, &goes_on, &e) == 0);
        check_message(&turn);
        last = whole ? tool_turn_answer(&turn, &before) : tool_turn_last_chunk(&turn);
        assert(last != NULL && !(goes_on && turn.client_count > 0));
        json_decref(last);
    }
    tool_turn_free(&turn);
    json_decref(box.client_names);
    return 0;
}

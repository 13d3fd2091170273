/* SPDX-License-Identifier: MIT */
/* Listens to a model until its turn is over. */
#include "agent/tool_turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tool_turn_init(struct tool_turn *turn, const struct toolbox *box, size_t text_max)
{
    *turn = (struct tool_turn){.box = box, .text_max = text_max};
    buf_init(&turn->text, text_max);
    buf_init(&turn->reasoning, text_max);
}

void tool_turn_free(struct tool_turn *turn)
{
    for (size_t i = 0; i < turn->count; i++)
        turn_call_free(&turn->calls[i]);
    free(turn->calls);
    buf_free(&turn->text);
    buf_free(&turn->reasoning);
    json_decref(turn->completion);
    json_decref(turn->frame);
}

/* The gateway's tools work for one answer; the loop asks for no more than that. */
static json_t *first_choice(const json_t *answer)
{
    json_t *choice;
    size_t i;

    json_array_foreach(json_object_get(answer, "choices"), i, choice)
        if (json_integer_value(json_object_get(choice, "index")) == 0)
            return choice;
    return NULL;
}

static void keep_text(struct buf *text, const json_t *content)
{
    if (json_is_string(content))
        buf_append(text, json_string_value(content), json_string_length(content));
}

static void keep_words(struct tool_turn *turn, const json_t *choice, const json_t *words)
{
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));

    keep_text(&turn->text, json_object_get(words, "content"));
    keep_text(&turn->reasoning, json_object_get(words, "reasoning_content"));
    if (reason != NULL)
        snprintf(turn->finish_reason, sizeof turn->finish_reason, "%s", reason);
}

/* ---- calls ---- */

/* The call that a piece goes on with; NULL when it begins one. */
static struct turn_call *call_of(const struct tool_turn *turn, const json_t *piece,
                                 int64_t index)
{
    for (size_t i = turn->count; i-- > 0;)
        if (turn->calls[i].index == index)
            return turn_call_is_other(&turn->calls[i], piece) ? NULL : &turn->calls[i];
    return NULL;
}

static struct turn_call *new_call(struct tool_turn *turn, struct err *e)
{
    struct turn_call *grown;

    if (turn->count == TOOL_TURN_CALLS_MAX) {
        err_set(e, AGW_EUPSTREAM, "it made more than %d calls of tools in one turn",
                TOOL_TURN_CALLS_MAX);
        return NULL;
    }
    grown = reallocarray(turn->calls, turn->count + 1, sizeof *grown);
    if (grown == NULL) {
        err_set(e, AGW_ENOMEM, "calls of tools");
        return NULL;
    }
    turn->calls = grown;
    return &grown[turn->count++];
}

/* Whose a call is shows with its name. */
static void decide(struct tool_turn *turn, struct turn_call *call)
{
    const char *name = turn_call_name(call);

    if (call->decided || name[0] == '\0')
        return;
    call->decided = true;
    call->owner = turn_call_is_custom(call) ? TOOLBOX_CLIENT
                                            : toolbox_owner(turn->box, name, &call->tool);
    if (call->owner == TOOLBOX_CLIENT)
        call->place = (int64_t)turn->client_count++;
}

/* The call that the piece is of; NULL with *e set. */
static struct turn_call *take_piece(struct tool_turn *turn, const json_t *piece,
                                    size_t position, struct err *e)
{
    const json_t *given = json_object_get(piece, "index");
    int64_t index = json_is_integer(given) ? json_integer_value(given) : (int64_t)position;
    struct turn_call *call = call_of(turn, piece, index);
    int status;

    if (call != NULL) {
        status = turn_call_add(call, piece, e);
    } else {
        call = new_call(turn, e);
        if (call == NULL)
            return NULL;
        status = turn_call_begin(call, piece, turn->text_max, e);
        call->index = index;
    }
    if (status != 0)
        return NULL;
    decide(turn, call);
    return call;
}

/* Adds to `deltas` what the client is to see of the pieces. */
static int take_pieces(struct tool_turn *turn, const json_t *pieces, json_t *deltas,
                       struct err *e)
{
    json_t *piece;
    size_t i;

    json_array_foreach((json_t *)pieces, i, piece)
    {
        struct turn_call *call;

        if (!json_is_object(piece))
            continue;
        call = take_piece(turn, piece, i, e);
        if (call == NULL)
            return e->code;
        if (!call->decided || call->owner != TOOLBOX_CLIENT)
            continue;
        if ((!call->shown && turn_call_fix_id(call, turn->calls, turn->count) != 0) ||
            json_array_append_new(deltas, turn_call_show(call, piece)) != 0)
            return err_set(e, AGW_ENOMEM, "calls of tools");
    }
    return 0;
}

/* ---- streams ---- */

static bool says_something(const json_t *delta)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)delta, name, value)
        if (!json_is_null(value) && (!json_is_string(value) || json_string_length(value) > 0))
            return true;
    return false;
}

/* A chunk with one choice in the frame of the upstream's. Takes `delta`. */
static json_t *framed(const struct tool_turn *turn, json_t *delta, json_t *logprobs,
                      const char *reason)
{
    json_t *chunk = turn->frame == NULL ? json_object() : json_copy(turn->frame);
    json_t *choice = json_pack("{s:i,s:o,s:s?,s:O*}", "index", 0, "delta", delta, "finish_reason",
                               reason, "logprobs", logprobs);

    if (chunk == NULL || choice == NULL ||
        json_object_set_new(chunk, "choices", json_pack("[O]", choice)) != 0) {
        json_decref(chunk);
        chunk = NULL;
    }
    json_decref(choice);
    return chunk;
}

static int keep_frame(struct tool_turn *turn, const json_t *chunk)
{
    json_decref(turn->frame);
    turn->frame = json_copy((json_t *)chunk);
    json_object_del(turn->frame, "choices");
    json_object_del(turn->frame, "usage");
    return turn->frame == NULL ? -1 : 0;
}

static int show(const struct tool_turn *turn, const json_t *choice, json_t *delta,
                json_t *deltas, json_t **shown)
{
    json_t *logprobs = json_object_get(choice, "logprobs");

    json_object_del(delta, "role");
    json_object_del(delta, "tool_calls");
    if (json_array_size(deltas) > 0 && json_object_set(delta, "tool_calls", deltas) != 0)
        return -1;
    if (!says_something(delta) && !json_is_object(logprobs))
        return 0;
    *shown = framed(turn, json_incref(delta), json_is_object(logprobs) ? logprobs : NULL, NULL);
    return *shown == NULL ? -1 : 0;
}

int tool_turn_chunk(struct tool_turn *turn, const json_t *chunk, json_t **shown,
                    struct err *e)
{
    json_t *choice = first_choice(chunk), *delta, *deltas;
    int status;

    *shown = NULL;
    if (choice == NULL)
        return 0;
    delta = json_copy(json_object_get(choice, "delta"));
    deltas = json_array();
    if (delta == NULL || deltas == NULL || keep_frame(turn, chunk) != 0) {
        status = err_set(e, AGW_ENOMEM, "a chunk");
        goto out;
    }
    keep_words(turn, choice, delta);
    status = take_pieces(turn, json_object_get(delta, "tool_calls"), deltas, e);
    if (status == 0 && show(turn, choice, delta, deltas, shown) != 0)
        status = err_set(e, AGW_ENOMEM, "a chunk");
out:
    json_decref(delta);
    json_decref(deltas);
    return status;
}

json_t *tool_turn_last_chunk(const struct tool_turn *turn)
{
    json_t *delta = json_object();

    return delta == NULL ? NULL : framed(turn, delta, NULL, tool_turn_finish(turn));
}

/* ---- completions ---- */

int tool_turn_completion(struct tool_turn *turn, json_t *completion, struct err *e)
{
    const json_t *choice = first_choice(completion);
    const json_t *message = json_object_get(choice, "message");
    json_t *piece;
    size_t i;

    if (choice == NULL)
        return err_set(e, AGW_EUPSTREAM, "a completion without its first choice");
    turn->completion = json_incref(completion);
    keep_words(turn, choice, message);
    json_array_foreach(json_object_get(message, "tool_calls"), i, piece)
    {
        struct turn_call *call;
        int status;

        if (!json_is_object(piece))
            continue;
        call = new_call(turn, e);
        if (call == NULL)
            return e->code;
        status = turn_call_begin(call, piece, turn->text_max, e);
        if (status != 0)
            return status;
        decide(turn, call);
    }
    return 0;
}

json_t *tool_turn_client_calls(const struct tool_turn *turn)
{
    json_t *calls = json_array();

    for (size_t i = 0; i < turn->count; i++)
        if (turn->calls[i].owner == TOOLBOX_CLIENT &&
            json_array_append(calls, turn->calls[i].value) != 0) {
            json_decref(calls);
            return NULL;
        }
    return calls;
}

static json_t *joined(const struct buf *before, const json_t *content)
{
    struct buf all;
    json_t *text;

    buf_init(&all, SIZE_MAX / 2);
    buf_append(&all, before->data, before->length);
    if (json_string_length(content) > 0)
        buf_puts(&all, TOOL_TURN_GAP);
    keep_text(&all, content);
    text = all.failed ? NULL : json_stringn(all.data, all.length);
    buf_free(&all);
    return text;
}

json_t *tool_turn_answer(const struct tool_turn *turn, const struct buf *before)
{
    json_t *answer = json_copy(turn->completion), *calls = tool_turn_client_calls(turn);
    json_t *choice = json_copy(first_choice(turn->completion));
    json_t *message = json_copy(json_object_get(choice, "message"));
    int bad = answer == NULL || calls == NULL;

    json_object_del(message, "tool_calls");
    if (before->length > 0)
        bad |= json_object_set_new(message, "content",
                                   joined(before, json_object_get(message, "content")));
    if (json_array_size(calls) > 0)
        bad |= json_object_set(message, "tool_calls", calls);
    bad |= json_object_set(choice, "message", message);
    bad |= json_object_set_new(choice, "finish_reason", json_string(tool_turn_finish(turn)));
    bad |= json_object_set_new(answer, "choices", json_pack("[O]", choice));
    json_decref(calls);
    json_decref(message);
    json_decref(choice);
    if (bad == 0)
        return answer;
    json_decref(answer);
    return NULL;
}

/* ---- the end ---- */

/* Of a call that was cut off nobody knows what it was to be. */
static bool is_cut(const struct tool_turn *turn)
{
    return strcmp(turn->finish_reason, "length") == 0 ||
           strcmp(turn->finish_reason, "content_filter") == 0;
}

int tool_turn_settle(struct tool_turn *turn, bool *goes_on, struct err *e)
{
    for (size_t i = 0; i < turn->count; i++) {
        struct turn_call *call = &turn->calls[i];

        if ((!call->shown && turn_call_fix_id(call, turn->calls, turn->count) != 0) ||
            turn_call_settle(call) != 0)
            return err_set(e, AGW_ENOMEM, "calls of tools");
    }
    *goes_on = turn->count > 0 && turn->client_count == 0 && !is_cut(turn);
    return 0;
}

const char *tool_turn_finish(const struct tool_turn *turn)
{
    if (is_cut(turn))
        return turn->finish_reason;
    if (turn->client_count > 0)
        return "tool_calls";
    return turn->finish_reason[0] == '\0' || strcmp(turn->finish_reason, "tool_calls") == 0
               ? "stop"
               : turn->finish_reason;
}

static json_t *kept_text(const struct buf *text)
{
    return text->length == 0 ? json_null() : json_stringn(text->data, text->length);
}

json_t *tool_turn_message(const struct tool_turn *turn)
{
    json_t *calls = json_array(), *message;

    for (size_t i = 0; i < turn->count; i++)
        if (json_array_append(calls, turn->calls[i].value) != 0) {
            json_decref(calls);
            return NULL;
        }
    message = json_pack("{s:s,s:o,s:O}", "role", "assistant", "content", kept_text(&turn->text),
                        "tool_calls", calls);
    json_decref(calls);
    if (message != NULL && turn->reasoning.length > 0 &&
        json_object_set_new(message, "reasoning_content", kept_text(&turn->reasoning)) != 0) {
        json_decref(message);
        return NULL;
    }
    return message;
}

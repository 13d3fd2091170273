/* SPDX-License-Identifier: MIT */
/* Goes to and fro between a model and its tools. */
#include "agent/tool_loop.h"

#include <string.h>

#include "agent/hop_usage.h"
#include "agent/tool_round.h"
#include "util/clock.h"

struct loop {
    const struct tool_loop *with;
    json_t *body;
    struct chat_usage *usage;
    struct err *e;
    struct tool_turn turn;    /* the one that is under way */
    struct chat_part part;
    json_t *latest;           /* usage object of this turn: some upstreams count along */
    json_t *reported;         /* ... of the turns before, summed */
    bool wants_json;          /* response_format: only the last turn's text is an answer */
    json_t *held;             /* chunks that may turn out not to be it */
    struct buf before;        /* text of earlier turns */
    bool spoke;               /* the client has text of an earlier turn */
    bool speaks;              /* ... of this one */
    int64_t quiet_since_ms;   /* the client got nothing since */
    size_t added;             /* bytes that were added to the request */
};

/* ---- what flows to the client ---- */

static int on_tick(void *arg)
{
    struct loop *loop = arg;

    loop->quiet_since_ms = clock_mono_ms();
    return loop->with->sink->tick(loop->with->sink->arg);
}

/* The upstream is at work, but nothing of it is for the client. */
static int keep_alive(struct loop *loop)
{
    const struct chat_sink *sink = loop->with->sink;

    if (sink->tick == NULL || sink->tick_ms <= 0 ||
        clock_mono_ms() - loop->quiet_since_ms < sink->tick_ms)
        return 0;
    return on_tick(loop);
}

static int pass(struct loop *loop, json_t *chunk)
{
    int status = loop->with->sink->chunk(loop->with->sink->arg, chunk);

    loop->quiet_since_ms = clock_mono_ms();
    return status;
}

static int pass_owned(struct loop *loop, json_t *chunk)
{
    int status = chunk == NULL ? err_set(loop->e, AGW_ENOMEM, "a chunk") : pass(loop, chunk);

    json_decref(chunk);
    return status;
}

static bool has_text(const json_t *chunk)
{
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);

    return json_string_length(json_object_get(json_object_get(choice, "delta"), "content")) > 0;
}

static int pass_text_apart(struct loop *loop, json_t *chunk)
{
    if (has_text(chunk) && !loop->speaks) {
        loop->speaks = true;
        if (loop->spoke) {
            int status = pass_owned(loop, json_pack("{s:[{s:i,s:{s:s},s:n}]}", "choices",
                                                    "index", 0, "delta", "content", TOOL_TURN_GAP,
                                                    "finish_reason"));

            if (status != 0)
                return status;
        }
    }
    return pass(loop, chunk);
}

static void note_usage(struct loop *loop, const json_t *answer)
{
    json_t *usage = json_object_get(answer, "usage");

    if (!json_is_object(usage))
        return;
    json_decref(loop->latest);
    loop->latest = json_incref(usage);
}

static int on_chunk(void *arg, json_t *chunk)
{
    struct loop *loop = arg;
    json_t *shown;
    int status;

    note_usage(loop, chunk);
    status = tool_turn_chunk(&loop->turn, chunk, &shown, loop->e);
    if (status != 0)
        return status;
    if (shown != NULL && !loop->wants_json)
        status = pass_text_apart(loop, shown);
    else if (shown != NULL && json_array_append(loop->held, shown) != 0)
        status = err_set(loop->e, AGW_ENOMEM, "a chunk");
    json_decref(shown);
    return status == 0 ? keep_alive(loop) : status;
}

static int on_completion(void *arg, json_t *completion)
{
    struct loop *loop = arg;

    note_usage(loop, completion);
    return tool_turn_completion(&loop->turn, completion, loop->e);
}

static int on_sent(void *arg)
{
    const struct loop *loop = arg;

    return loop->with->sink->sent(loop->with->sink->arg);
}

/* ---- turns ---- */

static int ask(struct loop *loop)
{
    const struct tool_loop *with = loop->with;
    const struct chat_sink *outer = with->sink;
    struct chat_sink sink = {
        .chunk = on_chunk, .completion = on_completion,
        .tick = outer->tick == NULL ? NULL : on_tick, .tick_ms = outer->tick_ms,
        .sent = outer->sent == NULL ? NULL : on_sent, .watch_fd = outer->watch_fd, .arg = loop};
    struct chat_usage usage;
    int status;

    tool_turn_free(&loop->turn);
    tool_turn_init(&loop->turn, with->box, with->added_max);
    json_array_clear(loop->held);
    loop->spoke = loop->spoke || loop->speaks;
    loop->speaks = false;
    status = with->ask(with->arg, loop->body, &sink, &loop->part, &usage, loop->e);
    hop_usage_add(loop->usage, &usage);
    if (hop_usage_merge(&loop->reported, loop->latest) != 0 && status == 0)
        status = err_set(loop->e, AGW_ENOMEM, "usage");
    json_decref(loop->latest);
    loop->latest = NULL;
    return status;
}

static int outgrown(struct loop *loop)
{
    return err_set_public(loop->e, AGW_EAGENT, NULL,
                          "The tools of the agent '%.100s' have added more to this request than"
                          " a request may have: %zu bytes (limits.body_bytes).",
                          loop->with->agent, loop->with->added_max);
}

/* Text of turns that were not the last is part of the answer, unless that is to be JSON. */
static int keep_text(struct loop *loop)
{
    const struct buf *text = &loop->turn.text;

    if (loop->wants_json || loop->with->streaming || text->length == 0)
        return 0;
    if (loop->before.length > 0)
        buf_puts(&loop->before, TOOL_TURN_GAP);
    return buf_append(&loop->before, text->data, text->length);
}

static int add_turn(struct loop *loop)
{
    const struct tool_turn *turn = &loop->turn;
    json_t *messages = json_object_get(loop->body, "messages");
    size_t bytes = turn->text.length + turn->reasoning.length;

    if (turn->text.failed || turn->reasoning.failed || keep_text(loop) != 0)
        return outgrown(loop);
    for (size_t i = 0; i < turn->count; i++)
        bytes += turn->calls[i].arguments.length;
    loop->added += bytes;
    if (loop->added > loop->with->added_max)
        return outgrown(loop);
    if (json_array_append_new(messages, tool_turn_message(turn)) != 0)
        return err_set(loop->e, AGW_ENOMEM, "calling tools");
    return 0;
}

static int call_tools(struct loop *loop)
{
    struct tool_round round = {
        .call = loop->with->call, .arg = loop->with->arg, .sink = loop->with->sink,
        .quiet_since_ms = &loop->quiet_since_ms, .deadline_ms = loop->part.deadline_ms,
        .in_turn = json_is_false(json_object_get(loop->body, "parallel_tool_calls"))};
    int status;

    if (loop->with->hops != NULL) {
        loop->with->hops->rounds++;
        loop->with->hops->calls += (int)loop->turn.count;
    }
    status = tool_round_run(&round, &loop->turn, json_object_get(loop->body, "messages"),
                            &loop->added, loop->e);
    return status == 0 && loop->added > loop->with->added_max ? outgrown(loop) : status;
}

/* A choice that forces a call is obeyed once: forced in every turn the model could never
 * answer. */
static int relax_choice(struct loop *loop)
{
    json_t *choice = json_object_get(loop->body, "tool_choice"), *copy, *allowed;
    const char *word = json_string_value(choice);
    int status;

    if (choice == NULL || (word != NULL && strcmp(word, "required") != 0))
        return 0;
    allowed = json_object_get(choice, "allowed_tools");
    if (!json_is_object(allowed))
        return json_object_set_new(loop->body, "tool_choice", json_string("auto"));
    copy = json_deep_copy(choice);
    status = json_object_set_new(json_object_get(copy, "allowed_tools"), "mode",
                                 json_string("auto"));
    if (status == 0)
        status = json_object_set(loop->body, "tool_choice", copy);
    json_decref(copy);
    return status;
}

/* ---- the answer ---- */

static int finish_stream(struct loop *loop)
{
    json_t *chunk;
    size_t i;
    int status = 0;

    json_array_foreach(loop->held, i, chunk)
        if (status == 0)
            status = pass(loop, chunk);
    if (status == 0)
        status = pass_owned(loop, tool_turn_last_chunk(&loop->turn));
    if (status == 0 && loop->reported != NULL)
        status = pass_owned(loop,
                            json_pack("{s:[],s:O}", "choices", "usage", loop->reported));
    return status;
}

static int finish_whole(struct loop *loop)
{
    json_t *answer = tool_turn_answer(&loop->turn, &loop->before);
    int status;

    if (answer == NULL ||
        (loop->reported != NULL && json_object_set(answer, "usage", loop->reported) != 0))
        status = err_set(loop->e, AGW_ENOMEM, "an answer");
    else
        status = loop->with->sink->completion(loop->with->sink->arg, answer);
    json_decref(answer);
    return status;
}

static int next_turn(struct loop *loop, int rounds, bool *goes_on)
{
    const struct tool_loop *with = loop->with;
    int status = ask(loop);

    if (status == 0)
        status = tool_turn_settle(&loop->turn, goes_on, loop->e);
    if (status != 0 || !*goes_on)
        return status;
    if (rounds == with->max_rounds)
        return err_set_public(loop->e, AGW_EAGENT, NULL,
                              "The agent '%.100s' wanted more rounds of tool calls than it may"
                              " have in one request: %d (max_tool_hops).",
                              with->agent, with->max_rounds);
    status = add_turn(loop);
    if (status == 0)
        status = call_tools(loop);
    if (status == 0 && relax_choice(loop) != 0)
        status = err_set(loop->e, AGW_ENOMEM, "calling tools");
    if (status == 0 && with->turned != NULL)
        status = with->turned(with->arg, loop->body, loop->e);
    return status;
}

static bool wants_json(const json_t *body)
{
    const char *type =
        json_string_value(json_object_get(json_object_get(body, "response_format"), "type"));

    return type != NULL && strcmp(type, "text") != 0;
}

int tool_loop_run(const struct tool_loop *with, json_t *body, struct chat_usage *usage,
                  struct err *e)
{
    struct loop loop = {.with = with, .body = body, .usage = usage, .e = e,
                        .wants_json = wants_json(body), .held = json_array(),
                        .quiet_since_ms = clock_mono_ms()};
    bool goes_on = true;
    int status = 0;

    *usage = (struct chat_usage){.prompt_tokens = -1, .completion_tokens = -1};
    buf_init(&loop.before, with->added_max);
    tool_turn_init(&loop.turn, with->box, with->added_max);
    if (loop.held == NULL)
        status = err_set(e, AGW_ENOMEM, "a request with tools");
    for (int rounds = 0; status == 0 && goes_on; rounds++)
        status = next_turn(&loop, rounds, &goes_on);
    if (status == 0)
        status = with->streaming ? finish_stream(&loop) : finish_whole(&loop);
    tool_turn_free(&loop.turn);
    buf_free(&loop.before);
    json_decref(loop.held);
    json_decref(loop.reported);
    return status;
}

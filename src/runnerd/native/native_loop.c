/* SPDX-License-Identifier: MIT */
/* Leads an agent in C from the question to the answer. */
#include "runnerd/native/native_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/run_declarative.h"
#include "agent/tool_loop.h"
#include "runnerd/native/native_calls.h"
#include "util/json_limits.h"
#include "util/json_memory.h"

enum { ADDED_MAX = 8 << 20, BAD_REQUEST = 400, SERVER_ERROR = 500 };

struct loop {
    struct agw_run *run;
    const struct descriptor *now;  /* whose turn it is */
    const struct descriptor *next; /* who takes over after this round; under the run's lock */
    int depth;
    bool streaming;                /* the client sees what comes */
    bool has_instructions;         /* the first message is the agent's */
    struct native_answer *answer;
};

void native_answer_init(struct native_answer *answer)
{
    *answer = (struct native_answer){0};
    buf_init(&answer->text, WIRE_LINE_MAX / 2);
    buf_init(&answer->refusal, WIRE_LINE_MAX / 2);
}

void native_answer_free(struct native_answer *answer)
{
    buf_free(&answer->text);
    buf_free(&answer->refusal);
}

/* ---- guardrails ---- */

static int guard(struct agw_run *run, const struct descriptor *d,
                 const struct agw_guardrail *guardrail, int depth, const char *text,
                 const char *class, struct err *e)
{
    struct agw_text why = {0};
    struct native_visit visit;
    int code;

    buf_init(&why.buf, NATIVE_TEXT_MAX);
    native_visit_begin(run, d, depth, &visit);
    code = guardrail->check(run, text, &why);
    native_visit_end(&visit);
    if (code != AGW_DONE)
        native_run_log(run, "warning", "the guardrail %s says: %s", guardrail->name,
                       buf_text(&why.buf));
    buf_free(&why.buf);
    if (atomic_load(&run->cancelled))
        return err_set(e, AGW_EGONE, "the run is cancelled");
    if (code == AGW_DONE)
        return 0;
    if (code == AGW_STOP) {
        native_run_fail(run, 0, class, BAD_REQUEST, "content_filter",
                        "the %s guardrail '%s' has stopped this request",
                        class[0] == 'i' ? "input" : "output", guardrail->name);
        return err_set(e, AGW_EGUARDRAIL, "the guardrail %s", guardrail->name);
    }
    if (code != AGW_FAILED || run->failure.class[0] == '\0')
        native_run_fail(run, 0, "internal", SERVER_ERROR, "agent_error",
                        "a guardrail of the agent failed");
    return err_set(e, AGW_EAGENT, "the guardrail %s failed", guardrail->name);
}

int native_loop_guard(struct agw_run *run, const struct descriptor *d,
                      const struct agw_guardrail *guardrails, int depth, const char *text,
                      const char *class, struct err *e)
{
    int status = 0;

    for (size_t i = 0; guardrails != NULL && guardrails[i].name != NULL && status == 0; i++)
        status = guard(run, d, &guardrails[i], depth, text, class, e);
    return status;
}

/* ---- the request for the model ---- */

static int define_gateway_tools(const struct loop *loop, json_t *definitions)
{
    const char *const *names = loop->now->agent->gateway_tools;
    int bad = 0;

    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        json_t *tool = json_object_get(loop->run->gateway_tools, names[i]);
        char *function = tool_function_name(names[i]);

        if (tool == NULL)
            native_run_log(loop->run, "warning", "the gateway has no tool '%s' for this request",
                           names[i]);
        else
            bad |= json_array_append_new(
                definitions, json_pack("{s:s,s:{s:s?,s:O*,s:O*}}", "type", "function", "function",
                                       "name", function, "description",
                                       json_object_get(tool, "description"), "parameters",
                                       json_object_get(tool, "parameters")));
        free(function);
    }
    return bad;
}

static int define_handoffs(const struct loop *loop, json_t *definitions)
{
    const struct agw_agent *const *handoffs = loop->now->agent->handoffs;
    int bad = 0;

    for (size_t i = 0; handoffs != NULL && handoffs[i] != NULL; i++) {
        const char *when = handoffs[i]->handoff_description;
        char name[DESCRIPTOR_HANDOFF_SIZE], text[2000];

        descriptor_handoff(handoffs[i], name);
        snprintf(text, sizeof text, "Handoff to the %s agent to handle the request. %s",
                 handoffs[i]->name, when == NULL ? "" : when);
        bad |= json_array_append_new(
            definitions, json_pack("{s:s,s:{s:s,s:s,s:{s:s,s:{},s:b}}}", "type", "function",
                                   "function", "name", name, "description", text, "parameters",
                                   "type", "object", "properties", "additionalProperties", 0));
    }
    return bad;
}

/* Descriptors are shared by threads, so what is of them is copied. New reference or NULL. */
static json_t *definitions(const struct loop *loop)
{
    json_t *all = json_array();
    int bad = 0;

    for (size_t i = 0; i < loop->now->tool_count; i++)
        bad |= json_array_append_new(all, json_deep_copy(loop->now->tools[i].definition));
    bad |= define_gateway_tools(loop, all);
    bad |= define_handoffs(loop, all);
    if (bad == 0)
        return all;
    json_decref(all);
    return NULL;
}

/* *text: malloc'ed, NULL = none. */
static int instructions(const struct loop *loop, char **text, struct err *e)
{
    const struct agw_agent *agent = loop->now->agent;
    struct agw_text written = {0};
    struct native_visit visit;
    int code;

    *text = NULL;
    if (agent->instruct == NULL) {
        *text = agent->instructions == NULL ? NULL : strdup(agent->instructions);
        return agent->instructions != NULL && *text == NULL ? AGW_ENOMEM : 0;
    }
    buf_init(&written.buf, NATIVE_TEXT_MAX);
    native_visit_begin(loop->run, loop->now, loop->depth, &visit);
    code = agent->instruct(loop->run, &written);
    native_visit_end(&visit);
    if (code == AGW_DONE && written.buf.length > 0) {
        *text = buf_take(&written.buf);
        return *text == NULL ? err_set(e, AGW_ENOMEM, "instructions") : 0;
    }
    if (code != AGW_DONE) {
        native_run_log(loop->run, "error", "instruct() of %s failed: %s", agent->name,
                       buf_text(&written.buf));
        native_run_fail(loop->run, 0, "internal", SERVER_ERROR, "agent_error",
                        "the agent's instructions could not be made");
    }
    buf_free(&written.buf);
    return code == AGW_DONE ? 0 : err_set(e, AGW_EAGENT, "no instructions");
}

/* As that of an agent of agents.yaml whose client sent this. */
static json_t *make_body(struct loop *loop, const json_t *messages, const char *text)
{
    const struct descriptor *d = loop->now;
    struct config_agent spec = {.model = loop->run->model, .instructions = text,
                                .metadata = d->settings};
    json_t *request = loop->depth == 0 ? json_copy(loop->run->params) : json_object();
    json_t *tools = definitions(loop), *body = NULL;

    if (tools != NULL && json_object_set(request, "messages", (json_t *)messages) == 0 &&
        (d->response_format == NULL ||
         json_object_set_new(request, "response_format",
                             json_deep_copy(d->response_format)) == 0) &&
        (!loop->streaming ||
         json_object_set_new(request, "stream_options", json_pack("{s:b}", "include_usage", 1)) ==
             0))
        body = run_declarative_body(&spec, request, tools, loop->streaming);
    json_decref(request);
    json_decref(tools);
    return body;
}

static int build(struct loop *loop, const json_t *messages, json_t **body, struct err *e)
{
    char *text;
    int status = instructions(loop, &text, e);

    if (status != 0)
        return status;
    loop->has_instructions = text != NULL;
    *body = make_body(loop, messages, text);
    free(text);
    return *body == NULL ? err_set(e, AGW_ENOMEM, "a request for the model") : 0;
}

/* ---- calls ---- */

static const struct agw_agent *handoff_of(const struct descriptor *d, const char *function)
{
    const struct agw_agent *const *handoffs = d->agent->handoffs;

    for (size_t i = 0; handoffs != NULL && handoffs[i] != NULL; i++) {
        char name[DESCRIPTOR_HANDOFF_SIZE];

        descriptor_handoff(handoffs[i], name);
        if (strcmp(name, function) == 0)
            return handoffs[i];
    }
    return NULL;
}

/* The first one counts. What models are told is what the agents SDKs say. */
static int hand_over(struct loop *loop, const struct agw_agent *to, struct tool_result *result,
                     struct err *e)
{
    json_t *problems = json_array(), *said;
    const struct descriptor *d = native_module_find(loop->run->module, to, problems);
    bool first;
    char *text;
    int status;

    json_decref(problems);
    pthread_mutex_lock(&loop->run->lock);
    first = loop->next == NULL;
    if (first)
        loop->next = d;
    pthread_mutex_unlock(&loop->run->lock);
    if (!first)
        return tool_result_say(result, TOOL_OK, "Multiple handoffs detected, ignoring this one.")
                   ? 0 : err_set(e, AGW_ENOMEM, "a handoff");
    said = json_pack("{s:s}", "assistant", to->name);
    text = json_dumps(said, 0);
    json_decref(said);
    status = text != NULL && tool_result_say(result, TOOL_OK, "%s", text)
                 ? 0 : err_set(e, AGW_ENOMEM, "a handoff");
    json_memory_free(text);
    return status;
}

/* The gateway's tool that models call `function`, or NULL. */
static const char *gateway_tool(const struct loop *loop, const char *function)
{
    const char *const *names = loop->now->agent->gateway_tools, *found = NULL;

    for (size_t i = 0; names != NULL && names[i] != NULL && found == NULL; i++) {
        char *name = tool_function_name(names[i]);

        if (name != NULL && strcmp(name, function) == 0 &&
            json_object_get(loop->run->gateway_tools, names[i]) != NULL)
            found = names[i];
        free(name);
    }
    return found;
}

static int on_call(void *arg, const struct turn_call *call, int64_t deadline_ms,
                   struct tool_result *result, struct err *e)
{
    struct loop *loop = arg;
    const char *name = turn_call_name(call);
    const json_t *arguments =
        json_object_get(json_object_get(call->value, "function"), "arguments");
    struct native_tool_call own = {
        .descriptor = loop->now, .tool = descriptor_tool(loop->now, name), .depth = loop->depth,
        .call_id = turn_call_id(call),
        .arguments = json_string_length(arguments) == 0 ? "" : json_string_value(arguments),
        .arguments_length = json_string_length(arguments)};
    const struct agw_agent *to = handoff_of(loop->now, name);
    const char *of_gateway = gateway_tool(loop, name);

    (void)deadline_ms;
    if (own.tool != NULL)
        return native_calls_own(loop->run, &own, result, e);
    if (to != NULL)
        return hand_over(loop, to, result, e);
    if (of_gateway != NULL)
        return native_calls_gateway(loop->run, of_gateway, own.call_id, own.arguments, result, e);
    return tool_result_unknown(result, name) ? 0 : err_set(e, AGW_ENOMEM, "a call of a tool");
}

static int on_turned(void *arg, json_t *body, struct err *e)
{
    struct loop *loop = arg;
    json_t *messages, *fresh = NULL;
    int status;

    if (loop->next == NULL)
        return 0;
    messages = json_copy(json_object_get(body, "messages"));
    if (loop->has_instructions)
        json_array_remove(messages, 0);
    loop->now = loop->next;
    loop->next = NULL;
    status = build(loop, messages, &fresh, e);
    json_decref(messages);
    if (status == 0 && (json_object_clear(body) != 0 || json_object_update(body, fresh) != 0))
        status = err_set(e, AGW_ENOMEM, "a handoff");
    json_decref(fresh);
    return status;
}

/* ---- the answer ---- */

static int on_ask(void *arg, json_t *body, const struct chat_sink *sink, struct chat_part *part,
                  struct chat_usage *usage, struct err *e)
{
    const struct loop *loop = arg;

    part->deadline_ms = INT64_MAX; /* the gateway sees to it */
    return native_calls_model(loop->run, body, loop->depth == 0, sink, usage, e);
}

static void keep(struct buf *text, const json_t *said)
{
    if (json_is_string(said))
        buf_append(text, json_string_value(said), json_string_length(said));
}

static void keep_finish(struct loop *loop, const json_t *choice)
{
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));

    if (reason != NULL)
        snprintf(loop->answer->finish_reason, sizeof loop->answer->finish_reason, "%s", reason);
}

static int pass(const struct loop *loop, const char *field, const json_t *delta)
{
    const json_t *text = json_object_get(delta, field);
    struct err e;

    return native_run_delta(loop->run, field,
                            json_is_string(text) ? json_string_value(text) : "",
                            json_string_length(text), &e);
}

static int on_chunk(void *arg, json_t *chunk)
{
    struct loop *loop = arg;
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta");
    int status = 0;

    keep_finish(loop, choice);
    keep(&loop->answer->text, json_object_get(delta, "content"));
    keep(&loop->answer->refusal, json_object_get(delta, "refusal"));
    if (loop->now->output == NULL) /* what has to fit is looked at first */
        status = pass(loop, "content", delta);
    if (status == 0)
        status = pass(loop, "reasoning_content", delta);
    return status == 0 ? pass(loop, "refusal", delta) : status;
}

static int on_completion(void *arg, json_t *completion)
{
    struct loop *loop = arg;
    const json_t *choice = json_array_get(json_object_get(completion, "choices"), 0);
    const json_t *message = json_object_get(choice, "message");

    keep_finish(loop, choice);
    keep(&loop->answer->text, json_object_get(message, "content"));
    keep(&loop->answer->refusal, json_object_get(message, "refusal"));
    return 0;
}

static int misfit(struct agw_run *run, const char *where, const char *what, struct err *e)
{
    native_run_fail(run, 0, "model_behavior", SERVER_ERROR, "model_behavior",
                    "the model's answer does not fit: %s%s%s", where, where[0] == '\0' ? "" : " ",
                    what);
    return err_set(e, AGW_EAGENT, "the model's answer does not fit");
}

static int check_output(const struct loop *loop, struct err *e)
{
    const struct buf *text = &loop->answer->text;
    struct json_schema_problem problem;
    struct err why = {0};
    json_t *value;
    int status;

    if (loop->now->output == NULL || loop->answer->refusal.length > 0)
        return 0;
    if (json_limits_parse(buf_text(text), text->length, &json_limits_default, &value, &why) != 0)
        return misfit(loop->run, "", why.message, e);
    status = json_schema_fits(loop->now->output, value, &problem)
                 ? 0 : misfit(loop->run, problem.pointer, problem.message, e);
    json_decref(value);
    if (status == 0 && loop->streaming)
        status = native_run_delta(loop->run, "content", text->data, text->length, e);
    return status;
}

static int finish(const struct loop *loop, struct err *e)
{
    int status = check_output(loop, e);

    if (loop->answer->text.failed || loop->answer->refusal.failed)
        return err_set(e, AGW_EAGENT, "the answer is too long");
    return status != 0 ? status
                       : native_loop_guard(loop->run, loop->now,
                                           loop->now->agent->output_guardrails, loop->depth,
                                           buf_text(&loop->answer->text), "output_guardrail", e);
}

/* ---- the whole ---- */

static int run_loop(struct loop *loop, json_t *body, struct err *e)
{
    struct toolbox none = {0}; /* all calls are for on_call() */
    struct agent_hops hops = {0};
    struct chat_sink sink = {.chunk = on_chunk, .completion = on_completion, .watch_fd = -1,
                             .arg = loop};
    int64_t turns = json_integer_value(json_object_get(loop->run->start, "max_turns"));
    int rounds = loop->now->agent->max_tool_rounds;
    struct tool_loop with = {
        .agent = loop->now->agent->name, .max_rounds = rounds == 0 ? DESCRIPTOR_ROUNDS : rounds,
        .added_max = ADDED_MAX, .streaming = loop->streaming, .box = &none, .sink = &sink,
        .hops = &hops, .ask = on_ask, .call = on_call, .turned = on_turned, .arg = loop};
    struct chat_usage usage;
    int status;

    if (turns > 0 && with.max_rounds > turns - 1)
        with.max_rounds = (int)turns - 1;
    status = tool_loop_run(&with, body, &usage, e);
    if (status == AGW_EAGENT && e->is_public) /* the loop's own words */
        native_run_fail(loop->run, 0, hops.rounds >= with.max_rounds ? "max_turns" : "internal",
                        SERVER_ERROR, hops.rounds >= with.max_rounds ? "max_turns" : "agent_error",
                        "%s", e->message);
    return status;
}

int native_loop_run(struct agw_run *run, const struct descriptor *d, const json_t *messages,
                    int depth, struct native_answer *answer, struct err *e)
{
    struct loop loop = {.run = run, .now = d, .depth = depth, .answer = answer,
                        .streaming = run->streaming && depth == 0};
    json_t *body = NULL;
    int status = native_loop_guard(run, d, d->agent->input_guardrails, depth, run->input_text,
                                   "input_guardrail", e);

    if (status == 0)
        status = build(&loop, messages, &body, e);
    if (status == 0)
        status = run_loop(&loop, body, e);
    if (status == 0)
        status = finish(&loop, e);
    json_decref(body);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* The thread of a run: from run.start to run.done or run.error. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runnerd/native/native_loop.h"
#include "tools/tool.h"

enum { BAD_REQUEST = 400, CLIENT_GONE = 499, SERVER_ERROR = 500, LATE = 504 };

/* ---- code that answers itself ---- */

static int too_long(struct agw_run *run, struct err *e)
{
    native_run_fail(run, 0, "internal", SERVER_ERROR, "agent_error",
                    "the agent's answer is too long");
    return err_set(e, AGW_EAGENT, "the answer is too long");
}

static int own_failure(struct agw_run *run, int code, const struct agw_text *text, struct err *e)
{
    if (code == AGW_CANCELLED || atomic_load(&run->cancelled))
        return err_set(e, AGW_EGONE, "the run is cancelled");
    if (text->buf.failed || run->said.failed) /* it was told so, and gave up */
        return too_long(run, e);
    if (code == AGW_FAILED && run->failure.class[0] != '\0')
        return err_set(e, AGW_EUPSTREAM, "run() gave up");
    native_run_log(run, "error", "run() of the agent failed%s%s",
                   text->buf.length == 0 ? "" : ": ", buf_text(&text->buf));
    native_run_fail(run, 0, "internal", SERVER_ERROR, "agent_error", "the agent failed");
    return err_set(e, AGW_EAGENT, "run() failed");
}

static int take_own(struct agw_run *run, const struct agw_text *text, struct native_answer *answer,
                    struct err *e)
{
    int status = 0;

    if (text->buf.failed || run->said.failed ||
        buf_append(&answer->text, buf_text(&run->said), run->said.length) != 0 ||
        buf_append(&answer->text, buf_text(&text->buf), text->buf.length) != 0 ||
        buf_append(&answer->refusal, buf_text(&run->refused), run->refused.length) != 0)
        return too_long(run, e);
    if (run->streaming)
        status = native_run_delta(run, "content", buf_text(&text->buf), text->buf.length, e);
    return status;
}

static int answer_own(struct agw_run *run, const struct descriptor *d,
                      struct native_answer *answer, struct err *e)
{
    struct agw_text text = {0};
    struct native_visit visit;
    int code, status = native_loop_guard(run, d, d->agent->input_guardrails, 0, run->input_text,
                                         "input_guardrail", e);

    if (status != 0)
        return status;
    buf_init(&text.buf, NATIVE_TEXT_MAX);
    native_visit_begin(run, d, 0, &visit);
    code = d->agent->run(run, &text);
    native_visit_end(&visit);
    status = code == AGW_DONE ? take_own(run, &text, answer, e) : own_failure(run, code, &text, e);
    buf_free(&text.buf);
    if (status == 0)
        status = native_loop_guard(run, d, d->agent->output_guardrails, 0,
                                   buf_text(&answer->text), "output_guardrail", e);
    return status;
}

/* ---- the end ---- */

static json_t *text_of(const struct buf *text)
{
    json_t *value = json_stringn(buf_text(text), text->length);
    struct tool_result repaired = {0};

    if (value != NULL)
        return value;
    if (tool_result_put(&repaired, TOOL_OK, buf_text(text), text->length, text->max))
        value = json_stringn(repaired.content, repaired.length);
    tool_result_clear(&repaired);
    return value;
}

static json_t *done(struct agw_run *run, const struct native_answer *answer)
{
    const char *reason = answer->finish_reason[0] == '\0' ? "stop" : answer->finish_reason;
    json_t *message = json_pack("{s:s,s:o,s:{s:I,s:I},s:s}", "t", "run.done", "output",
                                text_of(&answer->text), "usage", "prompt_tokens",
                                (json_int_t)run->prompt_tokens, "completion_tokens",
                                (json_int_t)run->completion_tokens, "finish_reason", reason);

    if (answer->refusal.length > 0)
        json_object_set_new(message, "refusal", text_of(&answer->refusal));
    return message;
}

static json_t *cancelled(const struct agw_run *run)
{
    bool late = strcmp(run->reason, "deadline") == 0;

    return json_pack("{s:s,s:s,s:i,s:s,s:s}", "t", "run.error", "class", "cancelled", "status",
                     late ? LATE : CLIENT_GONE, "code", late ? "timeout" : "cancelled", "message",
                     late ? "the agent did not answer in time" : "the run was cancelled");
}

static json_t *error(struct agw_run *run)
{
    const struct native_failure *f = &run->failure;
    bool known = f->class[0] != '\0';
    json_t *message =
        json_pack("{s:s,s:s,s:i,s:s?,s:s,s:{s:I,s:I}}", "t", "run.error", "class",
                  known ? f->class : "internal", "status", known ? f->status : SERVER_ERROR,
                  "code", !known ? "agent_error" : f->code[0] == '\0' ? NULL : f->code, "message",
                  known ? f->message : "the agent failed", "usage", "prompt_tokens",
                  (json_int_t)run->prompt_tokens, "completion_tokens",
                  (json_int_t)run->completion_tokens);

    if (f->retry_after >= 0)
        json_object_set_new(message, "retry_after", json_real(f->retry_after));
    if (f->param[0] != '\0')
        json_object_set_new(message, "param", json_string(f->param));
    return message;
}

/* ---- the whole ---- */

/* An agent gives one answer. */
static int check_request(struct agw_run *run, struct err *e)
{
    json_t *n = json_object_get(json_object_get(run->start, "params"), "n");

    if (n == NULL || json_is_null(n) || json_integer_value(n) == 1)
        return 0;
    native_run_fail(run, 0, "user_error", BAD_REQUEST, "unsupported_value",
                    "an agent gives one answer: n must be 1");
    snprintf(run->failure.param, sizeof run->failure.param, "n");
    return err_set(e, AGW_EINVALID, "n");
}

static int answer(struct agw_run *run, struct native_answer *to, struct err *e)
{
    const struct descriptor *d = native_module_export(run->module, run->attr);

    if (d == NULL) {
        native_run_fail(run, 0, "internal", SERVER_ERROR, "agent_error",
                        "the module has no agent of this name");
        return err_set(e, AGW_EAGENT, "no agent %s", run->attr);
    }
    if (run->input_text == NULL || run->messages_text == NULL)
        return err_set(e, AGW_ENOMEM, "a run");
    return d->agent->run == NULL ? native_loop_run(run, d, run->messages, 0, to, e)
                                 : answer_own(run, d, to, e);
}

void native_serve(void *arg)
{
    struct agw_run *run = arg;
    struct native_answer to;
    struct err e = {0};
    uint64_t one = 1;
    ssize_t written;
    int status, wake_fd = run->wake_fd;

    native_answer_init(&to);
    status = check_request(run, &e);
    if (status == 0)
        status = answer(run, &to, &e);
    if (status != 0 && run->failure.class[0] == '\0' && !atomic_load(&run->cancelled))
        native_run_log(run, "error", "%s", e.message);
    native_run_send(run, atomic_load(&run->cancelled) ? cancelled(run)
                         : status == 0                ? done(run, &to)
                                                      : error(run), &e);
    native_answer_free(&to);
    atomic_store(&run->finished, true); /* from here on the run is the main thread's */
    written = write(wake_fd, &one, sizeof one);
    (void)written;
}

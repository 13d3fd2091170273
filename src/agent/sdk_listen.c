/* SPDX-License-Identifier: MIT */
/* Listens to a module while it answers a request. */
#include <stdio.h>
#include <string.h>

#include "agent/sdk_run.h"
#include "util/clock.h"
#include "util/log.h"

enum {
    LOOK_MS = 250,        /* between two looks at what threads found */
    LOG_LINES_MAX = 100, LOG_TEXT_MAX = 2000
};

/* The run as the request's thread sees it. */
struct listener {
    struct sdk_run *r;
    struct err *e;
    struct sdk_answer answer;
    int silent_ms;        /* waited so long for the next line: what a busy machine or a slow
                             client takes does not count */
    int messages;
    bool greeted, done;
    int log_lines;
};

static const char *agent_id(const struct listener *l)
{
    return l->r->run->agent->spec->id;
}

/* ---- messages ---- */

static void on_log(struct listener *l, const json_t *message)
{
    const char *text = json_string_value(json_object_get(message, "message"));
    const char *level = sdk_call_text(message, "level");
    bool bad = strcmp(level, "error") == 0 || strcmp(level, "warning") == 0;
    char shown[LOG_TEXT_MAX + 1];
    struct log_line line;

    if (text == NULL || l->log_lines++ >= LOG_LINES_MAX)
        return;
    snprintf(shown, sizeof shown, "%s", text);
    log_begin(&line, bad ? LOG_WARN : LOG_INFO, "sdk_agent.log");
    log_str(&line, "request_id", l->r->run->request_id);
    log_str(&line, "agent", agent_id(l));
    log_str(&line, "message", shown);
    log_end(&line);
}

/* The module's process broke the rules of the wire. */
static int violation(struct listener *l, const char *what)
{
    err_set(l->e, AGW_EAGENT, "the process of %s %s", agent_id(l), what);
    l->e->status = SDK_CRASH;
    return AGW_EAGENT;
}

static int on_hello(struct listener *l, const json_t *message)
{
    if (json_integer_value(json_object_get(message, "v")) != WIRE_VERSION)
        return violation(l, "speaks another version of the wire");
    l->greeted = true;
    return 0;
}

static int finish(struct listener *l, const json_t *message)
{
    l->done = true;
    return sdk_answer_done(&l->answer, message);
}

/* A turn that calls the client's tools may have no answer in it, and what the module wanted was
 * one: neither its complaint nor another turn is of interest. */
static bool is_handed_over(struct listener *l, const char *type, const json_t *message)
{
    if (strcmp(type, "llm.request") == 0)
        return sdk_handover_takes(l->r, message) && sdk_handover_calls(l->r) != NULL;
    return strcmp(type, "run.error") == 0 &&
           strcmp(sdk_call_text(message, "class"), "model_behavior") == 0 &&
           sdk_handover_calls(l->r) != NULL;
}

static int on_error(struct listener *l, const json_t *message)
{
    int status = sdk_error(l->r, message, l->e);

    if (status != AGW_EGUARDRAIL || l->answer.text == 0)
        return status;
    l->done = true;
    return sdk_answer_filtered(&l->answer);
}

static bool asks(const char *type)
{
    return strcmp(type, "llm.request") == 0 || strcmp(type, "tool.call") == 0 ||
           strcmp(type, "tool.check") == 0;
}

static int obey(struct listener *l, const char *type, const json_t *message)
{
    if (strcmp(type, "hello") == 0)
        return on_hello(l, message);
    if (!l->greeted)
        return violation(l, "does not begin with hello");
    if (strcmp(type, "delta") == 0)
        return sdk_answer_delta(&l->answer, message);
    if (is_handed_over(l, type, message))
        return finish(l, NULL);
    if (strcmp(type, "run.error") == 0)
        return on_error(l, message);
    if (strcmp(type, "run.done") == 0)
        return finish(l, message);
    if (strcmp(type, "tool.done") == 0)
        sdk_tools_done(l->r, message);
    else if (strcmp(type, "llm.cancel") == 0)
        sdk_calls_cancel(l->r, message);
    else if (strcmp(type, "log") == 0)
        on_log(l, message);
    return 0;
}

/* Takes `message` over. */
static int handle(struct listener *l, json_t *message)
{
    const char *type = wire_type(message);
    int status;

    if (++l->messages > SDK_MESSAGES_MAX ||
        session_received(&l->r->session) > SDK_BYTES_MAX) {
        json_decref(message);
        return violation(l, "says more than a run may");
    }
    if (l->greeted && asks(type) && !is_handed_over(l, type, message)) {
        sdk_calls_begin(l->r, message);
        return 0;
    }
    status = obey(l, type, message);
    json_decref(message);
    return status;
}

/* ---- when nothing comes ---- */

static int crashed(struct listener *l, int status)
{
    if (status == AGW_ENOMEM)
        return status;
    if (status == AGW_EGONE)
        err_set_public(l->e, AGW_EAGENT, NULL, "The process of the agent '%.100s' has ended.",
                       agent_id(l));
    else
        err_set(l->e, AGW_EAGENT, "the process of %s: %s", agent_id(l), l->e->message);
    l->e->status = SDK_CRASH;
    return AGW_EAGENT;
}

static int hung(struct listener *l)
{
    link_report_hang(l->r->run->link, agent_id(l), l->r->process);
    return err_set_public(l->e, AGW_ETIMEOUT, NULL, "The agent '%.100s' does not answer.",
                          agent_id(l));
}

/* What keeps the run from going on, whatever the module says. */
static int look_around(struct listener *l)
{
    struct sdk_run *r = l->r;
    int code;

    pthread_mutex_lock(&r->lock);
    code = r->broken.code;
    if (code != 0)
        *l->e = r->broken;
    pthread_mutex_unlock(&r->lock);
    if (code != 0)
        return code;
    if (clock_mono_ms() >= r->deadline_ms)
        return err_set_public(l->e, AGW_ETIMEOUT, NULL,
                              "The agent '%.100s' did not answer in time.", agent_id(l));
    return l->silent_ms > SDK_HANG_MS ? hung(l) : sdk_answer_tick(&l->answer);
}

static int listen_once(struct listener *l)
{
    struct sdk_run *r = l->r;
    json_t *message = NULL;
    int got = session_receive(&r->session, r->run->sink->watch_fd, clock_mono_ms() + LOOK_MS,
                              &message, l->e);

    if (got == SESSION_LEFT)
        return err_set(l->e, AGW_EGONE, "the client hung up while %s ran", agent_id(l));
    if (got < 0)
        return crashed(l, got);
    if (got == SESSION_MESSAGE) {
        l->silent_ms = 0;
        return handle(l, message);
    }
    l->silent_ms += LOOK_MS;
    return 0;
}

int sdk_listen(struct sdk_run *r, bool *heard, struct err *e)
{
    struct listener l = {.r = r, .e = e,
                         .answer = {.r = r, .e = e, .quiet_since_ms = clock_mono_ms()}};
    int status = 0;

    while (status == 0 && !l.done) {
        status = listen_once(&l);
        *heard = l.messages > 0;
        if (status == 0 && !l.done)
            status = look_around(&l);
    }
    return status;
}

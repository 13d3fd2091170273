/* SPDX-License-Identifier: MIT */
/* Lets callers call tools: policy, arguments, trail, metrics and log are here, for every tool. */
#include "tools/invoke.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/decide_tool.h"
#include "store/metrics.h"
#include "tools/arguments.h"
#include "tools/source.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/json_text.h"
#include "util/log.h"

enum { SHOWN_MAX = 1024, NAME_MAX_SHOWN = 100, NAME_SHOWN_MAX = 200 };

/* One call on its way. */
struct passage {
    const struct invoke_caller *caller;
    const struct invoke_request *request;
    struct tool *tool;          /* NULL: there is none of this name */
    const struct invoke_own_request *own; /* the agent's module runs it itself; else NULL */
    const char *name;
    char shown[NAME_SHOWN_MAX + 1]; /* of one that models and modules make up; see shown_name() */
    struct decision decision;
    bool decided;
    json_t *arguments;
    int64_t number;             /* ties the two audit rows of a call */
    struct audit_ticket *ticket;
    struct tool_result *result;
    int64_t began_us;
};

static const char *rule_text(const struct decision *d, char text[512])
{
    if (d->place.file == NULL)
        return NULL;
    if (d->place.line == 0)
        return d->place.file;
    snprintf(text, 512, "%s:%d", d->place.file, d->place.line);
    return text;
}

static const char *provider_of(const struct passage *p)
{
    return p->own != NULL ? "module" : p->tool == NULL ? NULL : p->tool->provider;
}

/* ---- trail ---- */

/* Whoever makes names up can make them long: trail and log do not grow with them. */
static const char *shown_name(char shown[NAME_SHOWN_MAX + 1], const char *name)
{
    snprintf(shown, NAME_SHOWN_MAX + 1, "%s", name);
    json_text_repair(shown);
    return shown;
}

static json_t *detail_json(const struct passage *p)
{
    char rule[512];
    const struct decision *d = &p->decision;
    char call_id[NAME_SHOWN_MAX + 1];
    json_t *detail = json_pack("{s:s,s:I,s:s?,s:s?,s:s}", "tool", p->name, "call",
                               (json_int_t)p->number, "provider",
                               provider_of(p), "call_id",
                               p->request->call_id == NULL
                                   ? NULL : shown_name(call_id, p->request->call_id),
                               "caller", p->caller->source);

    if (detail == NULL || !p->decided)
        return detail;
    json_object_set_new(detail, "decision", json_string(d->allowed ? "allow" : "deny"));
    json_object_set_new(detail, "list", json_string(d->steps[d->step_count - 1].rule));
    if (d->pattern != NULL)
        json_object_set_new(detail, "pattern", json_string(d->pattern));
    if (rule_text(d, rule) != NULL)
        json_object_set_new(detail, "rule", json_string(rule_text(d, rule)));
    return detail;
}

struct audit_row invoke_row(const struct invoke_caller *c, const char *kind)
{
    struct audit_row row = audit_row_new(0, kind);

    row.request_id = c->request_id;
    row.request_uid = c->request_uid;
    row.route = c->route;
    row.key_id = c->key == NULL ? NULL : c->key->id;
    row.agent = c->agent;
    row.ns = c->ns;
    row.generation = c->generation;
    return row;
}

/* The row is on disk when this returns 0. `status` NULL: the tool will run, and finish()
 * says how that ended; else that is how the call ended. */
static int record(struct passage *p, const char *status, struct err *e)
{
    json_t *detail = p->caller->audit == NULL ? NULL : detail_json(p);
    struct audit_row row;
    char *text;
    int code;

    if (p->caller->audit == NULL)
        return 0;
    if (status != NULL && detail != NULL)
        json_object_set_new(detail, "status", json_string(status));
    text = detail == NULL ? NULL : json_dumps(detail, JSON_COMPACT);
    json_decref(detail);
    if (text == NULL)
        return err_set(e, AGW_ENOMEM, "recording a call of %s", p->name);
    row = invoke_row(p->caller, "tool");
    row.detail = text;
    if (status != NULL)
        code = audit_close(p->caller->audit, &row, &p->ticket, e);
    else
        code = audit_record(p->caller->audit, &row, &p->ticket, e);
    json_memory_free(text);
    if (code == 0)
        code = audit_wait(p->ticket, e);
    return code;
}

static void finish(struct passage *p, int code)
{
    const char *status = code == 0 ? tool_status_name(p->result->status) : "unrecorded";
    json_t *detail = json_pack("{s:s,s:I,s:s}", "tool", p->name, "call", (json_int_t)p->number,
                               "status", status);
    char *text = detail == NULL ? NULL : json_dumps(detail, JSON_COMPACT);
    struct audit_row row = invoke_row(p->caller, "tool");

    json_decref(detail);
    row.detail = text;
    row.duration_ms = (clock_mono_us() - p->began_us) / 1000;
    audit_finish(p->caller->audit, &p->ticket, &row);
    json_memory_free(text);
}

/* ---- metrics and log ---- */

/* Names that models and modules make up are no labels. */
static void count(const struct passage *p)
{
    const char *provider = provider_of(p);
    bool known = p->own != NULL ? p->own->listed : p->tool != NULL;

    metrics_add(METRIC_TOOL_INVOCATIONS, 1, known ? p->name : "unknown",
                provider == NULL ? "none" : provider, tool_status_name(p->result->status),
                p->caller->source);
    if (p->arguments != NULL || p->result->duration_us > 0)
        metrics_observe_us(METRIC_TOOL_LATENCY, p->result->duration_us);
}

static void log_arguments(struct log_line *line, const struct passage *p)
{
    char shown[SHOWN_MAX + 1];
    size_t length = p->request->arguments == NULL ? 0 : p->request->arguments_length;

    if (p->tool == NULL || !p->tool->config->log_arguments || length == 0)
        return;
    if (length > SHOWN_MAX)
        length = SHOWN_MAX;
    memcpy(shown, p->request->arguments, length);
    shown[length] = '\0';
    log_str(line, "arguments", shown);
}

static void tell(const struct passage *p)
{
    const struct invoke_caller *c = p->caller;
    const struct tool_result *r = p->result;
    struct log_line line;
    char rule[512];

    log_begin(&line, r->status == TOOL_OK ? LOG_INFO : LOG_WARN, "tool.invoke");
    log_str(&line, "request_id", c->request_id);
    log_str(&line, "key_id", c->key == NULL ? NULL : c->key->id);
    log_str(&line, "agent", c->agent);
    log_str(&line, "tool", p->name);
    log_str(&line, "provider", provider_of(p));
    log_str(&line, "source", c->source);
    log_str(&line, "status", tool_status_name(r->status));
    if (p->decided) {
        const struct decision *d = &p->decision;

        log_str(&line, "decision", d->allowed ? "allow" : "deny");
        log_str(&line, "list", d->steps[d->step_count - 1].rule);
        log_str(&line, "pattern", d->pattern);
        log_str(&line, "rule", rule_text(d, rule));
    }
    log_int(&line, "generation", c->generation);
    log_int(&line, "duration_ms", r->duration_us / 1000);
    log_int(&line, "result_bytes", (int64_t)r->length);
    log_arguments(&line, p);
    log_end(&line);
    if (r->status == TOOL_DENIED && c->denied != NULL)
        c->denied(c->denied_arg, p->name);
}

/* ---- the door ---- */

static void find(struct passage *p)
{
    const struct invoke_request *r = p->request;

    if (r->tool != NULL)
        p->tool = tool_acquire(r->tool);
    else if (!r->unknown)
        p->tool = toolset_find(p->caller->toolset, r->name);
    p->name = p->tool != NULL ? p->tool->name : shown_name(p->shown, r->name);
}

static bool decide(const struct invoke_caller *caller, const struct tool *tool,
                   struct decision *decision)
{
    const struct config_tool *config = tool->config;
    struct decide_tool subject = {
        .tool = tool->name,
        .agent = caller->agent == NULL ? "" : caller->agent,
        .command = config->provider == TOOL_LOCAL ? config->command[0] : NULL};

    decide_tool(caller->security, caller->key, &subject, decision);
    return decision->allowed;
}

bool invoke_allows(const struct invoke_caller *caller, const struct tool *tool)
{
    struct decision decision;

    return decide(caller, tool, &decision);
}

static bool is_allowed(struct passage *p)
{
    p->decided = true;
    return decide(p->caller, p->tool, &p->decision);
}

/* What keeps the call from being made is in *result then; false, or an error when memory is
 * out. */
static int check(struct passage *p, bool *may_run, struct err *e)
{
    const struct invoke_request *r = p->request;
    char problem[ARGUMENTS_PROBLEM_SIZE];
    bool said = true;
    int status = 0;

    *may_run = false;
    if (p->tool == NULL)
        said = tool_result_unknown(p->result, p->name);
    else if (!is_allowed(p))
        said = tool_result_say(p->result, TOOL_DENIED,
                               "The tool '%s' is not allowed here by policy.", p->name);
    else if ((status = arguments_parse(p->tool->arguments,
                                       r->arguments == NULL ? "" : r->arguments,
                                       r->arguments == NULL ? 0 : r->arguments_length,
                                       &p->arguments, problem)) == AGW_EINVALID)
        said = tool_result_say(p->result, TOOL_INVALID, "%s", problem);
    else
        *may_run = status == 0;
    if (status == AGW_ENOMEM || !said)
        return err_set(e, AGW_ENOMEM, "checking a call of %.*s", NAME_MAX_SHOWN, p->name);
    return 0;
}

static int64_t deadline(const struct passage *p)
{
    int64_t own = clock_mono_ms() + p->tool->config->timeout_ms;

    return p->request->deadline_ms > 0 && p->request->deadline_ms < own
               ? p->request->deadline_ms
               : own;
}

/* A provider that has run out of memory has no words; the model gets some. */
static int run(struct passage *p, struct err *e)
{
    const struct tool_source *source = p->tool->source;
    struct tool_call call = {.tool = p->tool, .arguments = p->arguments,
                             .call_id = p->request->call_id == NULL ? "" : p->request->call_id,
                             .request_id = p->caller->request_id, .deadline_ms = deadline(p),
                             .max_result = (size_t)p->tool->config->max_result_bytes,
                             .watch_fd = p->caller->watch_fd};
    struct tool_result *r = p->result;
    int64_t before = clock_mono_us();

    if (source->state == NULL)
        tool_result_say(r, TOOL_UNAVAILABLE, "The tool '%s' is not available: %s.", p->name,
                        source->problem);
    else
        source->provider->call(source->state, &call, r);
    r->duration_us = clock_mono_us() - before;
    if (r->content == NULL && r->status != TOOL_CANCELLED &&
        !tool_result_say(r, r->status == TOOL_OK ? TOOL_FAILED : r->status,
                         "The tool '%s' gave no result.", p->name))
        return err_set(e, AGW_ENOMEM, "a call of %s", p->name);
    return 0;
}

static int pass(struct passage *p, struct err *e)
{
    bool may_run;
    int status;

    find(p);
    status = check(p, &may_run, e);
    if (status != 0)
        return status;
    status = record(p, may_run ? NULL : tool_status_name(p->result->status), e);
    if (status == 0 && may_run)
        status = run(p, e);
    if (may_run && p->ticket != NULL)
        finish(p, status);
    if (status == 0) {
        count(p);
        tell(p);
    }
    return status;
}

static int64_t next_number(void)
{
    static _Atomic int64_t calls;

    return atomic_fetch_add(&calls, 1) + 1;
}

int invoke_tool(const struct invoke_caller *caller, const struct invoke_request *request,
                struct tool_result *result, struct err *e)
{
    struct passage p = {.caller = caller, .request = request, .result = result,
                        .number = next_number(), .began_us = clock_mono_us()};
    int status;

    *result = (struct tool_result){0};
    status = pass(&p, e);
    audit_release(&p.ticket);
    json_decref(p.arguments);
    tool_release(&p.tool);
    return status;
}

/* ---- tools that an agent's own module runs ---- */

struct invoke_own {
    struct passage passage;
    struct invoke_own_request own;
    struct invoke_request request;
    struct tool_result result;
};

static bool decide_own(const struct invoke_caller *caller, const char *name, const char *module,
                       struct decision *decision)
{
    struct decide_tool subject = {.tool = name, .command = module,
                                  .agent = caller->agent == NULL ? "" : caller->agent};

    decide_tool(caller->security, caller->key, &subject, decision);
    return decision->allowed;
}

bool invoke_own_allows(const struct invoke_caller *caller, const char *name, const char *module)
{
    struct decision decision;

    return decide_own(caller, name, module, &decision);
}

int invoke_own_begin(const struct invoke_caller *caller, const struct invoke_own_request *request,
                     struct invoke_own **out, struct err *e)
{
    struct invoke_own *own = calloc(1, sizeof *own);
    bool allowed;
    int status;

    *out = NULL;
    if (own == NULL)
        return err_set(e, AGW_ENOMEM, "a call of %.*s", NAME_MAX_SHOWN, request->name);
    own->own = *request;
    own->request.call_id = request->call_id;
    own->passage = (struct passage){.caller = caller, .request = &own->request,
                                    .own = &own->own,
                                    .result = &own->result,
                                    .number = next_number(), .began_us = clock_mono_us(),
                                    .decided = true};
    own->passage.name = shown_name(own->passage.shown, request->name);
    allowed = decide_own(caller, request->name, request->module, &own->passage.decision);
    status = record(&own->passage, allowed ? NULL : tool_status_name(TOOL_DENIED), e);
    if (status == 0) {
        *out = own;
        return 0;
    }
    if (allowed && own->passage.ticket != NULL)
        finish(&own->passage, status);
    audit_release(&own->passage.ticket);
    free(own);
    return status;
}

bool invoke_own_allowed(const struct invoke_own *own)
{
    return own->passage.decision.allowed;
}

void invoke_own_end(struct invoke_own **out, enum tool_status status)
{
    struct invoke_own *own = *out;
    struct passage *p = &own->passage;
    bool ran = p->decision.allowed;

    *out = NULL;
    own->result.status = ran ? status : TOOL_DENIED;
    own->result.duration_us = ran ? clock_mono_us() - p->began_us : 0;
    if (ran && p->ticket != NULL)
        finish(p, 0);
    count(p);
    tell(p);
    audit_release(&p->ticket);
    free(own);
}

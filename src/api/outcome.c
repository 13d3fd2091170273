/* SPDX-License-Identifier: MIT */
/* Says how a request ended, the same everywhere: audit, metrics, log. */
#include "api/outcome.h"

#include <string.h>

#include "api/routes.h"
#include "store/metrics.h"
#include "util/json_memory.h"
#include "util/clock.h"
#include "util/log.h"

static const char *name_of(int status, bool stream_begun)
{
    switch (status) {
    case AGW_OK:
        return "completed";
    case AGW_EGONE:
        return "client_gone";
    case AGW_ENOCRED:
    case AGW_EBADKEY:
    case AGW_EDENIED:
    case AGW_EROLE:
        return "denied";
    case AGW_ERATE:
    case AGW_EQUOTA:
        return "rate_limited";
    case AGW_EINVALID:
    case AGW_EGUARDRAIL:
    case AGW_EMODEL:
    case AGW_ENOROUTE:
    case AGW_ENOTFOUND:
    case AGW_ECONFLICT:
    case AGW_EMETHOD:
    case AGW_ETOOLARGE:
    case AGW_ECONFIG:
        return "invalid";
    case AGW_EUPSTREAM:
    case AGW_EUPSTREAMREQ:
    case AGW_EUNAVAILABLE:
        return stream_begun ? "upstream_cut" : "upstream_error";
    case AGW_ETIMEOUT:
        return "timeout";
    case AGW_EAGENT:
    case AGW_EAPPROVAL:
        return "agent_error";
    case AGW_EOVERLOAD:
        return "overloaded";
    }
    return "internal";
}

const char *outcome_name(const struct exchange *x)
{
    return name_of(x->status, x->response.streaming && x->response.head_sent);
}

bool outcome_is_audited(const struct exchange *x)
{
    if (x->route == NULL || x->route->auth == ROUTE_OPEN)
        return false;
    return x->route->auth == ROUTE_KEY || x->policy == NULL ||
           !x->policy->config->gateway.metrics_open;
}

/* The grants that matched and were passed over, since their uses were spent: the order in
 * which uses are taken is not that of the rows, so nothing else tells it later. */
static json_t *used_up_json(const struct exchange *x)
{
    json_t *ids = NULL;

    for (size_t i = 0; x->decided && i < x->decision.step_count; i++) {
        const struct override *o = x->decision.steps[i].used_up;

        if (o == NULL)
            continue;
        if (ids == NULL)
            ids = json_array();
        json_array_append_new(ids, json_string(o->id));
    }
    return ids;
}

/* What has no column, as JSON; NULL when there is nothing. What shadow entries would change
 * comes first: the index of the view shadow_decisions goes by how the text begins. */
static const char *detail_of(struct exchange *x)
{
    const struct decision_shadow *shadow = &x->decision.shadow;
    const char *would = x->decided ? decision_would_name(&x->decision) : NULL, *copy = NULL;
    json_t *detail, *used_up = used_up_json(x);
    char *text;

    if (would == NULL && used_up == NULL &&
        (x->decided_for == NULL || x->decided_for == x->key))
        return NULL;
    detail = json_object();
    if (would != NULL)
        json_object_set_new(detail, would,
                            json_pack("{s:s,s:s?,s:s?}", "rule", shadow->rule, "pattern",
                                      shadow->pattern, "place", context_shadow_place(x)));
    if (x->decided_for != NULL && x->decided_for != x->key)
        json_object_set_new(detail, "for_key", json_string(x->decided_for->id));
    if (used_up != NULL)
        json_object_set_new(detail, "used_up", used_up);
    text = json_dumps(detail, JSON_COMPACT);
    if (text != NULL)
        copy = arena_strdup(x->request.arena, text);
    json_memory_free(text);
    json_decref(detail);
    return copy;
}

const char *outcome_route(struct exchange *x)
{
    return arena_printf(x->request.arena, "%s %s", x->route->method, x->route->path);
}

void outcome_row(struct exchange *x, const char *kind, struct audit_row *row)
{
    const struct config *config = x->policy == NULL ? NULL : x->policy->config;

    *row = audit_row_new(store_now(x->api->store), kind);
    row->request_id = x->request.id;
    row->key_id = x->key == NULL ? NULL : x->key->id;
    row->agent = x->agent_id;
    row->ns = x->ns;
    row->generation = config == NULL ? -1 : config->generation;
    row->route = outcome_route(x);
    row->detail = detail_of(x);
    if (!x->decided)
        return;
    row->ts = x->decided_at; /* the moment it can be recomputed for */
    row->decision = x->decision.allowed ? "allow" : "deny";
    row->source = decision_source_name(x->decision.source);
    row->pattern = x->decision.pattern;
    row->place = context_place(x);
    row->streaming = x->streaming;
    row->model = x->agent == NULL ? NULL : x->agent->spec->model;
    if (x->decision.override != NULL) {
        row->override_id = x->decision.override->id;
        row->reason = x->decision.override->reason;
    }
}

/* Why it was refused or failed: the error's short name leads, so rows can be grouped. */
static const char *reason_of(struct exchange *x)
{
    const struct err_info *info = err_info(x->status);

    if (x->status == 0)
        return NULL;
    if (x->err.message[0] == '\0')
        return info->code == NULL ? info->name : info->code;
    return arena_printf(x->request.arena, "%s: %s", info->code == NULL ? info->name : info->code,
                        x->err.message);
}

void outcome_row_end(struct exchange *x, struct audit_row *row)
{
    if (x->hops.rounds > 0)
        row->detail = arena_printf(x->request.arena, "{\"tool_hops\":%d,\"tool_calls\":%d}",
                                   x->hops.rounds, x->hops.calls);
    else if (x->hops.model_calls > 0 || x->hops.calls > 0)
        row->detail = arena_printf(x->request.arena, "{\"model_calls\":%d,\"tool_calls\":%d}",
                                   x->hops.model_calls, x->hops.calls);
    row->outcome = outcome_name(x);
    row->status = x->response.status != 0 ? x->response.status
                  : x->err.status != 0    ? x->err.status
                                          : err_info(x->status)->status;
    row->streaming = x->streaming;
    row->prompt_tokens = x->usage.prompt_tokens;
    row->completion_tokens = x->usage.completion_tokens;
    row->duration_ms = (clock_mono_us() - x->request.started_us) / 1000;
    row->upstream = x->usage.upstream[0] == '\0' ? NULL : x->usage.upstream;
    row->model = x->agent == NULL ? NULL : x->agent->spec->model;
    if (x->status != 0)
        row->reason = reason_of(x);
}

/* A rule is counted by its list and its pattern: places move with each edit of the file, and
 * ten thousand keys may have the same pattern. */
static void count_shadow(struct exchange *x)
{
    const struct decision_shadow *shadow = &x->decision.shadow;

    if (shadow->differs && !shadow->allowed)
        metrics_add(METRIC_SHADOW_DENIED, 1,
                    shadow->pattern == NULL ? shadow->rule
                                            : arena_printf(x->request.arena, "%s %s",
                                                           shadow->rule, shadow->pattern));
}

static void log_shadow(struct exchange *x, struct log_line *line)
{
    const struct decision_shadow *shadow = &x->decision.shadow;

    log_str(line, "shadow", decision_would_name(&x->decision));
    log_str(line, "shadow_list", shadow->rule);
    log_str(line, "shadow_pattern", shadow->pattern);
    log_str(line, "shadow_rule", context_shadow_place(x));
}

void outcome_log_decision(struct exchange *x)
{
    const struct decision *d = &x->decision;
    char expires[CLOCK_TEXT_SIZE];
    struct log_line line __attribute__((uninitialized)); /* log_begin() does */

    log_begin(&line, LOG_INFO, "agent.security.decision");
    log_str(&line, "request_id", x->request.id);
    log_str(&line, "key_id", x->decided_for->id);
    log_str(&line, "agent", x->agent_id);
    log_str(&line, "namespace", x->ns);
    log_str(&line, "decision", d->allowed ? "allow" : "deny");
    log_str(&line, "source", decision_source_name(d->source));
    log_str(&line, "pattern", d->pattern);
    log_str(&line, "rule", context_place(x));
    log_int(&line, "generation", x->policy->config->generation);
    if (d->override != NULL) {
        log_str(&line, "override_id", d->override->id);
        log_str(&line, "reason", d->override->reason);
        log_str(&line, "expires_at", clock_format(d->override->expires_at, expires));
    }
    if (d->shadow.differs)
        log_shadow(x, &line);
    log_end(&line);
    count_shadow(x);
    metrics_add(METRIC_DECISIONS, 1, d->allowed ? "allow" : "deny",
                decision_source_name(d->source));
}

static void count(struct exchange *x, int64_t duration_us)
{
    const char *agent = x->agent == NULL ? "" : x->agent_id;
    const struct err_info *info = err_info(x->status);
    const char *outcome = outcome_name(x);

    metrics_add(METRIC_REQUESTS, 1, agent, x->streaming ? "true" : "false", outcome);
    metrics_observe_us(METRIC_REQUEST_LATENCY, duration_us);
    if (x->first_token_us != 0)
        metrics_observe_us(METRIC_FIRST_TOKEN, x->first_token_us);
    if (strcmp(outcome, "denied") == 0 || strcmp(outcome, "rate_limited") == 0)
        metrics_add(METRIC_DENIED, 1, info->code == NULL ? "no_credential" : info->code);
    if (x->usage.prompt_tokens > 0)
        metrics_add(METRIC_TOKENS, (uint64_t)x->usage.prompt_tokens, x->key->id, agent,
                    "prompt");
    if (x->usage.completion_tokens > 0)
        metrics_add(METRIC_TOKENS, (uint64_t)x->usage.completion_tokens, x->key->id, agent,
                    "completion");
}

void outcome_log_request(struct exchange *x)
{
    int64_t duration_us = clock_mono_us() - x->request.started_us;
    struct log_line line __attribute__((uninitialized)); /* log_begin() does */

    if (outcome_is_audited(x))
        count(x, duration_us);
    log_begin(&line, x->status == AGW_EINTERNAL ? LOG_ERROR : LOG_INFO, "http.request");
    log_str(&line, "request_id", x->request.id);
    log_str(&line, "method", x->request.method);
    log_str(&line, "path", x->request.path);
    log_int(&line, "status", x->response.status);
    log_str(&line, "outcome", outcome_name(x));
    log_int(&line, "duration_us", duration_us);
    log_int(&line, "bytes", x->response.bytes);
    if (x->key != NULL)
        log_str(&line, "key_id", x->key->id);
    if (x->agent_id != NULL)
        log_str(&line, "agent", x->agent_id);
    if (x->usage.upstream[0] != '\0') {
        log_str(&line, "upstream", x->usage.upstream);
        log_int(&line, "attempts", x->usage.attempts);
    }
    if (x->hops.rounds > 0)
        log_int(&line, "tool_hops", x->hops.rounds);
    if (x->hops.model_calls > 0)
        log_int(&line, "model_calls", x->hops.model_calls);
    if (x->hops.rounds > 0 || x->hops.calls > 0)
        log_int(&line, "tool_calls", x->hops.calls);
    if (x->status != 0 && x->err.message[0] != '\0')
        log_str(&line, "error", x->err.message);
    log_end(&line);
}

/* SPDX-License-Identifier: MIT */
/* Walks each request through the same steps, in the same order. */
#include "api/steps.h"

#include <string.h>

#include "api/cors.h"
#include "api/derive.h"
#include "api/key_terms.h"
#include "api/outcome.h"
#include "api/routes.h"
#include "api/spend.h"
#include "store/metrics.h"
#include "util/clock.h"
#include "util/json_limits.h"
#include "util/log.h"

enum { WALK_ENDED = 1, ARENA_SLACK = 1 << 20 };

static int receive(struct exchange *x)
{
    return request_parse(x->request.x, x->request.arena, &x->request, &x->err);
}

/* OPTIONS asks what a path takes and needs no key (CORS preflights carry none). */
static int find_route(struct exchange *x)
{
    char methods[64];
    struct route_id id;
    unsigned allow;
    int status = routes_find(x->request.method, x->request.path, &x->route, &id, &allow);

    if (id.start != NULL &&
        (x->object_id = arena_strndup(x->request.arena, id.start, id.length)) == NULL)
        return err_set(&x->err, AGW_ENOMEM, "path");
    if (status == AGW_EMETHOD && strcmp(x->request.method, "OPTIONS") == 0) {
        status = cors_preflight(x, allow);
        return status == 0 ? WALK_ENDED : status;
    }
    if (status == AGW_EMETHOD) {
        routes_allow_text(allow, methods);
        response_header(&x->response, "allow", "%s", methods);
        return err_set_public(&x->err, status, NULL, "%s takes %s, not %.20s.", x->request.path,
                              methods, x->request.method);
    }
    if (status == AGW_ENOROUTE)
        return err_set_public(&x->err, status, NULL, "There is no endpoint %.200s.",
                              x->request.path);
    if (x->policy == NULL && x->route->auth != ROUTE_OPEN)
        return AGW_ESTORE; /* x->err says why since the policy could not be read */
    return 0;
}

static int authenticate_principal(struct exchange *x)
{
    int status;

    if (!outcome_is_audited(x))
        return 0;
    status = authenticate(x->policy->keys, x->request.authorization, x->request.x_api_key,
                          store_now(x->api->store), &x->key, &x->err);
    if (status != 0)
        return status;
    derive_note_used(x->policy, x->key, clock_wall_ms());
    if ((x->key->roles & x->route->roles) == 0)
        return err_set(&x->err, AGW_EROLE, "key %s has not the role for %s", x->key->id,
                       x->route->path);
    return 0;
}

static void add_limit_headers(struct exchange *x)
{
    const struct rate_verdict *v = &x->rate;

    if (v->limit <= 0)
        return;
    response_header(&x->response, "x-ratelimit-limit-requests", "%lld", (long long)v->limit);
    response_header(&x->response, "x-ratelimit-remaining-requests", "%lld",
                    (long long)v->remaining);
    if (v->reset_ms < 1000)
        response_header(&x->response, "x-ratelimit-reset-requests", "%lldms",
                        (long long)v->reset_ms);
    else
        response_header(&x->response, "x-ratelimit-reset-requests", "%llds",
                        (long long)(v->reset_ms + 999) / 1000);
}

static int limit(struct exchange *x)
{
    if (x->key == NULL || !x->route->limited)
        return 0;
    rate_limit_take(x->api->limiter, x->key->id,
                    context_rate_per_minute(&x->policy->config->security, x->key),
                    clock_mono_ms(), &x->rate);
    add_limit_headers(x);
    if (x->rate.allowed)
        return 0;
    err_set_public(&x->err, AGW_ERATE, NULL,
                   "Rate limit reached: %lld requests per minute. Try again in %lld s.",
                   (long long)x->rate.limit, (long long)(x->rate.reset_ms + 999) / 1000);
    x->err.retry_after_s = (int)((x->rate.reset_ms + 999) / 1000);
    return AGW_ERATE;
}

/* The body is read after authentication: strangers cannot make us parse anything. */
static int read_body(struct exchange *x)
{
    const struct config_gateway *gateway = &x->policy->config->gateway;
    struct json_limits limits = {.depth = gateway->json_max_depth,
                                 .tokens = (size_t)gateway->json_max_tokens};
    int status;

    if (x->route->body == BODY_NONE)
        return 0;
    status = request_read_body(&x->request, (size_t)gateway->max_body_bytes, &x->err);
    if (status == 0 && x->request.body_length == 0 && x->route->body == BODY_OPTIONAL) {
        x->body = json_object();
        return x->body == NULL ? err_set(&x->err, AGW_ENOMEM, "body") : 0;
    }
    if (status == 0)
        status = json_limits_parse(x->request.body, x->request.body_length, &limits, &x->body,
                                   &x->err);
    if (status == 0 && !json_is_object(x->body))
        status = err_set_public(&x->err, AGW_EINVALID, NULL,
                                "The request body must be a JSON object.");
    return status;
}

/* A body takes as long to come as its sender likes: what was revoked or has expired meanwhile
 * is not granted any more. */
static int confirm(struct exchange *x)
{
    struct policy *current;
    int status;

    if (x->route->body == BODY_NONE || x->key == NULL)
        return 0;
    if (store_revision(x->api->store) != x->policy->revision) {
        status = policy_acquire(x->api->policy, &current, &x->err);
        if (status != 0)
            return status;
        x->key = NULL; /* it was the old policy's */
        catalog_release(&x->catalog);
        policy_release(&x->policy);
        x->policy = current;
    }
    return authenticate_principal(x);
}

static void log_decision(struct exchange *x)
{
    if (x->decided && strcmp(x->route->kind, "decision") == 0)
        outcome_log_decision(x);
}

static int decide(struct exchange *x)
{
    int status;

    if (x->route->target == NULL)
        return 0;
    status = x->route->target(x);
    if (status != 0)
        log_decision(x);
    return status;
}

/* Only what would run costs anything. Where the last use of a grant is gone meanwhile, the
 * decision is another one now. */
static int budget(struct exchange *x)
{
    int status = strcmp(x->route->kind, "decision") == 0 ? spend(x) : 0;

    log_decision(x);
    return status;
}

/* From here on something may happen, so the intention is on its way to disk first. */
static int record(struct exchange *x)
{
    struct audit_row row;
    int status;

    if (!outcome_is_audited(x))
        return 0;
    outcome_row(x, x->route->kind, &row);
    status = audit_record(x->api->audit, &row, &x->ticket, &x->err);
    x->recorded = x->ticket != NULL; /* also one that is only late */
    if (status == 0 && x->decision.override != NULL && strcmp(row.kind, "decision") == 0)
        metrics_add(METRIC_OVERRIDE_USES, 1);
    return status;
}

static int run(struct exchange *x)
{
    return x->route->handle(x);
}

static int answer(struct exchange *x)
{
    const struct answer *a = &x->answer;
    int code = a->status == 0 ? 200 : a->status;
    int status;

    if (x->answered)
        return 0;
    status = x->ticket == NULL ? 0 : audit_wait(x->ticket, &x->err);
    if (status != 0)
        return status;
    if (a->json != NULL)
        return response_json(&x->response, code, a->json);
    return response_text(&x->response, code, a->content_type, buf_text(&a->text),
                         a->text.length);
}

/* The way of a request. Names are the words of doc/ARCHITECTURE.md and of error lines. */
static const struct step {
    const char *name;
    int (*walk)(struct exchange *x); /* 0, AGW_E*, or WALK_ENDED */
} way[] = {
    {"receive", receive},
    {"route", find_route},
    {"authenticate", authenticate_principal},
    {"limit", limit},
    {"read", read_body},
    {"confirm", confirm},
    {"decide", decide},
    {"budget", budget},
    {"record", record},
    {"run", run},
    {"answer", answer},
};

/* Puts a refusal on record; false when that is impossible and must be said instead. */
static bool record_refusal(struct exchange *x)
{
    struct audit_row row;
    struct err problem;
    int status;

    if (!outcome_is_audited(x) || x->policy == NULL)
        return true;
    if (x->ticket == NULL) {
        outcome_row(x, "refusal", &row);
        row.status = x->err.status != 0 ? x->err.status : err_info(x->status)->status;
        outcome_row_end(x, &row);
        status = audit_close(x->api->audit, &row, &x->ticket, &problem);
        if (status == 0)
            status = audit_wait(x->ticket, &problem);
        audit_release(&x->ticket);
    } else {
        status = audit_wait(x->ticket, &problem);
    }
    if (status != 0) {
        x->status = status;
        x->err = problem;
    }
    return status == 0;
}

static void refuse(struct exchange *x)
{
    if (x->response.head_sent || x->status == AGW_EGONE)
        return;
    record_refusal(x);
    x->err.no_retry = x->hops.calls > 0; /* its tools would be called again */
    if (response_error(&x->response, x->status, &x->err) == AGW_EGONE)
        log_message(LOG_DEBUG, "http.refusal_unread", "%s", x->request.id);
}

static void finish(struct exchange *x)
{
    struct audit_row row = audit_row_new(0, NULL);

    if (x->ticket != NULL) {
        outcome_row_end(x, &row);
        row.ts = spend_tokens(x);
        audit_finish(x->api->audit, &x->ticket, &row);
    }
    outcome_log_request(x);
}

static void begin(struct exchange *x, struct api *api, struct fcgi *fcgi)
{
    memset(x, 0, sizeof *x);
    x->api = api;
    x->request.x = fcgi;
    x->request.started_us = clock_mono_us();
    x->request.method = x->request.path = "";
    x->usage.prompt_tokens = x->usage.completion_tokens = -1;
    buf_init(&x->answer.text, 16 << 20);
    response_init(&x->response, &x->request);
}

static void end(struct exchange *x)
{
    response_free(&x->response);
    buf_free(&x->answer.text);
    key_terms_wipe(x->answer.json);
    json_decref(x->answer.json);
    json_decref(x->body);
    catalog_release(&x->catalog);
    policy_release(&x->policy);
    policy_release(&x->superseded);
    arena_free(&x->request.arena);
}

static void walk(struct exchange *x)
{
    for (size_t i = 0; i < sizeof way / sizeof way[0] && x->status == 0; i++) {
        x->status = way[i].walk(x);
        if (i == 0)
            cors_headers(x);
    }
    if (x->status == WALK_ENDED)
        x->status = 0;
    if (x->status != 0) {
        spend_return(x);
        refuse(x);
    }
    finish(x);
}

void steps_walk(struct api *api, struct fcgi *fcgi)
{
    struct exchange x;
    size_t body_max = 1 << 20;

    begin(&x, api, fcgi);
    metrics_inflight(1);
    /* A policy that cannot be read refuses whatever needs one (fail closed). */
    if (policy_acquire(api->policy, &x.policy, &x.err) == 0)
        body_max = (size_t)x.policy->config->gateway.max_body_bytes;
    x.request.arena = arena_new(4 * body_max + ARENA_SLACK);
    if (x.request.arena != NULL)
        walk(&x);
    metrics_inflight(-1);
    end(&x);
}

void steps_overloaded(struct api *api)
{
    struct audit_row row = audit_row_new(store_now(api->store), "refusal");
    struct err problem;

    row.outcome = "overloaded";
    row.status = 503;
    metrics_add(METRIC_REQUESTS, 1, "", "false", "overloaded");
    /* Not waited for: the waiter must not stall, and a refusal grants nothing. */
    if (audit_close(api->audit, &row, NULL, &problem) != 0)
        log_message(LOG_WARN, "audit.failed", "overloaded: %s", problem.message);
}

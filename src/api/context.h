/* SPDX-License-Identifier: MIT */
/* What a worker process hands to every request, and what one request gathers on its way. */
#ifndef AGW_API_CONTEXT_H
#define AGW_API_CONTEXT_H

#include "agent/catalog.h"
#include "http/request.h"
#include "http/response.h"
#include "policy/audit.h"
#include "policy/authenticate.h"
#include "policy/decide.h"
#include "policy/rate_limit.h"
#include "policy/state.h"
#include "store/store.h"
#include "upstream/chat_call.h"

/* One per worker process; constant while requests run. */
struct api {
    struct store *store;
    struct policy_state *policy;
    struct audit *audit;
    struct rate_limiter *limiter;
    struct upstreams *upstreams;
    int64_t started_ms; /* UTC */
};

struct route;

/* One request, from receive to finish. */
struct exchange {
    struct api *api;
    struct request request;
    struct response response;
    struct policy *policy;          /* held for the whole request: one truth */
    const struct route *route;      /* NULL until found */
    const char *object_id;          /* the path's `{id}`, or NULL */
    const struct config_key *key;   /* principal, NULL until authenticated */
    struct rate_verdict rate;
    const struct catalog_agent *agent;
    const char *agent_id;           /* as known so far, for log and audit; may be NULL */
    struct decision decision;
    bool decided;
    json_t *body;                   /* parsed, or NULL */
    struct audit_ticket *ticket;
    const char *outcome;            /* the contract's word; exactly one is set */
    struct chat_usage usage;
    bool streaming;
    int64_t first_token_us;         /* 0 = none */
    struct err err;
};

#endif

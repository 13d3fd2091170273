/* SPDX-License-Identifier: MIT */
/* What a worker process hands to every request, and what one request gathers on its way. */
#ifndef AGW_API_CONTEXT_H
#define AGW_API_CONTEXT_H

#include "agent/run.h"
#include "http/request.h"
#include "http/response.h"
#include "policy/audit.h"
#include "policy/authenticate.h"
#include "policy/decide.h"
#include "policy/rate_limit.h"
#include "policy/state.h"
#include "runner/link.h"
#include "store/store.h"
#include "tools/toolset.h"
#include "upstream/chat_call.h"

/* One per worker process; constant while requests run. */
struct api {
    struct store *store;
    struct policy_state *policy;
    struct audit *audit;
    struct rate_limiter *limiter;
    struct tally *tally;
    struct upstreams *upstreams;
    struct toolset *toolset;
    struct link *link;  /* to the runner */
    int64_t started_ms; /* UTC */
};

struct route;

/* What a handler says: the step "answer" sends it once the audit row is committed. */
struct answer {
    int status;               /* 0 = 200 */
    json_t *json;             /* owned; or NULL with */
    struct buf text;          /* ... a text of this type */
    const char *content_type;
};

/* One request, from receive to finish. */
struct exchange {
    struct api *api;
    struct request request;
    struct response response;
    struct policy *policy;          /* held for the whole request: one truth */
    struct policy *superseded;      /* by a refresh of this request; else NULL */
    const struct route *route;      /* NULL until found */
    const char *object_id;          /* the path's `{id}`, or NULL */
    const struct config_key *key;   /* principal, NULL until authenticated */
    bool limited;                   /* `rate` is filled in */
    struct rate_verdict rate;
    json_t *body;                   /* parsed, or NULL */

    /* The agent this request is about, as far as known; ids may be NULL. */
    struct catalog *catalog;        /* it is of; NULL = nobody asked yet */
    const struct catalog_agent *agent;
    const char *agent_id, *ns;
    bool decided;
    struct decision decision;       /* for `decided_for` */
    int64_t decided_at;             /* store_now() that it was made by */
    const struct config_key *decided_for;

    /* What it has taken (api/spend.h); given back unless it is recorded. */
    const struct override *used;    /* one of its uses */
    int64_t budgeted_at;            /* a request of the day of this time; 0 = none */
    bool recorded;
    int64_t tokens_added;
    int64_t ended_at;               /* ts of its end, once tokens were added; else 0 */

    struct audit_ticket *ticket;    /* recorded, not yet finished */
    struct answer answer;
    bool answered;                  /* the handler wrote the response itself (chat) */
    bool streaming;
    struct chat_usage usage;
    struct agent_hops hops;         /* what the gateway called for it */
    int64_t first_token_us;         /* since arrival, 0 = none */
    int status;                     /* 0 or the AGW_E* that ended it */
    struct err err;
};

/* The key's own limit or the default's; 0 = unlimited. */
int64_t context_rate_per_minute(const struct config_security *security,
                                const struct config_key *key);

/* The agents as this request sees them, from the first call to its end. */
const struct catalog *context_catalog(struct exchange *x);

/* Sets agent, agent_id and ns from a name that a client gave; `agent` stays NULL for one
 * that does not exist. 0 or AGW_ENOMEM. */
int context_name_agent(struct exchange *x, const char *name);

/* Decides for `key` about x->agent_id. */
void context_decide(struct exchange *x, const struct config_key *key);

/* AGW_EDENIED, in words for the client. */
int context_denied(struct exchange *x);

/* Where the decision's rule is written: "file:line", an override id, or "key:ID" for the
 * lists of a key made at run time; NULL = no rule. */
const char *context_place(struct exchange *x);
/* The same of the rule on trial that would decide otherwise. */
const char *context_shadow_place(struct exchange *x);

#endif

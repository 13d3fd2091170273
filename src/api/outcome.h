/* SPDX-License-Identifier: MIT */
/* The one word for how a request ended, and the rows, counters and lines that say it. */
#ifndef AGW_API_OUTCOME_H
#define AGW_API_OUTCOME_H

#include "api/context.h"

/* "completed" "client_gone" "denied" "rate_limited" "invalid" "upstream_error"
 * "upstream_cut" "timeout" "agent_error" "overloaded" "internal" */
const char *outcome_name(const struct exchange *x);

/* "POST /v1/chat/completions": the route as rows have it, NULL when memory is out. */
const char *outcome_route(struct exchange *x);

/* The audit row of this request as known now: `kind` and identity columns, the decision if
 * one was made. Texts live as long as the exchange. */
void outcome_row(struct exchange *x, const char *kind, struct audit_row *row);
/* Adds how it ended to a row. */
void outcome_row_end(struct exchange *x, struct audit_row *row);

/* Logs `agent.security.decision` and counts it. */
void outcome_log_decision(struct exchange *x);
/* Logs `http.request` and counts the request (audited routes), its latency and tokens. */
void outcome_log_request(struct exchange *x);

/* Whether this request's route is one that leaves audit rows. */
bool outcome_is_audited(const struct exchange *x);

#endif

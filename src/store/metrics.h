/* SPDX-License-Identifier: MIT */
/* Counters, gauges and histograms in shared memory: one truth for all processes of a host,
 * nothing counted twice, nothing lost with a killed worker (atomics only).
 *
 * Series are found by their label text; a series beyond METRICS_SERIES_MAX is counted under
 * the family with every label "other". Updates never fail and never block. Any thread.
 */
#ifndef AGW_STORE_METRICS_H
#define AGW_STORE_METRICS_H

#include <jansson.h>
#include <stdint.h>

#include "store/store.h"
#include "util/buf.h"

enum { METRICS_SERIES_MAX = 32256, METRICS_LABEL_MAX = 200, METRICS_PROCESSES_MAX = 256 };

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* id, exposed name, type, label names (comma separated, "" = none), help */
#define METRICS_TABLE(X)                                                                       \
    X(REQUESTS, "agent_gateway_requests_total", COUNTER, "agent,streaming,status",             \
      "Requests by how they ended (status is the outcome).")                                   \
    X(REQUEST_LATENCY, "agent_gateway_request_latency_seconds", HISTOGRAM, "",                 \
      "Time from the request's arrival to its end.")                                           \
    X(FIRST_TOKEN, "agent_gateway_time_to_first_token_seconds", HISTOGRAM, "",                 \
      "Time from the request's arrival to the first streamed delta.")                          \
    X(TOOL_INVOCATIONS, "agent_gateway_tool_invocations_total", COUNTER,                       \
      "tool,provider,status,source", "Tool invocations.")                                      \
    X(TOOL_LATENCY, "agent_gateway_tool_latency_seconds", HISTOGRAM, "",                       \
      "Duration of tool invocations.")                                                         \
    X(UPSTREAM_REQUESTS, "agent_gateway_upstream_requests_total", COUNTER, "upstream,status",  \
      "Attempts at upstreams by HTTP status or failure.")                                      \
    X(UPSTREAM_LATENCY, "agent_gateway_upstream_latency_seconds", HISTOGRAM, "upstream",       \
      "Duration of attempts at upstreams.")                                                    \
    X(DECISIONS, "agent_gateway_security_decisions_total", COUNTER, "decision,source",         \
      "Policy decisions.")                                                                     \
    X(OVERRIDE_USES, "agent_gateway_override_uses_total", COUNTER, "",                         \
      "Requests that an override allowed.")                                                    \
    X(DENIED, "agent_gateway_denied_total", COUNTER, "reason", "Refused requests by reason.")  \
    X(SHADOW_DENIED, "agent_gateway_shadow_denied_total", COUNTER, "rule",                     \
      "Allowed requests that a rule on trial would deny.")                                     \
    X(DROPIN_FAILURES, "agent_gateway_dropin_failures_total", COUNTER, "kind",                 \
      "Drop-in agents that could not be served.")                                              \
    X(TOKENS, "agent_gateway_tokens_total", COUNTER, "key_id,agent,direction",                 \
      "Tokens reported by upstreams.")                                                         \
    X(CONFIG_RELOADS, "agent_gateway_config_reloads_total", COUNTER, "component,result",       \
      "Configuration reloads.")                                                                \
    X(UPSTREAM_UP, "agent_gateway_upstream_up", GAUGE, "upstream",                             \
      "Whether the last health check or request of an upstream succeeded.")                    \
    X(CONFIG_GENERATION, "agent_gateway_config_generation", GAUGE, "",                         \
      "Generation of the configuration that runs.")

enum metric {
#define X(id, name, type, labels, help) METRIC_##id,
    METRICS_TABLE(X)
#undef X
    METRIC_COUNT
};

/* Maps the region and claims a process slot (for the two gauges below). Once per process,
 * before any update; updates before it are dropped. */
int metrics_open(struct store *store, struct err *e);
/* Gives the slot back. */
void metrics_close(void);

/* Label values in the table's order, as many as the family has; "" where unknown. */
void metrics_add(enum metric metric, uint64_t by, ...);
void metrics_set(enum metric metric, int64_t value, ...);
void metrics_observe_us(enum metric metric, int64_t microseconds, ...);

/* Gauges summed over live processes; a dead process's part vanishes with it. */
void metrics_inflight(int change);
void metrics_audit_queue(int length);

/* Prometheus text format 0.0.4 / the same numbers as JSON. 0 or -1 (out of memory). */
int metrics_write_text(struct buf *out);
json_t *metrics_json(void);

/* Sum over the series of a counter family whose label `label` (its name) has `value`;
 * label NULL = all. For tests and the nightly comparison. */
uint64_t metrics_sum(enum metric metric, const char *label, const char *value);

#endif

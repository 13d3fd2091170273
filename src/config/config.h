/* SPDX-License-Identifier: MIT */
/* The configuration as the rest of the program sees it: plain structs, immutable once
 * built, shared by reference counting.
 *
 * Strings and arrays belong to the configuration. Absent texts are NULL unless a default
 * is stated. Durations in YAML are seconds (fractions allowed), here milliseconds.
 */
#ifndef AGW_CONFIG_CONFIG_H
#define AGW_CONFIG_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/sha.h"

/* Where a rule is written, for decisions and error texts. line 0 = not from a file. */
struct config_place {
    const char *file; /* as named in messages, e.g. "conf/security.yaml" */
    int line, column;
};

/* A list of glob patterns. `present` tells an empty list ("nothing") from an absent one
 * ("inherit"). */
struct config_patterns {
    bool present;
    size_t count;
    const char **patterns;
    struct config_place *places; /* one a pattern */
    /* Entries of `mode: shadow`, NULL = none. They decide nothing; decide_agent() says what
     * they would change. A list of nothing else counts as absent. */
    struct config_patterns *shadow;
};

enum config_role { ROLE_CLIENT = 1, ROLE_AUDITOR = 2, ROLE_ADMIN = 4 }; /* a bit mask */

/* What one key may use up in a UTC day; 0 = unlimited. */
struct config_budget {
    int64_t requests_per_day, tokens_per_day;
};

/* From so many days before its end on, a key is reported as expiring. */
enum { CONFIG_EXPIRING_DAYS = 7 };

struct config_key {
    const char *id;
    unsigned char hash[SHA_SIZE]; /* SHA-256 of the secret; the secret itself is not kept */
    bool was_plaintext;           /* written as `key:`; a nightly finding */
    const char *description;
    unsigned roles;
    struct config_patterns allow_agents, deny_agents;
    struct config_patterns allow_tools, deny_tools;
    int64_t rate_per_minute; /* -1 = inherit */
    struct config_budget budget; /* -1 = inherit, each by itself */
    int64_t expires_at;      /* UTC ms, 0 = never */
    struct config_place place;
};

struct config_namespace {
    const char *name;
    struct config_patterns allow_agents, dropin_allow, dropin_deny;
    struct config_place place;
};

/* What agents (those that `agents` matches) may call, whoever calls them. */
struct config_tool_rule {
    struct config_patterns agents, allow_tools, deny_tools;
    struct config_place place;
};

struct config_security {
    struct config_patterns allow_agents, deny_agents; /* default.* */
    struct config_patterns allow_tools, deny_tools;
    size_t tool_rule_count;
    struct config_tool_rule *tool_rules;
    int64_t rate_per_minute;                          /* 0 = unlimited */
    struct config_budget budget;                      /* of each key by itself */
    int64_t override_max_ttl_s;
    bool override_require_reason;
    int64_t key_rotation_overlap_s; /* how long a rotated key's old secret stays valid */
    struct config_patterns local_tools_allowlist, dropin_allow, dropin_deny;
    size_t namespace_count;
    struct config_namespace *namespaces;
    bool has_shadow; /* some list of default or of a namespace has shadow entries */
    size_t key_count;
    struct config_key *keys;
};

enum config_provider { PROVIDER_OPENAI, PROVIDER_OPENAI_COMPATIBLE, PROVIDER_AZURE,
                       PROVIDER_ECHO };

struct config_header {
    const char *name, *value;
    bool expanded; /* the value holds one of the environment */
};

struct config_upstream {
    const char *name;
    enum config_provider provider;
    const char *base_url;    /* without a trailing '/'; NULL for echo */
    const char *api_version; /* azure only, otherwise NULL */
    int priority, weight;
    const char *api_key;     /* from api_key_env or api_key; secret, wiped on free */
    struct config_patterns models; /* absent = every model */
    const char *health_path; /* NULL = no active checks */
    int64_t health_timeout_ms, health_interval_ms;
    int64_t connect_ms, first_byte_ms, idle_ms, total_ms;
    int retry_attempts;      /* further attempts after the first, 0..10 */
    int64_t retry_backoff_ms;
    int breaker_failures;    /* consecutive failures that open the breaker, 0 = never */
    int64_t breaker_open_ms;
    int64_t max_response_bytes;
    size_t header_count;
    struct config_header *headers;
    struct config_place place;
};

enum config_agent_kind { AGENT_DECLARATIVE, AGENT_SDK };

struct config_agent {
    const char *id;          /* namespace/name */
    const char *name, *ns;
    const char *display_name, *description;
    enum config_agent_kind kind;
    const char *upstream, *model; /* with the defaults filled in; may be NULL for sdk */
    const char *instructions;     /* NULL = none */
    const char *module;           /* sdk only */
    bool network;                 /* sdk only */
    bool client_tools;            /* sdk only: those of others are shown the client's anyway */
    size_t tool_count;
    const char **tools;
    const json_t *metadata;       /* object as written, never NULL */
    int64_t max_completion_tokens; /* metadata; 0 = no cap */
    int max_tool_hops;             /* metadata; default 8 */
    struct config_place place;
};

enum config_tool_provider { TOOL_LOCAL, TOOL_HTTP, TOOL_MCP };

enum config_sandbox { SANDBOX_BEST_EFFORT, SANDBOX_REQUIRE, SANDBOX_OFF };

/* How the program of a tool's command is run. */
struct config_program {
    const char *folder; /* of gateway.yaml, "" or ending in '/': where relative names begin */
    enum config_sandbox sandbox;
    bool network;
    size_t read_count, write_count, environment_count;
    const char **read, **write;
    struct config_header *environment; /* variables, and their values */
    int64_t max_memory_mib, max_processes;
};

struct config_tool {
    const char *name, *description;
    enum config_tool_provider provider;
    const char *url, *method;
    size_t command_count;
    const char **command;
    struct config_program program;
    int64_t timeout_ms;
    size_t header_count;
    struct config_header *headers;
    const json_t *schema; /* a JSON Schema that was checked; NULL = none */
    bool log_arguments, allow_private;
    int64_t max_result_bytes;
    unsigned char digest[SHA_SIZE]; /* of all that is written of it, variables replaced */
    struct config_place place;
};

struct config_runner {
    const char *socket;
    bool autostart;
    enum config_sandbox sandbox;
    const char *python, *node;
    int64_t memory_mib, processes;
    int max_runs;
    int64_t idle_stop_ms;            /* 0 = never */
    int64_t start_timeout_ms, load_timeout_ms, ping_interval_ms, run_timeout_ms;
};

struct config_gateway {
    const char *listen;              /* "unix:/path" or NULL (fd 0 or socket activation) */
    int socket_mode;                 /* e.g. 0660 */
    const char *socket_group;        /* NULL = the process's own */
    int workers, min_threads, max_threads;
    int running_threads;             /* run permits per worker, 0 = by cores */
    int64_t thread_idle_ms, drain_timeout_ms, write_timeout_ms, read_timeout_ms;
    int64_t max_body_bytes;
    int json_max_depth;
    int64_t json_max_tokens;
    const char *database;
    int64_t gate_wait_ms;            /* longest wait for the writer gate */
    bool audit_synchronous_full;
    int64_t audit_wait_ms;           /* longest wait for a commit */
    int64_t audit_linger_ms;
    int audit_queue_max;
    const char *audit_head_file;     /* NULL = only the log */
    const char *log_file;            /* NULL = stderr */
    int log_level;                   /* enum log_level */
    size_t cors_origin_count;
    const char **cors_origins;
    int64_t stream_heartbeat_ms;
    bool metrics_open;               /* /metrics without a key */
    const char *default_namespace, *default_upstream, *default_model;
    /* other sources, already resolved against the environment and gateway.yaml's folder */
    const char *agents_file, *upstreams_file, *tools_file, *security_file;
    const char *discovery_path;      /* drop-in agents; read by the runner, kept here */
    size_t discovery_extra_count;
    const char **discovery_extra;
    size_t export_count;
    const char **exports;
    struct config_runner runner;
    bool agent_watch, agent_auto_reload, upstream_auto_reload, tool_auto_reload;
};

enum config_component { CONFIG_GATEWAY, CONFIG_AGENTS, CONFIG_UPSTREAMS, CONFIG_TOOLS,
                        CONFIG_SECURITY, CONFIG_COMPONENTS };

/* "gateway" "agents" "upstreams" "tools" "security" */
extern const char *const config_component_names[CONFIG_COMPONENTS];

struct config {
    struct config_gateway gateway;
    struct config_security security;
    size_t agent_count;
    struct config_agent *agents; /* sorted by id */
    size_t upstream_count;
    struct config_upstream *upstreams;
    size_t tool_count;
    struct config_tool *tools;
    int64_t generation;          /* set by who registers it in the store; 0 before */
    char hash[SHA_HEX_SIZE];     /* of all source texts and contract environment overrides */
    char component_hash[CONFIG_COMPONENTS][SHA_HEX_SIZE];
};

/* One more / one less user; any thread. config_release() nulls the pointer and frees (and
 * wipes secrets) with the last. */
struct config *config_acquire(struct config *config);
void config_release(struct config **config);

/* Why this cannot be the name of a key, an agent, a namespace, or NULL when it can. */
const char *config_name_problem(const char *text);

/* Lookups; NULL when absent. config_find_agent takes the full id. */
const struct config_agent *config_find_agent(const struct config *c, const char *id);
const struct config_upstream *config_find_upstream(const struct config *c, const char *name);

/* Whether an upstream with these model patterns may be asked for `model`. Without patterns
 * (`any`) it serves every model; but the echo then only serves "echo*", so that it never
 * stands in for a real provider by accident. */
bool config_serves(enum config_provider provider, bool any, const char *const *patterns,
                   size_t count, const char *model);

#endif

/* SPDX-License-Identifier: MIT */
/* What a configuration holds after it was built: values, defaults, variables. */
#include "test_config_texts.h"

static void samples_build(void **state)
{
    struct config_errors errors = {0};
    struct config_sources sources;
    struct config *config;
    const struct config_agent *planner;

    (void)state;
    assert_int_equal(config_sources_read(sample, &sources, &errors), 0);
    config = build_sources(&sources);
    planner = config_find_agent(config, "labs/planner");
    assert_non_null(planner);
    assert_string_equal(planner->upstream, "echo");
    assert_string_equal(planner->model, "echo-1");
    assert_non_null(config_find_agent(config, "default/assistant"));
    assert_null(config_find_agent(config, "default/planner"));
    assert_non_null(config_find_upstream(config, "echo"));
    assert_null(config_find_upstream(config, "openai"));
    assert_int_equal(config->security.key_count, 3);
    assert_int_equal(config->security.keys[1].rate_per_minute, -1);
    assert_false(config->security.keys[1].allow_agents.present);
    assert_true(config->security.keys[2].allow_agents.present);
    assert_non_null(config->gateway.tools_file);
    config_release(&config);
    config_sources_free(&sources);
}

static void gateway_defaults(void **state)
{
    struct config *config = build(&(struct texts){0});
    const struct config_gateway *g = &config->gateway;

    (void)state;
    assert_null(g->listen);
    assert_int_equal(g->socket_mode, 0660);
    assert_null(g->socket_group);
    assert_in_range(g->workers, 1, 64);
    assert_int_equal(g->min_threads, 4);
    assert_int_equal(g->max_threads, 1024);
    assert_int_equal(g->running_threads, 0);
    assert_int_equal(g->thread_idle_ms, 60000);
    assert_int_equal(g->drain_timeout_ms, 30000);
    assert_int_equal(g->write_timeout_ms, 30000);
    assert_int_equal(g->read_timeout_ms, 30000);
    assert_int_equal(g->max_body_bytes, 1 << 20);
    assert_int_equal(g->json_max_depth, 64);
    assert_int_equal(g->json_max_tokens, 200000);
    assert_string_equal(g->database, "conf/gateway.db");
    assert_int_equal(g->gate_wait_ms, 5000);
    assert_true(g->audit_synchronous_full);
    assert_int_equal(g->audit_wait_ms, 5000);
    assert_int_equal(g->audit_linger_ms, 2);
    assert_int_equal(g->audit_queue_max, 10000);
    assert_null(g->audit_head_file);
    assert_null(g->log_file);
    assert_int_equal(g->log_level, 1);
    assert_int_equal(g->cors_origin_count, 0);
    assert_int_equal(g->stream_heartbeat_ms, 10000);
    assert_false(g->metrics_open);
    assert_string_equal(g->agents_file, "conf/agents.yaml");
    assert_string_equal(g->upstreams_file, "conf/upstreams.yaml");
    assert_string_equal(g->security_file, "conf/security.yaml");
    assert_null(g->tools_file);
    assert_null(g->discovery_path);
    assert_int_equal(g->export_count, 2);
    assert_string_equal(g->exports[1], "build_agent");
    assert_false(g->agent_watch || g->agent_auto_reload || g->upstream_auto_reload ||
                 g->tool_auto_reload);
    assert_string_equal(g->default_namespace, "default");
    assert_null(g->default_upstream);
    assert_null(g->default_model);
    config_release(&config);
}

static void gateway_values(void **state)
{
    struct config *config = build(&(struct texts){
        .gateway = "version: 1\n"
                   "listen: unix:run/socket\n"
                   "socket: {mode: 0600, group: www-data}\n"
                   "workers: 3\n"
                   "threads: {idle: 1.5}\n"
                   "database: {path: /var/lib/gateway.db}\n"
                   "audit: {synchronous: normal, head_file: head}\n"
                   "log: {file: \"-\", level: error}\n"
                   "cors: {origins: [\"https://a.example\"]}\n"
                   "stream: {heartbeat: 0.05}\n"
                   "metrics: {open: yes}\n"
                   "discovery: {extra_paths: [a, /b]}\n"});
    const struct config_gateway *g = &config->gateway;

    (void)state;
    assert_string_equal(g->listen, "unix:conf/run/socket");
    assert_int_equal(g->socket_mode, 0600);
    assert_string_equal(g->socket_group, "www-data");
    assert_int_equal(g->workers, 3);
    assert_int_equal(g->thread_idle_ms, 1500);
    assert_string_equal(g->database, "/var/lib/gateway.db");
    assert_false(g->audit_synchronous_full);
    assert_string_equal(g->audit_head_file, "conf/head");
    assert_null(g->log_file);
    assert_int_equal(g->log_level, 3);
    assert_int_equal(g->cors_origin_count, 1);
    assert_string_equal(g->cors_origins[0], "https://a.example");
    assert_int_equal(g->stream_heartbeat_ms, 50);
    assert_true(g->metrics_open);
    assert_int_equal(g->discovery_extra_count, 2);
    assert_string_equal(g->discovery_extra[0], "conf/a");
    assert_string_equal(g->discovery_extra[1], "/b");
    config_release(&config);
}

static void security_defaults_grant_nothing(void **state)
{
    struct config *config = build(&(struct texts){0});
    const struct config_security *s = &config->security;
    const struct config_key *key = &s->keys[0];
    unsigned char hash[SHA_SIZE];

    (void)state;
    assert_true(s->allow_agents.present);
    assert_int_equal(s->allow_agents.count, 0);
    assert_int_equal(s->rate_per_minute, 60);
    assert_int_equal(s->override_max_ttl_s, 86399);
    assert_int_equal(s->key_rotation_overlap_s, 86400);
    assert_false(s->override_require_reason);
    assert_true(s->dropin_allow.present);
    assert_int_equal(s->dropin_allow.count, 0);
    assert_int_equal(s->namespace_count, 0);
    assert_int_equal(s->key_count, 1);
    assert_string_equal(key->id, "a");
    assert_int_equal(key->roles, ROLE_CLIENT);
    assert_true(key->was_plaintext);
    assert_false(key->allow_agents.present);
    assert_false(key->deny_agents.present);
    assert_int_equal(key->rate_per_minute, -1);
    assert_int_equal(key->expires_at, 0);
    sha_256("some-secret", 11, hash);
    assert_memory_equal(key->hash, hash, SHA_SIZE);
    config_release(&config);
}

static void security_values(void **state)
{
    struct config *config = build(&(struct texts){
        .security = "version: 1\n"
                    "default:\n"
                    "  allow_agents: [\"default/*\"]\n"
                    "  rate_limit: {per_minute: 0}\n"
                    "  budget: {tokens_per_day: 12}\n"
                    "  namespace_defaults:\n"
                    "    labs:\n"
                    "      allow_agents: [\"labs/a\", \"labs/b\"]\n"
                    "api_keys:\n"
                    "  - id: k\n"
                    "    hashed_key: \"sha256:"
                    "00FF00000000000000000000000000000000000000000000000000000000000a\"\n"
                    "    roles: [admin, client, admin]\n"
                    "    allow_agents: []\n"
                    "    rate_limit: {per_minute: 0}\n"
                    "    budget: {requests_per_day: 3}\n"
                    "    expires_at: 2027-01-31T00:00:00Z\n"});
    const struct config_security *s = &config->security;
    const struct config_namespace *labs = &s->namespaces[0];
    const struct config_key *key = &s->keys[0];

    (void)state;
    assert_int_equal(s->rate_per_minute, 0);
    assert_int_equal(s->namespace_count, 1);
    assert_string_equal(labs->name, "labs");
    assert_int_equal(labs->allow_agents.count, 2);
    assert_string_equal(labs->allow_agents.patterns[1], "labs/b");
    assert_string_equal(labs->allow_agents.places[1].file, "security");
    assert_int_equal(labs->allow_agents.places[1].line, 8);
    assert_int_equal(labs->allow_agents.places[1].column, 32);
    assert_false(labs->dropin_allow.present);
    assert_int_equal(labs->place.line, 7);
    assert_int_equal(key->hash[1], 0xff);
    assert_int_equal(key->hash[31], 10);
    assert_false(key->was_plaintext);
    assert_int_equal(key->roles, ROLE_CLIENT | ROLE_ADMIN);
    assert_true(key->allow_agents.present);
    assert_int_equal(key->rate_per_minute, 0);
    assert_int_equal(s->budget.requests_per_day, 0);
    assert_int_equal(s->budget.tokens_per_day, 12);
    assert_int_equal(key->budget.requests_per_day, 3);
    assert_int_equal(key->budget.tokens_per_day, -1);
    assert_int_equal(key->expires_at, INT64_C(1801353600000));
    assert_int_equal(key->place.line, 10);
    config_release(&config);
}

static void agents_values(void **state)
{
    struct config *config = build(&(struct texts){
        .gateway = "version: 1\ndefaults: {namespace: g, upstream: u, model: from-gateway}\n",
        .upstreams = "version: 1\nupstreams: [{name: u, provider: builtin-echo}]\n",
        .agents = "version: 1\n"
                  "defaults: {model: from-agents}\n"
                  "agents:\n"
                  "  - name: z\n"
                  "    instructions: |\n"
                  "      One.\n"
                  "      Two.\n"
                  "    metadata: {max_completion_tokens: 7, x: [1, \"1\", ~, true, no, 0x1]}\n"
                  "  - {name: a, model: m, metadata: {max_tool_hops: 0}}\n"
                  "  - {name: s, namespace: n, kind: sdk, module: \"a.b:c\"}\n"});
    const struct config_agent *z = config_find_agent(config, "g/z");
    const struct config_agent *a = config_find_agent(config, "g/a");
    char *metadata;

    (void)state;
    assert_int_equal(config->agent_count, 3);
    assert_string_equal(config->agents[0].id, "g/a");
    assert_string_equal(config->agents[2].id, "n/s");
    assert_string_equal(config->agents[2].module, "a.b:c");
    assert_int_equal(config->agents[2].kind, AGENT_SDK);
    assert_non_null(z);
    assert_non_null(a);
    assert_string_equal(z->model, "from-agents");
    assert_string_equal(z->upstream, "u");
    assert_string_equal(z->instructions, "One.\nTwo.\n");
    assert_int_equal(z->max_completion_tokens, 7);
    assert_int_equal(z->max_tool_hops, 8);
    metadata = json_dumps(z->metadata, JSON_COMPACT);
    assert_string_equal(metadata, "{\"max_completion_tokens\":7,"
                                  "\"x\":[1,\"1\",null,true,\"no\",\"0x1\"]}");
    free(metadata);
    assert_string_equal(a->model, "m");
    assert_int_equal(a->max_completion_tokens, 0);
    assert_int_equal(a->max_tool_hops, 0);
    assert_int_equal(json_object_size(config->agents[2].metadata), 0);
    config_release(&config);
}

static void upstreams_and_tools_take_variables(void **state)
{
    struct config *config;
    const struct config_upstream *u;

    (void)state;
    setenv("AGW_TEST_KEY", "k-canary", 1);
    setenv("AGW_TEST_HOST", "h", 1);
    config = build(&(struct texts){
        .upstreams = "version: 1\n"
                     "upstreams:\n"
                     "  - name: a\n"
                     "    provider: azure\n"
                     "    base_url: https://${AGW_TEST_HOST}${AGW_TEST_HOST}.example/v1//\n"
                     "    api_version: v\n"
                     "    api_key_env: AGW_TEST_KEY\n"
                     "    models: []\n"
                     "    timeout: {connect: 0.25}\n"
                     "    headers: {X: \"$${y} $z ${AGW_TEST_KEY}!\"}\n"
                     "  - {name: b, provider: builtin-echo}\n",
        .tools = "version: 1\ntools: [{name: t, provider: http, url: \"http://x/${AGW_TEST_HOST}\"}]\n"});
    u = config_find_upstream(config, "a");
    assert_non_null(u);
    assert_int_equal(u->provider, PROVIDER_AZURE);
    assert_string_equal(u->base_url, "https://hh.example/v1");
    assert_string_equal(u->api_version, "v");
    assert_string_equal(u->api_key, "k-canary");
    assert_true(u->models.present);
    assert_int_equal(u->connect_ms, 250);
    assert_int_equal(u->first_byte_ms, 60000);
    assert_int_equal(u->header_count, 1);
    assert_string_equal(u->headers[0].value, "${y} $z k-canary!");
    u = config_find_upstream(config, "b");
    assert_non_null(u);
    assert_int_equal(u->provider, PROVIDER_ECHO);
    assert_null(u->base_url);
    assert_null(u->api_key);
    assert_false(u->models.present);
    assert_int_equal(u->priority, 1);
    assert_int_equal(u->weight, 1);
    assert_int_equal(u->total_ms, 600000);
    assert_int_equal(u->retry_attempts, 2);
    assert_int_equal(u->retry_backoff_ms, 200);
    assert_int_equal(u->breaker_failures, 5);
    assert_int_equal(u->breaker_open_ms, 30000);
    assert_int_equal(u->health_interval_ms, 30000);
    assert_int_equal(u->max_response_bytes, 8 << 20);
    assert_string_equal(config->tools[0].url, "http://x/h");
    assert_string_equal(config->tools[0].method, "POST");
    assert_int_equal(config->tools[0].timeout_ms, 10000);
    config_release(&config);
    unsetenv("AGW_TEST_KEY");
    unsetenv("AGW_TEST_HOST");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_build),
        cmocka_unit_test(gateway_defaults),
        cmocka_unit_test(gateway_values),
        cmocka_unit_test(security_defaults_grant_nothing),
        cmocka_unit_test(security_values),
        cmocka_unit_test(agents_values),
        cmocka_unit_test(upstreams_and_tools_take_variables),
    };

    unset_contract_variables();
    return cmocka_run_group_tests_name("config/build", tests, NULL, NULL);
}

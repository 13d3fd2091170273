/* SPDX-License-Identifier: MIT */
/* T32: whichever allocation fails, a configuration is either whole or refused with a reason,
 * and no secret is stored. The linker sends this program's allocations here (--wrap). */
#include "test_config_texts.h"

static long calls, fail_at; /* fail_at < 0: none fails */
static bool fail_all_after;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

static bool fails(void)
{
    long now = calls++;

    return fail_at >= 0 && (now == fail_at || (fail_all_after && now > fail_at));
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

static void start(long at, bool all)
{
    calls = 0;
    fail_at = at;
    fail_all_after = all;
}

static void stop(void)
{
    fail_at = -1;
}

static const struct texts texts = {
    .gateway = "version: 1\nlisten: unix:s\ncors: {origins: [\"https://a.example\"]}\n",
    .agents = "version: 1\nagents:\n"
              "  - {name: b, upstream: u, model: m, tools: [t], metadata: {x: [1, {y: ~}]}}\n"
              "  - {name: a, upstream: u, model: m, instructions: text}\n",
    .upstreams = "version: 1\nupstreams:\n"
                 "  - {name: u, provider: openai, base_url: \"http://${AGW_TEST_HOST}/\", "
                 "api_key_env: AGW_TEST_HOST, headers: {A: b}}\n",
    .tools = "version: 1\ntools: [{name: t, provider: local, command: [x, y]}]\n",
    .security = "version: 1\ndefault: {namespace_defaults: {labs: {allow_agents: [a, b]}}}\n"
                "api_keys: [{id: a, key: canary, roles: [admin]}, {id: b, key: canary2}]\n",
};

/* What a whole configuration of `texts` has, whatever else. */
static void assert_whole(const struct config *c, const char *hash)
{
    assert_string_equal(c->hash, hash);
    assert_string_equal(c->gateway.listen, "unix:conf/s");
    assert_int_equal(c->gateway.cors_origin_count, 1);
    assert_int_equal(c->gateway.export_count, 2);
    assert_int_equal(c->gateway.json_max_tokens, 200000);
    assert_string_equal(c->gateway.default_namespace, "default");
    assert_string_equal(c->gateway.tools_file, "tools");
    assert_int_equal(c->agent_count, 2);
    assert_string_equal(c->agents[0].id, "default/a");
    assert_non_null(c->agents[0].metadata);
    assert_int_equal(c->agents[0].max_tool_hops, 8);
    assert_int_equal(c->agents[1].tool_count, 1);
    assert_int_equal(json_object_size(c->agents[1].metadata), 1);
    assert_string_equal(c->upstreams[0].base_url, "http://h.example");
    assert_string_equal(c->upstreams[0].api_key, "h.example");
    assert_int_equal(c->upstreams[0].header_count, 1);
    assert_int_equal(c->tools[0].command_count, 2);
    assert_int_equal(c->security.namespaces[0].allow_agents.count, 2);
    assert_true(c->security.allow_agents.present);
    assert_int_equal(c->security.key_count, 2);
    assert_int_equal(c->security.keys[0].roles, ROLE_ADMIN);
    assert_int_equal(c->security.keys[1].roles, ROLE_CLIENT);
    assert_int_equal(c->security.keys[1].rate_per_minute, -1);
}

/* Returns whether every allocation was granted. */
static bool try_build(const struct config_sources *sources, const char *hash, long at, bool all)
{
    struct config_errors errors = {0};
    struct config *config = NULL;
    long made;
    int result;

    start(at, all);
    result = config_build(sources, &config, &errors);
    made = calls;
    stop();
    if (result == 0) {
        assert_whole(config, hash);
        assert_int_equal(errors.count, 0);
    } else {
        assert_null(config);
        assert_true(errors.count > 0 || errors.lost);
    }
    config_release(&config);
    config_errors_free(&errors);
    return made <= at;
}

static bool try_store(const struct config_sources *sources, long at, bool all)
{
    struct config_sources again = {0};
    struct err e;
    json_t *stored;
    long made;

    start(at, all);
    stored = config_sources_json(sources);
    if (stored != NULL && config_sources_from_json(stored, &again, &e) == 0)
        config_sources_free(&again);
    made = calls;
    stop();
    if (stored != NULL) {
        char *text = json_dumps(stored, 0);

        assert_null(strstr(text, "canary"));
        free(text);
    }
    json_decref(stored);
    return made <= at;
}

static bool try_read(long at, bool all)
{
    struct config_errors errors = {0};
    struct config_sources sources;
    long made;
    int result;

    start(at, all);
    result = config_sources_read(sample, &sources, &errors);
    made = calls;
    stop();
    for (int c = 0; c < CONFIG_COMPONENTS; c++)
        assert_int_equal(sources.component[c].text != NULL, result == 0);
    if (result != 0)
        assert_true(errors.count > 0 || errors.lost);
    config_sources_free(&sources);
    config_errors_free(&errors);
    return made <= at;
}

static void every_allocation_may_fail(void **state)
{
    struct config_sources sources;
    struct config *whole;
    long tried = 0;

    (void)state;
    setenv("AGW_TEST_HOST", "h.example", 1);
    stop();
    fill(&sources, &texts);
    whole = build_sources(&sources);
    for (int all = 0; all < 2; all++) {
        long at = 0;

        while (!try_build(&sources, whole->hash, at, all))
            at++;
        tried += at;
        for (at = 0; !try_store(&sources, at, all);)
            at++;
        tried += at;
        for (at = 0; !try_read(at, all);)
            at++;
        tried += at;
    }
    print_message("# %ld failures\n", tried);
    assert_true(tried > 100);
    config_release(&whole);
    config_sources_free(&sources);
    unsetenv("AGW_TEST_HOST");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
    };

    unset_contract_variables();
    return cmocka_run_group_tests_name("config/memory", tests, NULL, NULL);
}

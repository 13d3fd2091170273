/* SPDX-License-Identifier: MIT */
/* Sources and snapshots: what is stored holds no secret and gives the same configuration,
 * hashes stand for what was configured, threads may build and share. */
#include <pthread.h>

#include "test_config_texts.h"

/* T14: what goes to the database holds neither keys of clients nor of providers, and gives
 * the same configuration. */
static void stored_sources_hold_no_secret(void **state)
{
    static const char *const ways[] = {
        "version: 1\napi_keys:\n- {id: a, key: canary-1, roles: [admin]}\n- id: b\n  key: canary-2\n",
        "version: 1\r\napi_keys: [{id: \xc3\xbc" "1, \"key\": 'canary-1'}]\r\n",
        "\xef\xbb\xbfversion: 1 # \xe2\x82\xac\n" "api_keys:\n  - key: \"canary-1\"\n    id: a\n",
        "version: 1\napi_keys:\n- id: a\n  key: |-\n    canary-1\n  roles: [admin]\n",
        "version: 1\napi_keys:\n- id: a\n  key:\n    canary-1\n- id: b\n  key: \"canary\\\n    -2\"\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct config_errors errors = {0};
        struct config_sources sources, again;
        struct config *first = NULL, *second;
        json_t *stored;
        char *text;
        struct err e;

        fill(&sources, &(struct texts){.security = ways[i]});
        if (i == 1) { /* the id is wrong on purpose: text outside of ASCII is not stored either */
            assert_int_equal(config_build(&sources, &first, &errors), AGW_ECONFIG);
        } else {
            first = build_sources(&sources);
        }
        config_errors_free(&errors);
        stored = config_sources_json(&sources);
        text = json_dumps(stored, 0);
        assert_null(strstr(text, "canary"));
        assert_int_equal(config_sources_from_json(stored, &again, &e), 0);
        if (first != NULL) {
            second = build_sources(&again);
            assert_string_equal(first->hash, second->hash);
            assert_int_equal(first->security.key_count, second->security.key_count);
            assert_memory_equal(first->security.keys[0].hash, second->security.keys[0].hash,
                                SHA_SIZE);
            assert_true(second->security.keys[0].was_plaintext);
            config_release(&second);
        }
        config_release(&first);
        config_sources_free(&again);
        config_sources_free(&sources);
        json_decref(stored);
        free(text);
    }
}

static void broken_storage_is_refused(void **state)
{
    static const char *const texts[] = {
        "{}", "[]", "null", "{\"gateway\": {\"path\": \"x\"}}",
        "{\"gateway\": {\"path\": \"x\", \"text\": 5}}",
        "{\"gateway\": {\"path\": \"x\", \"text\": \"y\"}, \"agents\": []}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct config_sources sources;
        struct err e;
        json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL);

        assert_int_equal(config_sources_from_json(value, &sources, &e), AGW_ECONFIG);
        assert_null(sources.component[CONFIG_GATEWAY].path);
        json_decref(value);
    }
}

static void hashes_stand_for_what_was_configured(void **state)
{
    struct config *one = build(&(struct texts){0});
    struct config *same = build(&(struct texts){0});
    struct config *agents = build(&(struct texts){.agents = "version: 1 #\n"});
    struct config *variable;

    (void)state;
    setenv("GATEWAY_LOG_LEVEL", "debug", 1);
    variable = build(&(struct texts){0});
    unsetenv("GATEWAY_LOG_LEVEL");
    assert_string_equal(one->hash, same->hash);
    assert_string_not_equal(one->hash, agents->hash);
    assert_string_not_equal(one->hash, variable->hash);
    assert_int_equal(variable->gateway.log_level, 0);
    for (int c = 0; c < CONFIG_COMPONENTS; c++) {
        assert_int_equal(strcmp(one->component_hash[c], agents->component_hash[c]) != 0,
                         c == CONFIG_AGENTS);
        assert_string_equal(one->component_hash[c], variable->component_hash[c]);
    }
    config_release(&one);
    config_release(&same);
    config_release(&agents);
    config_release(&variable);
}

/* The value of a provider's key is in no hash: hashes are shown. */
static void hashes_do_not_depend_on_secrets(void **state)
{
    static const struct texts texts = {
        .upstreams = "version: 1\nupstreams: [{name: u, provider: openai, base_url: "
                     "\"http://x\", api_key_env: AGW_TEST_KEY}]\n"};
    struct config *one, *other;

    (void)state;
    setenv("AGW_TEST_KEY", "first", 1);
    one = build(&texts);
    setenv("AGW_TEST_KEY", "second", 1);
    other = build(&texts);
    unsetenv("AGW_TEST_KEY");
    assert_string_equal(one->hash, other->hash);
    config_release(&one);
    config_release(&other);
}

static struct config *shared;

static void *build_and_share(void *arg)
{
    for (int i = 0; i < 50; i++) {
        struct config *mine = config_acquire(shared), *own;
        struct config_sources sources;
        struct config_errors errors = {0};

        if (config_sources_read(sample, &sources, &errors) != 0 ||
            config_build(&sources, &own, &errors) != 0)
            return NULL;
        if (strcmp(own->hash, mine->hash) != 0)
            return NULL;
        config_sources_free(&sources);
        config_release(&own);
        config_release(&mine);
    }
    return arg;
}

static void threads_build_and_share(void **state)
{
    struct config_errors errors = {0};
    struct config_sources sources;
    pthread_t threads[4];
    int numbers[4];
    struct config *last;

    (void)state;
    assert_int_equal(config_sources_read(sample, &sources, &errors), 0);
    shared = build_sources(&sources);
    config_sources_free(&sources);
    last = config_acquire(shared);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, build_and_share, &numbers[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *result;

        pthread_join(threads[i], &result);
        assert_ptr_equal(result, &numbers[i]);
    }
    config_release(&shared);
    assert_null(shared);
    assert_non_null(config_find_agent(last, "labs/planner"));
    config_release(&last);
    config_release(&last); /* NULL is fine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_sources_hold_no_secret),
        cmocka_unit_test(broken_storage_is_refused),
        cmocka_unit_test(hashes_stand_for_what_was_configured),
        cmocka_unit_test(hashes_do_not_depend_on_secrets),
        cmocka_unit_test(threads_build_and_share),
    };

    unset_contract_variables();
    return cmocka_run_group_tests_name("config/sources", tests, NULL, NULL);
}

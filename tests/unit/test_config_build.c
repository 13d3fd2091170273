/* SPDX-License-Identifier: MIT */
/* The sample configuration builds, and is what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"

static const char sample[] = AGW_SOURCE_DIR "/conf/gateway.yaml";

static struct config *load(const char *file, struct config_sources *sources)
{
    struct config_errors errors = {0};
    struct config *config = NULL;
    int result = config_sources_read(file, sources, &errors);

    if (result == 0)
        result = config_build(sources, &config, &errors);
    if (result != 0) {
        char *text = config_errors_text(&errors);

        fail_msg("%s", text);
    }
    config_errors_free(&errors);
    return config;
}

static void samples_build(void **state)
{
    struct config_sources sources;
    struct config *config = load(sample, &sources);
    const struct config_agent *planner = config_find_agent(config, "labs/planner");

    (void)state;
    assert_non_null(planner);
    assert_string_equal(planner->upstream, "echo");
    assert_string_equal(planner->model, "echo-1");
    assert_non_null(config_find_agent(config, "default/assistant"));
    assert_null(config_find_agent(config, "default/planner"));
    assert_non_null(config_find_upstream(config, "echo"));
    assert_int_equal(config->security.key_count, 3);
    assert_int_equal(config->security.keys[1].rate_per_minute, -1);
    assert_false(config->security.keys[1].allow_agents.present);
    assert_true(config->security.keys[2].allow_agents.present);
    assert_int_equal(config->gateway.socket_mode, 0660);
    assert_int_equal(config->gateway.stream_heartbeat_ms, 10000);
    config_release(&config);
    config_sources_free(&sources);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_build),
    };

    return cmocka_run_group_tests_name("config/build", tests, NULL, NULL);
}

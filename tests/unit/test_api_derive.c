/* SPDX-License-Identifier: MIT */
/* Memory that is out as a process takes over a configuration's upstreams: it takes them over
 * all the same, or ends; it never serves without them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/derive.h"
#include "build_config.h"
#include "inject.h"
#include "net/http_client.h"
#include "upstream/upstreams.h"

enum { TAKEN = 0, LOST = 1, ENDED = 3, FAILING_CALLS = 200 };

/* How a process ends that publishes the configuration while call number `at` to the allocator,
 * and with `all_after` each that follows, fails. */
static int publish_in_a_child(struct config *config, long at, bool all_after)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct upstreams *upstreams = upstreams_new();
        struct derive_targets targets = {upstreams, toolset_new(tool_providers), link_new()};
        struct policy_hooks hooks;
        bool taken;
        json_t *shown;

        derive_hooks(&targets, &hooks);
        inject_start(INJECT_MEMORY, at, all_after);
        hooks.publish(hooks.arg, config);
        inject_stop();
        shown = toolset_json(targets.toolset);
        taken = upstreams_any_usable(upstreams) && json_array_size(shown) == 1;
        json_decref(shown);
        _exit(taken ? TAKEN : LOST);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void one_failure_is_got_over(void **state)
{
    struct config *config = build_config(NULL, NULL);

    (void)state;
    for (long at = 0; at < FAILING_CALLS; at++)
        assert_int_equal(publish_in_a_child(config, at, false), TAKEN);
    config_release(&config);
}

static void without_memory_the_process_ends(void **state)
{
    struct config *config = build_config(NULL, NULL);

    (void)state;
    assert_int_equal(publish_in_a_child(config, 0, true), ENDED);
    config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failure_is_got_over),
        cmocka_unit_test(without_memory_the_process_ends),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("api/derive", tests, NULL, NULL);
}

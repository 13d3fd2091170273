/* SPDX-License-Identifier: MIT */
/* Counters of all processes: nothing lost, nothing twice, and promtool likes the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/metrics.h"
#include "store_fixture.h"
#include "util/buf.h"

static int setup(void **state)
{
    struct fixture *f;
    struct err e;

    if (fixture_setup(state) != 0)
        return -1;
    f = *state;
    return metrics_open(f->store, &e);
}

static int teardown(void **state)
{
    metrics_close();
    return fixture_teardown(state);
}

static bool shows(const char *line)
{
    struct buf text;
    bool found;

    buf_init(&text, 64 << 20);
    assert_int_equal(metrics_write_text(&text), 0);
    found = strstr(buf_text(&text), line) != NULL;
    if (!found)
        print_error("missing: %s\n", line);
    buf_free(&text);
    return found;
}

static void series_are_kept_apart(void **state)
{
    (void)state;
    metrics_add(METRIC_REQUESTS, 2, "default/a", "true", "completed");
    metrics_add(METRIC_REQUESTS, 1, "default/a", "false", "completed");
    metrics_add(METRIC_REQUESTS, 4, "default/b", "false", "denied");
    metrics_add(METRIC_OVERRIDE_USES, 3);
    metrics_set(METRIC_CONFIG_GENERATION, 7);
    metrics_set(METRIC_UPSTREAM_UP, 0, "a\"b\\c\nd");
    metrics_observe_us(METRIC_REQUEST_LATENCY, 1000);
    metrics_observe_us(METRIC_REQUEST_LATENCY, 1001);
    metrics_observe_us(METRIC_REQUEST_LATENCY, 700000000);
    assert_int_equal(metrics_sum(METRIC_REQUESTS, NULL, NULL), 7);
    assert_int_equal(metrics_sum(METRIC_REQUESTS, "status", "completed"), 3);
    assert_int_equal(metrics_sum(METRIC_REQUESTS, "agent", "default/b"), 4);
    assert_true(shows("\nagent_gateway_requests_total{agent=\"default/a\",streaming=\"true\","
                      "status=\"completed\"} 2\n"));
    assert_true(shows("\nagent_gateway_override_uses_total 3\n"));
    assert_true(shows("\nagent_gateway_config_generation 7\n"));
    assert_true(shows("\nagent_gateway_upstream_up{upstream=\"a\\\"b\\\\c\\nd\"} 0\n"));
    assert_true(shows("\nagent_gateway_request_latency_seconds_bucket{le=\"0.001\"} 1\n"));
    assert_true(shows("\nagent_gateway_request_latency_seconds_bucket{le=\"0.0025\"} 2\n"));
    assert_true(shows("\nagent_gateway_request_latency_seconds_bucket{le=\"600\"} 2\n"));
    assert_true(shows("\nagent_gateway_request_latency_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_true(shows("\nagent_gateway_request_latency_seconds_sum 700.002001\n"));
    assert_true(shows("\nagent_gateway_request_latency_seconds_count 3\n"));
    assert_true(shows("\nagent_gateway_build_info{version=\"" PACKAGE_VERSION "\"} 1\n"));
}

static void promtool_is_content(void **state)
{
    struct fixture *f = *state;
    char path[160];
    struct buf text;
    FILE *file;
    int pid;

    series_are_kept_apart(state);
    metrics_observe_us(METRIC_UPSTREAM_LATENCY, 123456, "openai");
    metrics_add(METRIC_TOKENS, 9, "dev", "caf\xc3\xa9 \xff", "prompt");
    buf_init(&text, 64 << 20);
    assert_int_equal(metrics_write_text(&text), 0);
    snprintf(path, sizeof path, "%s/metrics", f->directory);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(buf_text(&text), 1, text.length, file), text.length);
    fclose(file);
    buf_free(&text);
    pid = fork();
    if (pid == 0) {
        if (freopen(path, "r", stdin) == NULL)
            _exit(126);
        dup2(2, 1);
        execlp("promtool", "promtool", "check", "metrics", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(fixture_wait(pid), 0);
}

static void the_json_has_the_same_numbers(void **state)
{
    json_t *all, *sample;

    series_are_kept_apart(state);
    all = metrics_json();
    assert_non_null(all);
    sample = json_array_get(json_object_get(all, "agent_gateway_requests_total"), 0);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(sample, "labels"), "status")),
        "completed");
    assert_int_equal(json_integer_value(json_object_get(sample, "value")), 1);
    sample = json_array_get(json_object_get(all, "agent_gateway_request_latency_seconds"), 0);
    assert_int_equal(json_integer_value(json_object_get(sample, "count")), 3);
    json_decref(all);
}

enum { PROCESSES = 4, THREADS = 2, ROUNDS = 20000, NAMES = 50 };

static void *count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        char agent[32];

        snprintf(agent, sizeof agent, "default/%d", i % NAMES);
        metrics_add(METRIC_REQUESTS, 1, agent, "false", "completed");
        metrics_observe_us(METRIC_REQUEST_LATENCY, i);
    }
    return NULL;
}

static void count_in_threads(void *arg)
{
    struct store *store = fixture_open(arg);
    pthread_t threads[THREADS];
    struct err e;

    assert_int_equal(metrics_open(store, &e), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    metrics_close();
    store_close(&store);
}

static size_t series_count(void)
{
    json_t *all = metrics_json();
    size_t n = json_array_size(json_object_get(all, "agent_gateway_requests_total"));

    json_decref(all);
    return n;
}

static void processes_lose_no_count(void **state)
{
    int pids[PROCESSES];

    for (int i = 0; i < PROCESSES; i++)
        pids[i] = fixture_fork(count_in_threads, *state);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    assert_int_equal(metrics_sum(METRIC_REQUESTS, NULL, NULL), PROCESSES * THREADS * ROUNDS);
    assert_int_equal(metrics_sum(METRIC_REQUESTS, "agent", "default/7"),
                     PROCESSES * THREADS * ROUNDS / NAMES);
    assert_int_equal(series_count(), NAMES);
}

static void count_forever(void *arg)
{
    struct store *store = fixture_open(arg);
    struct err e;

    assert_int_equal(metrics_open(store, &e), 0);
    metrics_inflight(5);
    for (unsigned i = 0;; i++) {
        char agent[32];

        snprintf(agent, sizeof agent, "default/%u", i % 1000);
        metrics_add(METRIC_REQUESTS, 1, agent, "false", "completed");
    }
}

static void a_killed_process_leaves_counters_whole(void **state)
{
    unsigned seed = 11;
    uint64_t before = 0;

    for (int i = 0; i < 20; i++) {
        int pid = fixture_fork(count_forever, *state);

        usleep(5000 + (useconds_t)(rand_r(&seed) % 10000));
        kill(pid, SIGKILL);
        fixture_wait(pid);
        assert_true(metrics_sum(METRIC_REQUESTS, NULL, NULL) >= before);
        before = metrics_sum(METRIC_REQUESTS, NULL, NULL);
    }
    metrics_add(METRIC_REQUESTS, 1, "default/1", "false", "completed");
    assert_int_equal(metrics_sum(METRIC_REQUESTS, NULL, NULL), before + 1);
    assert_true(series_count() <= 1000);
    assert_true(shows("\nagent_gateway_inflight_requests 0\n")); /* theirs vanished */
}

static void gauges_add_up_over_the_living(void **state)
{
    struct fixture *f = *state;
    int pid;

    metrics_inflight(3);
    metrics_inflight(-1);
    metrics_audit_queue(9);
    pid = fixture_fork(count_forever, f);
    for (int i = 0; i < 400 && metrics_sum(METRIC_REQUESTS, NULL, NULL) == 0; i++)
        usleep(5000);
    assert_true(shows("\nagent_gateway_inflight_requests 7\n"));
    assert_true(shows("\nagent_gateway_audit_queue 9\n"));
    kill(pid, SIGKILL);
    fixture_wait(pid);
    assert_true(shows("\nagent_gateway_inflight_requests 2\n"));
}

static void too_many_series_are_counted_as_other(void **state)
{
    char agent[32], huge[METRICS_LABEL_MAX + 50];

    (void)state;
    for (int i = 0; i < METRICS_SERIES_MAX + 100; i++) {
        snprintf(agent, sizeof agent, "a/%d", i);
        metrics_add(METRIC_REQUESTS, 1, agent, "false", "completed");
    }
    metrics_add(METRIC_TOKENS, 5, "dev", "a/b", "prompt");
    assert_int_equal(metrics_sum(METRIC_REQUESTS, NULL, NULL), METRICS_SERIES_MAX + 100);
    assert_int_equal(metrics_sum(METRIC_REQUESTS, "agent", "other"), 100);
    assert_int_equal(metrics_sum(METRIC_TOKENS, "key_id", "other"), 5);
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    metrics_add(METRIC_REQUESTS, 1, huge, "false", "completed");
    assert_int_equal(metrics_sum(METRIC_REQUESTS, "agent", "other"), 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(series_are_kept_apart),
        TEST(promtool_is_content),
        TEST(the_json_has_the_same_numbers),
        TEST(processes_lose_no_count),
        TEST(a_killed_process_leaves_counters_whole),
        TEST(gauges_add_up_over_the_living),
        TEST(too_many_series_are_counted_as_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Selection, breaker, health and configuration changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat_fixture.h"
#include "metrics_double.h"
#include "net/http_client.h"
#include "upstream/chat_request.h"
#include "upstream/health.h"
#include "upstream/select.h"
#include "util/clock.h"

static void order_text(struct fixture *f, const char *preferred, const char *model, char *out,
                       size_t room)
{
    size_t count;
    struct upstream_entry **list =
        select_candidates(f->upstreams, preferred, model, &count);

    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        snprintf(out + strlen(out), room - strlen(out), "%s%s", i > 0 ? " " : "", list[i]->name);
    select_free(list, count);
}

static void order(void **state)
{
    static const char *gpt[] = {"gpt-*"}, *claude[] = {"claude-*", "gpt-4*"};
    static const struct {
        const char *preferred, *model, *expected;
    } cases[] = {
        {NULL, "gpt-3", "u2 u0"},        {NULL, "gpt-4o", "u1 u2 u0"},
        {"u0", "gpt-4o", "u0 u1 u2"},    {"u1", "gpt-3", "u1 u2 u0"},
        {"nobody", "gpt-3", "u2 u0"},    {NULL, "claude-x", "u1 u2"},
        {NULL, "else", "u2"},
    };
    struct fixture f;
    char got[64];

    (void)state;
    fixture_init(&f, 3, (int[]){1, 1, 1});
    f.definitions[0].models = (struct config_patterns){true, 1, gpt, NULL, NULL};
    f.definitions[1].models = (struct config_patterns){true, 2, claude, NULL, NULL};
    f.definitions[0].priority = 30;
    f.definitions[1].priority = 10;
    f.definitions[2].priority = 20;
    fixture_apply(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        order_text(&f, cases[i].preferred, cases[i].model, got, sizeof got);
        if (strcmp(got, cases[i].expected) != 0)
            fail_msg("case %zu: %s", i, got);
    }
    f.definitions[2].models = (struct config_patterns){true, 0, NULL, NULL, NULL}; /* nothing */
    fixture_apply(&f);
    order_text(&f, NULL, "else", got, sizeof got);
    assert_string_equal(got, "");
    fixture_free(&f);
}

static void weights_are_shares(void **state)
{
    static const int weights[] = {5, 3, 2};
    int first[3] = {0}, second[3] = {0};
    struct fixture f;

    (void)state;
    fixture_init(&f, 3, (int[]){1, 1, 1});
    for (int i = 0; i < 3; i++) {
        f.definitions[i].priority = 1;
        f.definitions[i].weight = weights[i];
    }
    fixture_apply(&f);
    for (int call = 0; call < 1000; call++) {
        size_t count;
        struct upstream_entry **list = select_candidates(f.upstreams, NULL, "m", &count);

        assert_int_equal(count, 3);
        first[list[0]->name[1] - '0']++;
        second[list[1]->name[1] - '0']++;
        select_free(list, count);
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(first[i], weights[i] * 100 - 5, weights[i] * 100 + 5);
        assert_true(second[i] > 100); /* failover is shared too */
    }
    fixture_free(&f);
}

static void breaker_machine(void **state)
{
    struct breaker b = {.threshold = 2, .open_ms = 100};

    (void)state;
    assert_int_equal(breaker_enter(&b, 0), BREAKER_PASS);
    breaker_failure(&b, 0);
    breaker_success(&b);
    breaker_failure(&b, 0);
    assert_int_equal(breaker_enter(&b, 1), BREAKER_PASS); /* not consecutive */
    breaker_failure(&b, 10);
    assert_int_equal(breaker_enter(&b, 109), BREAKER_REFUSE);
    assert_int_equal(breaker_wait_ms(&b, 60), 50);
    assert_int_equal(breaker_enter(&b, 110), BREAKER_PROBE);
    assert_int_equal(breaker_enter(&b, 110), BREAKER_REFUSE); /* one at a time */
    breaker_abandon(&b, BREAKER_PROBE);
    assert_int_equal(breaker_enter(&b, 111), BREAKER_PROBE);
    breaker_failure(&b, 120);
    assert_int_equal(breaker_enter(&b, 219), BREAKER_REFUSE);
    assert_int_equal(breaker_enter(&b, 220), BREAKER_PROBE);
    breaker_success(&b);
    assert_int_equal(breaker_enter(&b, 221), BREAKER_PASS);
    breaker_hold(&b, 1000, 500);
    assert_int_equal(breaker_enter(&b, 1499), BREAKER_REFUSE);
    assert_int_equal(breaker_enter(&b, 1500), BREAKER_PASS);
    breaker_hold(&b, 2000, 3600000); /* capped */
    assert_int_equal(breaker_enter(&b, 2000 + BREAKER_HOLD_MAX_MS), BREAKER_PASS);
    b = (struct breaker){.threshold = 0, .open_ms = 100};
    for (int i = 0; i < 100; i++)
        breaker_failure(&b, 0);
    assert_int_equal(breaker_enter(&b, 0), BREAKER_PASS);
}

struct flag_server {
    atomic_int status;
    const char *headers;
    atomic_int delay_ms;
};

static bool by_flag(struct mock_conn *conn, const struct mock_request *request, void *arg)
{
    struct flag_server *flag = arg;

    (void)request;
    if (flag->delay_ms > 0)
        mock_sleep(conn, flag->delay_ms);
    mock_reply(conn, flag->status, "application/json", flag->headers,
               flag->status == 200 ? FIXTURE_COMPLETION("hi") : "{}");
    return true;
}

static const char *shown_state(struct fixture *f, size_t i)
{
    static const char *const known[] = {"up", "down", "open", "unknown"};
    json_t *list = upstreams_json(f->upstreams);
    const char *name = json_string_value(json_object_get(json_array_get(list, i), "state"));
    const char *found = NULL;

    for (int k = 0; k < 4; k++)
        if (strcmp(known[k], name) == 0)
            found = known[k];
    json_decref(list);
    return found;
}

static void breaker_in_calls(void **state)
{
    struct flag_server flag = {.status = 500, .headers = ""};
    struct mock_http *server = mock_http_start(by_flag, &flag);
    struct fixture f;
    int seen;

    (void)state;
    fixture_init(&f, 1, (int[]){mock_http_port(server)});
    f.definitions[0].breaker_failures = 3;
    f.definitions[0].breaker_open_ms = 300;
    f.definitions[0].retry_attempts = 0;
    fixture_apply(&f);
    assert_string_equal(shown_state(&f, 0), "unknown");
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture_call(&f, NULL, false), AGW_EUPSTREAM);
    seen = mock_http_requests(server);
    assert_int_equal(fixture_call(&f, NULL, false), AGW_EUNAVAILABLE);
    assert_int_equal(f.e.retry_after_s, 1);
    assert_int_equal(mock_http_requests(server), seen);
    assert_string_equal(shown_state(&f, 0), "open");
    assert_false(upstreams_any_usable(f.upstreams));
    fixture_apply(&f); /* the same definition: the state stays */
    assert_string_equal(shown_state(&f, 0), "open");
    flag.status = 200;
    usleep(320000);
    assert_int_equal(fixture_call(&f, NULL, false), 0);
    assert_string_equal(shown_state(&f, 0), "up");
    assert_true(upstreams_any_usable(f.upstreams));
    f.definitions[0].weight = 7; /* another definition: a fresh start */
    fixture_apply(&f);
    assert_string_equal(shown_state(&f, 0), "unknown");
    fixture_free(&f);
    mock_http_stop(&server);
}

/* Whoever refuses a request as wrong works, and a refusal ends a row of failures. */
static void refusals_of_requests_do_not_open_the_breaker(void **state)
{
    static const int refusals[] = {400, 404, 413, 422};
    struct flag_server flag = {.status = 500, .headers = ""};
    struct mock_http *server = mock_http_start(by_flag, &flag);
    struct fixture f;

    (void)state;
    fixture_init(&f, 1, (int[]){mock_http_port(server)});
    f.definitions[0].breaker_failures = 3;
    f.definitions[0].retry_attempts = 0;
    fixture_apply(&f);
    for (size_t i = 0; i < 3 * sizeof refusals / sizeof refusals[0]; i++) {
        flag.status = i % 3 == 2 ? 500 : refusals[i % (sizeof refusals / sizeof refusals[0])];
        assert_int_equal(fixture_call(&f, NULL, false),
                         i % 3 == 2 ? AGW_EUPSTREAM : AGW_EUPSTREAMREQ);
        assert_string_not_equal(shown_state(&f, 0), "open");
    }
    assert_int_equal(mock_http_requests(server), 12);
    fixture_free(&f);
    mock_http_stop(&server);
}

static void retry_after_is_honoured(void **state)
{
    struct flag_server busy = {.status = 429, .headers = "Retry-After: 6\r\n"};
    struct flag_server good = {.status = 200, .headers = ""};
    struct mock_http *a = mock_http_start(by_flag, &busy), *b = mock_http_start(by_flag, &good);
    struct fixture f;
    int64_t before;

    (void)state;
    fixture_init(&f, 2, (int[]){mock_http_port(a), mock_http_port(b)});
    f.definitions[0].breaker_failures = f.definitions[1].breaker_failures = 5;
    f.definitions[0].retry_attempts = 5;
    fixture_apply(&f);
    /* 6 s are not worth waiting for, though there would be time: the other one, and nobody asks
     * this one again */
    assert_true(f.definitions[0].total_ms >= 10000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture_call(&f, NULL, false), 0);
    assert_int_equal(mock_http_requests(a), 1);
    assert_int_equal(mock_http_requests(b), 3);
    busy.headers = "Retry-After: 30\r\n";
    f.config.upstream_count = 1;
    f.definitions[0].weight = 2;
    fixture_apply(&f);
    assert_int_equal(fixture_call(&f, NULL, false), AGW_EUPSTREAMREQ);
    assert_int_equal(f.e.status, 429);
    assert_int_equal(f.e.retry_after_s, 30);
    assert_int_equal(fixture_call(&f, NULL, false), AGW_EUNAVAILABLE);
    assert_in_range(f.e.retry_after_s, 28, 30);
    /* 1 s is */
    busy.headers = "Retry-After: 1\r\n";
    f.definitions[0].weight = 3;
    f.definitions[0].retry_attempts = 1;
    fixture_apply(&f);
    before = clock_mono_ms();
    assert_int_equal(fixture_call(&f, NULL, false), AGW_EUPSTREAMREQ);
    assert_int_equal(f.usage.attempts, 2);
    assert_true(clock_mono_ms() - before >= 1000);
    fixture_free(&f);
    mock_http_stop(&a);
    mock_http_stop(&b);
}

static void wait_for_state(struct fixture *f, size_t i, const char *wanted)
{
    for (int tries = 0; tries < 300; tries++) {
        upstreams_check_health(f->upstreams);
        if (strcmp(shown_state(f, i), wanted) == 0)
            return;
        usleep(10000);
    }
    fail_msg("never '%s' but '%s'", wanted, shown_state(f, i));
}

static void health_checks(void **state)
{
    struct flag_server flag = {.status = 200, .headers = ""};
    struct mock_http *server = mock_http_start(by_flag, &flag);
    struct fixture f;
    char got[64];

    (void)state;
    fixture_init(&f, 2, (int[]){mock_http_port(server), 1});
    f.definitions[0].health_path = "/models";
    f.definitions[0].health_timeout_ms = 300;
    fixture_apply(&f);
    wait_for_state(&f, 0, "up");
    flag.status = 401;
    wait_for_state(&f, 0, "down");
    /* Counted by the thread that checked, right after the state was set. */
    for (int tries = 0; tries < 300 && metrics_double_value(METRIC_UPSTREAM_UP, "u0") != 0; tries++)
        usleep(10000);
    assert_int_equal(metrics_double_value(METRIC_UPSTREAM_UP, "u0"), 0);
    order_text(&f, "u0", "m", got, sizeof got);
    assert_string_equal(got, "u1 u0"); /* last, but not lost */
    flag.status = 200;
    wait_for_state(&f, 0, "up");
    flag.delay_ms = 2000;
    wait_for_state(&f, 0, "down");
    flag.delay_ms = 0;
    wait_for_state(&f, 0, "up");
    order_text(&f, NULL, "m", got, sizeof got);
    assert_string_equal(got, "u0 u1");
    fixture_free(&f);
    mock_http_stop(&server);
}

static void shown_without_secrets(void **state)
{
    struct config_header header = {"x-team-token", "token-canary-1", false};
    struct fixture f;
    json_t *list;
    char *text;

    (void)state;
    fixture_init(&f, 1, (int[]){1});
    f.definitions[0].base_url = "https://user:pw-canary@host/v1?sig=sig-canary";
    f.definitions[0].headers = &header;
    f.definitions[0].header_count = 1;
    fixture_apply(&f);
    list = upstreams_json(f.upstreams);
    text = json_dumps(list, 0);
    assert_null(strstr(text, "canary"));
    assert_non_null(strstr(text, "\"base_url\": \"https://host/v1\""));
    assert_non_null(strstr(text, "\"provider\": \"openai-compatible\""));
    free(text);
    json_decref(list);
    fixture_free(&f);
}

static void urls(void **state)
{
    static const struct {
        enum config_provider provider;
        const char *base, *model, *expected;
    } cases[] = {
        {PROVIDER_OPENAI, "https://h/v1", "m", "https://h/v1/chat/completions"},
        {PROVIDER_OPENAI, "https://h/v1/?k=1", "m", "https://h/v1/chat/completions?k=1"},
        {PROVIDER_AZURE, "https://r.openai.azure.com", "gpt 4/o",
         "https://r.openai.azure.com/openai/deployments/gpt%204%2Fo/chat/completions"
         "?api-version=2024-10-21"},
        {PROVIDER_AZURE, "https://r/openai?api-version=2025-01-01", "m",
         "https://r/openai/deployments/m/chat/completions?api-version=2025-01-01"},
        {PROVIDER_AZURE, "https://r/openai/deployments/d", "m",
         "https://r/openai/deployments/d/chat/completions?api-version=2024-10-21"},
        {PROVIDER_AZURE, "https://r/openai/v1", "m",
         "https://r/openai/v1/chat/completions?api-version=2024-10-21"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config_upstream definition = {.name = "u", .provider = cases[i].provider,
                                             .base_url = cases[i].base, .api_key = "secret"};
        bool azure = cases[i].provider == PROVIDER_AZURE;
        struct upstream_entry *entry;
        struct buf url;

        definition.api_version = azure ? "2024-10-21" : NULL;
        entry = entry_new(&definition);
        buf_init(&url, 1024);
        assert_int_equal(chat_request_url(entry, cases[i].model, &url), 0);
        assert_string_equal(buf_text(&url), cases[i].expected);
        assert_string_equal(entry->headers[0], azure ? "api-key: secret" : "Authorization: Bearer secret");
        buf_free(&url);
        entry_release(&entry);
    }
}

struct crowd {
    struct fixture *f;
    atomic_int failed;
    atomic_bool stop;
};

static int count_chunk(void *arg, json_t *value)
{
    (void)value;
    ++*(int *)arg;
    return 0;
}

static void *call_often(void *arg)
{
    struct crowd *crowd = arg;

    for (int i = 0; i < 40; i++) {
        int got = 0;
        struct chat_sink sink = {.chunk = count_chunk, .completion = count_chunk,
                                 .watch_fd = -1, .arg = &got};
        struct chat_usage usage;
        json_t *body = json_pack("{s:s}", "model", "m");
        struct err e;

        if (chat_call(crowd->f->upstreams, NULL, body, "r", &sink, NULL, &usage, &e) != 0 ||
            got != 1)
            crowd->failed++;
        json_decref(body);
    }
    return NULL;
}

static void *reload_often(void *arg)
{
    struct crowd *crowd = arg;

    while (!crowd->stop) {
        crowd->f->definitions[1].weight ^= 6;
        fixture_apply(crowd->f);
        upstreams_check_health(crowd->f->upstreams);
        json_decref(upstreams_json(crowd->f->upstreams));
        usleep(1000);
    }
    return NULL;
}

static void calls_and_reloads_at_once(void **state)
{
    struct flag_server flag = {.status = 200, .headers = ""};
    struct mock_http *server = mock_http_start(by_flag, &flag);
    int port = mock_http_port(server);
    struct fixture f;
    struct crowd crowd = {.f = &f};
    pthread_t callers[8], reloader;

    (void)state;
    fixture_init(&f, 2, (int[]){port, port});
    f.definitions[0].priority = f.definitions[1].priority = 1;
    f.definitions[0].health_path = "/models";
    f.definitions[0].health_interval_ms = 10;
    fixture_apply(&f);
    pthread_create(&reloader, NULL, reload_often, &crowd);
    for (int i = 0; i < 8; i++)
        pthread_create(&callers[i], NULL, call_often, &crowd);
    for (int i = 0; i < 8; i++)
        pthread_join(callers[i], NULL);
    crowd.stop = true;
    pthread_join(reloader, NULL);
    assert_int_equal(crowd.failed, 0);
    fixture_free(&f);
    mock_http_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(weights_are_shares),
        cmocka_unit_test(breaker_machine),
        cmocka_unit_test(breaker_in_calls),
        cmocka_unit_test(refusals_of_requests_do_not_open_the_breaker),
        cmocka_unit_test(retry_after_is_honoured),
        cmocka_unit_test(health_checks),
        cmocka_unit_test(shown_without_secrets),
        cmocka_unit_test(urls),
        cmocka_unit_test(calls_and_reloads_at_once),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("upstream/select", tests, NULL, NULL);
}

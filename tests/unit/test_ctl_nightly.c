/* SPDX-License-Identifier: MIT */
/* The nightly audit: what it finds in a database with something of everything, what it remembers
 * from night to night, and that it says all or nothing when libraries fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "build_config.h"
#include "ctl/nightly.h"
#include "inject.h"
#include "store/keys.h"
#include "store/metrics.h"
#include "store/overrides.h"
#include "store_fixture.h"
#include "util/clock.h"
#include "util/log.h"

#define DAY 86400000LL

static const char security[] =
    "version: 1\n"
    "default: {allow_agents: [\"*\"]}\n"
    "api_keys:\n"
    "  - {id: plain, key: a-secret-in-plain-text, roles: [client, admin]}\n"
    "  - {id: old, hashed_key: "
    "\"sha256:00000000000000000000000000000000000000000000000000000000000000a1\","
    " expires_at: 2020-01-01T00:00:00Z, allow_agents: [a/b]}\n"
    "  - {id: sample, hashed_key: "
    "\"sha256:298754db2dbab6ec62605ceb0379eb7ee376580359449efe0caa3aa06cd56736\","
    " roles: [admin], allow_agents: [\"a/*\", \"*/*\"]}\n";

struct night {
    struct fixture *f;
    struct config *config;
    struct nightly_order order;
    struct nightly_result result;
    int64_t progress;
    int status;
    struct err e;
};

/* The metrics settle for a second each time; nobody needs that here. */
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)time;
    (void)left;
    return 0;
}

static void note_progress(void *arg, int64_t done, int64_t of)
{
    *(int64_t *)arg = done + of * 0;
}

static void grant(struct fixture *f, const char *id, const char *reason, const char *key_id,
                  int64_t ends_in)
{
    char pattern[] = "labs/*", by[] = "admin";
    struct override o = {.pattern = pattern, .reason = (char *)reason, .key_id = (char *)key_id,
                         .created_by = by, .created_at = clock_wall_ms() - 1000};
    struct audit_row row = fixture_row("override.created", key_id, pattern);
    struct err e;

    snprintf(o.id, sizeof o.id, "%s", id);
    o.expires_at = clock_wall_ms() + ends_in;
    row.ts = o.created_at;
    if (overrides_create(f->store, &o, &row, &e) != 0)
        fail_msg("%s", e.message);
}

static void append(struct fixture *f, const char *kind, const char *uid, const char *decision,
                   const char *outcome, const char *detail, int64_t age)
{
    struct audit_row row = fixture_row(kind, "plain", "labs/x");

    row.ts -= age;
    row.request_uid = row.request_id = uid;
    row.decision = decision;
    row.outcome = outcome;
    row.detail = detail;
    fixture_append(f->store, &row, 1);
}

static void fill(struct fixture *f)
{
    append(f, "decision", "u1", "allow", NULL, NULL, 5000);
    append(f, "end", "u1", NULL, "completed", NULL, 4000);
    append(f, "refusal", "u2", "deny", "denied", NULL, 3000);
    append(f, "decision", "u3", "allow", NULL, NULL, 2 * 3600000);
    append(f, "decision", "u4", "allow", NULL, NULL, 2000);
    append(f, "end", "u4", NULL, "internal", "{\"unfinished\":true}", 1000);
    append(f, "end", "u5", NULL, "no such outcome", NULL, 900);
    grant(f, "ovr_1", NULL, NULL, 60000);
    grant(f, "ovr_2", "  ", "plain", 60000);
    grant(f, "ovr_3", "for a while", NULL, 1);
    usleep(2000);
    /* Behind the gateway's back: a grant and a key that no row knows. */
    fixture_sql(f, "INSERT INTO process VALUES ('test:1:1', 'b', 1, 1)");
    fixture_sql(f, "INSERT INTO override (id, pattern, created_by, created_at, expires_at)"
                   " VALUES ('forged', 'vault/*', 'nobody', 1, 9999999999999)");
    fixture_sql(f, "INSERT INTO api_key (id, origin, hash, roles, created_at, allow_agents,"
                   " was_plaintext, generation) VALUES ('forged', 'database', '00',"
                   " 'client,admin', 1, '[\"*\"]', 0, 1)");
    fixture_sql(f, "INSERT INTO api_key (id, origin, hash, roles, created_at, last_used_at,"
                   " was_plaintext, generation) VALUES ('plain', 'file', 'ab', 'client', 1, 1, 1,"
                   " 1)");
}

static int setup(void **state)
{
    struct night *n = calloc(1, sizeof *n);

    if (fixture_setup((void **)&n->f) != 0)
        return -1;
    log_set_level(LOG_ERROR + 1);
    n->config = build_config(security, NULL);
    n->order = (struct nightly_order){
        .config = n->config, .store = n->f->store, .database = n->f->database,
        .now = clock_wall_ms(), .since = clock_wall_ms() - DAY, .progress = note_progress,
        .arg = &n->progress};
    *state = n;
    return 0;
}

static int teardown(void **state)
{
    struct night *n = *state;
    void *fixture = n->f;

    config_release(&n->config);
    fixture_teardown(&fixture);
    free(n);
    return 0;
}

static void run(void *arg)
{
    struct night *n = arg;

    n->status = nightly_audit(&n->order, &n->result, &n->e);
}

static json_t *must_run(struct night *n)
{
    run(n);
    if (n->status != 0)
        fail_msg("%s", n->e.message);
    assert_non_null(n->result.report);
    return n->result.report;
}

static bool has(const struct night *n, const char *severity, const char *kind,
                const char *subject)
{
    json_t *finding;
    size_t i;

    json_array_foreach(json_object_get(n->result.report, "security_findings"), i, finding) {
        const char *about = json_string_value(json_object_get(finding, "subject"));

        if (strcmp(json_string_value(json_object_get(finding, "severity")), severity) == 0 &&
            strcmp(json_string_value(json_object_get(finding, "kind")), kind) == 0 &&
            (subject == NULL || (about != NULL && strcmp(about, subject) == 0)))
            return true;
    }
    return false;
}

static json_int_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void something_of_everything_is_found(void **state)
{
    struct night *n = *state;
    json_t *report;

    fill(n->f);
    report = must_run(n);
    assert_false(n->result.healthy);
    assert_true(n->result.proved && n->progress > 0);
    assert_true(has(n, "warning", "key.plaintext", "plain"));
    assert_true(has(n, "warning", "key.no_expiry", "plain"));
    assert_true(has(n, "warning", "key.unused", "plain"));
    assert_true(has(n, "warning", "key.wildcard_admin", "plain"));
    assert_true(has(n, "warning", "key.expired", "old"));
    assert_true(has(n, "critical", "key.published", "sample"));
    assert_true(has(n, "warning", "key.wildcard_admin", "sample"));
    assert_true(has(n, "critical", "key.unrecorded", "forged"));
    assert_true(has(n, "warning", "key.wildcard_admin", "forged"));
    assert_true(has(n, "critical", "override.unrecorded", NULL));
    assert_true(has(n, "warning", "override.no_reason", "ovr_1"));
    assert_true(has(n, "warning", "override.no_reason", "ovr_2"));
    assert_false(has(n, "warning", "override.no_reason", "ovr_3"));
    assert_true(has(n, "info", "override.active", "ovr_1"));
    assert_true(has(n, "info", "override.unused", "ovr_3"));
    assert_true(has(n, "info", "agent.denied", "labs/x"));
    assert_true(has(n, "warning", "request.cut_off", NULL));
    assert_int_equal(number(report, "total_api_keys"), 4);
    assert_int_equal(number(report, "hashed_api_keys"), 3);
    assert_int_equal(number(json_object_get(report, "denials"), "total"), 1);
    assert_int_equal(number(json_object_get(report, "overrides"), "total"), 4);
    json_decref(report);
}

/* Without a configuration: keys as the database has them, and that is a finding. */
static void a_configuration_that_cannot_be_read_is_found(void **state)
{
    struct night *n = *state;
    const char *const problems[] = {"agwctl says why", NULL};

    fill(n->f);
    fixture_sql(n->f, "UPDATE api_key SET allow_agents = '{' WHERE id = 'plain'");
    n->order.config = NULL;
    for (int i = 0; i < 2; i++) {
        n->order.config_problem = problems[i];
        must_run(n);
        assert_true(has(n, "critical", "config.invalid", NULL));
        assert_true(has(n, "warning", "key.plaintext", "plain"));
        assert_int_equal(number(n->result.report, "total_api_keys"), 2);
        json_decref(n->result.report);
    }
    fixture_sql(n->f, "UPDATE api_key SET allow_agents = '[1, \"*/*\"]' WHERE id = 'plain'");
    fixture_sql(n->f, "UPDATE api_key SET allow_agents = NULL, roles = 'admin', origin = 'file'"
                      " WHERE id = 'forged'");
    must_run(n);
    assert_false(has(n, "warning", "key.wildcard_admin", "forged"));
    json_decref(n->result.report);
}

static void a_database_that_is_gone_is_found(void **state)
{
    struct night *n = *state;
    const struct nightly_state last = {.head = {.seq = 7}};

    n->order.store = NULL;
    must_run(n);
    assert_true(has(n, "info", "database.missing", NULL));
    json_decref(n->result.report);
    n->order.last = &last;
    must_run(n);
    assert_true(has(n, "critical", "database.missing", NULL) && !n->result.proved);
    json_decref(n->result.report);
    n->order.database_problem = "permission denied";
    must_run(n);
    assert_true(has(n, "critical", "database.unreadable", n->f->database));
    json_decref(n->result.report);
}

static void keys_that_travel_in_the_clear_are_found(void **state)
{
    struct night *n = *state;
    const struct config_upstream ones[] = {
        {.name = "far", .base_url = "http://provider.example/v1", .api_key = "k"},
        {.name = "near", .base_url = "http://127.0.0.1:1/v1", .api_key = "k"},
        {.name = "safe", .base_url = "https://provider.example/v1", .api_key = "k"},
        {.name = "none", .base_url = "http://provider.example/v1"},
        {.name = "echo"},
    };
    struct config altered = *n->config;

    altered.upstreams = (struct config_upstream *)ones;
    altered.upstream_count = sizeof ones / sizeof ones[0];
    n->order.config = &altered;
    must_run(n);
    assert_true(has(n, "warning", "upstream.cleartext", "far"));
    for (size_t i = 1; i < altered.upstream_count; i++)
        assert_false(has(n, "warning", "upstream.cleartext", ones[i].name));
    json_decref(n->result.report);
}

/* From night to night: the head is held against the trail, rows against the metrics. */
static void nights_follow_each_other(void **state)
{
    struct night *n = *state;
    struct nightly_state last = {0};
    const json_t *requests;
    struct err e;

    assert_int_equal(metrics_open(n->f->store, &e), 0);
    n->order.counters = true;
    must_run(n); /* an empty trail */
    assert_false(n->result.proved);
    json_decref(n->result.report);
    fill(n->f);
    must_run(n);
    requests = json_object_get(n->result.report, "requests");
    assert_true(json_is_false(json_object_get(requests, "compared")));
    last = n->result.next;
    assert_true(last.counted && last.head.seq > 0);
    json_decref(n->result.report);

    /* one request in both, then one that only the metrics know */
    n->order.last = &last;
    metrics_add(METRIC_REQUESTS, 1, "labs/x", "false", "completed");
    append(n->f, "end", "u6", NULL, "completed", NULL, 0);
    must_run(n);
    requests = json_object_get(n->result.report, "requests");
    assert_true(json_is_true(json_object_get(requests, "compared")));
    assert_false(has(n, "warning", "audit.outcomes", NULL));
    json_decref(n->result.report);
    metrics_add(METRIC_REQUESTS, 1, "labs/x", "false", "timeout");
    append(n->f, "end", "u7", NULL, "denied", NULL, 0);
    must_run(n);
    assert_true(has(n, "warning", "audit.outcomes", "timeout"));
    assert_true(has(n, "warning", "audit.outcomes", "denied"));
    json_decref(n->result.report);

    /* counters that were begun anew are not compared */
    last.low[0] = 1000;
    must_run(n);
    assert_false(has(n, "warning", "audit.outcomes", NULL));
    json_decref(n->result.report);

    /* another trail than last night's, or one cut short; then a row that was changed */
    last.head.hash[0] ^= 1;
    must_run(n);
    assert_true(has(n, "critical", "audit.head", NULL) && !n->result.proved);
    json_decref(n->result.report);
    last.head.seq = 1000;
    must_run(n);
    assert_true(has(n, "critical", "audit.head", NULL));
    json_decref(n->result.report);
    n->order.last = NULL;
    fixture_sql(n->f, "DROP TRIGGER audit_event_no_update");
    fixture_sql(n->f, "UPDATE audit_event SET agent = 'x' WHERE seq = 3");
    must_run(n);
    assert_true(has(n, "critical", "audit.chain", NULL) && !n->result.proved);
    json_decref(n->result.report);
    metrics_close();
}

/* All of it or nothing, whatever fails; what the database does not say is a finding. */
static void check(void *arg)
{
    struct night *n = arg;

    if (n->status != 0) {
        assert_null(n->result.report);
        return;
    }
    assert_non_null(json_object_get(n->result.report, "security_findings"));
    assert_non_null(json_object_get(n->result.report, "total_api_keys"));
    assert_non_null(json_object_get(n->result.report, "requests"));
    json_decref(n->result.report);
    n->result.report = NULL;
}

static void whatever_fails_is_said(void **state)
{
    static const unsigned kinds[] = {INJECT_MEMORY, INJECT_SQLITE, INJECT_COLUMN, INJECT_CRYPTO};
    struct night *n = *state;
    struct nightly_state last = {.counted = true};
    struct err e;

    fill(n->f);
    assert_int_equal(metrics_open(n->f->store, &e), 0);
    n->order.counters = true;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        n->order.last = i % 2 == 0 ? NULL : &last;
        assert_true(inject_each(kinds[i], run, check, n) > 2);
    }
    n->order.config = NULL;
    inject_each(INJECT_SQLITE, run, check, n);
    metrics_close();
    must_run(n); /* nothing has stuck */
    assert_true(n->result.proved);
    json_decref(n->result.report);
}

struct remembering {
    char path[128];
    struct nightly_state state;
    int status;
};

static void write_state(void *arg)
{
    struct remembering *r = arg;
    struct err e;

    r->status = nightly_state_write(r->path, &r->state, 1, &e);
}

static void what_was_counted_is_remembered(void **state)
{
    struct night *n = *state;
    struct remembering r = {.state = {.head = {.seq = 5}, .counted = true}};
    struct nightly_state read;
    struct err e;
    FILE *file;

    snprintf(r.path, sizeof r.path, "%s/state", n->f->directory);
    assert_int_equal(nightly_state_read(r.path, &read, &e), AGW_ENOTFOUND);
    memset(r.state.head.hash, 'a', sizeof r.state.head.hash - 1);
    for (int i = 0; i < NIGHTLY_OUTCOME_COUNT; i++) {
        r.state.low[i] = i;
        r.state.high[i] = 2 * i;
    }
    write_state(&r);
    assert_int_equal(r.status, 0);
    assert_int_equal(nightly_state_read(r.path, &read, &e), 0);
    assert_memory_equal(&read, &r.state, sizeof read);
    r.state.counted = false;
    write_state(&r);
    assert_int_equal(nightly_state_read(r.path, &read, &e), 0);
    assert_false(read.counted);
    for (int i = 0; i < 3; i++) { /* counts that are none, and no second line at all */
        static const char *const more[] = {"\n{\"metrics\":{\"completed\":[1,\"x\"]}}\n",
                                           "\n{\"metrics\":{\"completed\":[]}}\n", ""};

        file = fopen(r.path, "w");
        fprintf(file, "5 %s%s", r.state.head.hash, more[i]);
        fclose(file);
        assert_int_equal(nightly_state_read(r.path, &read, &e), 0);
        assert_false(read.counted);
    }
    file = fopen(r.path, "w");
    fputs("not ours\n", file);
    fclose(file);
    assert_int_equal(nightly_state_read(r.path, &read, &e), AGW_EINVALID);
    r.state.counted = true;
    inject_each(INJECT_MEMORY | INJECT_FILE, write_state, NULL, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(nightly_outcome(NULL), -1);
    assert_int_equal(nightly_outcome("nothing"), -1);
}

struct reading {
    const char *path;
    struct nightly_state state;
    int status;
};

static void read_state(void *arg)
{
    struct reading *r = arg;
    struct err e;

    r->status = nightly_state_read(r->path, &r->state, &e);
}

/* A file that vanishes between two looks at it is like one without counts. */
static void a_state_that_cannot_be_read_again_counts_nothing(void **state)
{
    struct night *n = *state;
    struct remembering r = {.state = {.head = {.seq = 5}}};
    struct reading reading = {.path = r.path};

    snprintf(r.path, sizeof r.path, "%s/state", n->f->directory);
    memset(r.state.head.hash, 'a', sizeof r.state.head.hash - 1);
    write_state(&r);
    inject_each(INJECT_MEMORY | INJECT_FILE, read_state, NULL, &reading);
    assert_int_equal(reading.status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(something_of_everything_is_found),
        TEST(a_configuration_that_cannot_be_read_is_found),
        TEST(a_database_that_is_gone_is_found),
        TEST(keys_that_travel_in_the_clear_are_found),
        TEST(nights_follow_each_other),
        TEST(whatever_fails_is_said),
        TEST(what_was_counted_is_remembered),
        TEST(a_state_that_cannot_be_read_again_counts_nothing),
    };

    return cmocka_run_group_tests_name("ctl/nightly", tests, NULL, NULL);
}

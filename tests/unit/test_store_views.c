/* SPDX-License-Identifier: MIT */
/* What people with a sqlite3 shell see: the views and each of sql/queries/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/configurations.h"
#include "store/overrides.h"
#include "store_fixture.h"

static void add_request(struct store *store, int number, const char *agent, const char *outcome)
{
    struct audit_row rows[2];
    char uid[16], id[16];

    snprintf(uid, sizeof uid, "uid%d", number);
    snprintf(id, sizeof id, "req-%d", number);
    rows[0] = fixture_row("decision", "dev", agent);
    rows[0].decision = "allow";
    rows[0].source = "override";
    rows[0].override_id = "ovr_1";
    rows[0].pattern = "labs/*";
    rows[0].route = "POST /v1/chat/completions";
    rows[1] = fixture_row("end", "dev", agent);
    rows[1].outcome = outcome;
    rows[1].status = strcmp(outcome, "completed") == 0 ? 200 : 502;
    rows[1].upstream = "openai";
    rows[1].prompt_tokens = 10;
    rows[1].completion_tokens = 5;
    rows[1].duration_ms = 100 + number;
    rows[0].request_uid = rows[1].request_uid = uid;
    rows[0].request_id = rows[1].request_id = id;
    fixture_append(store, rows, 2);
}

static void add_denial(struct store *store)
{
    struct audit_row row = fixture_row("refusal", "dev", "labs/secret");

    row.decision = "deny";
    row.source = "deny";
    row.outcome = "denied";
    row.status = 403;
    row.request_id = "req-denied";
    row.request_uid = "uid-denied";
    fixture_append(store, &row, 1);
}

/* A rule on trial that one request met, and one preview. */
static void add_shadow(struct store *store)
{
    struct audit_row row = fixture_row("decision", "dev", "labs/tried");

    row.decision = "allow";
    row.detail = "{\"would_deny\":{\"rule\":\"default.deny_agents\",\"pattern\":\"labs/t*\","
                 "\"place\":\"security.yaml:7\"}}";
    row.request_id = "req-tried";
    row.request_uid = "uid-tried";
    row.outcome = "completed";
    fixture_append(store, &row, 1);
    row.kind = "preview";
    row.request_uid = "uid-tried-preview";
    fixture_append(store, &row, 1);
    row.kind = "decision"; /* what has another form is passed over, and never an error */
    row.detail = "not {\"would_deny";
    row.request_uid = "uid-tried-odd";
    fixture_append(store, &row, 1);
}

static void add_policy(struct store *store)
{
    static const struct key_row keys[] = {
        {.id = "dev", .roles = "client", .was_plaintext = 1, .rate_per_minute = -1}};
    struct configuration c = {.sources = "{}", .keys = keys, .key_count = 1};
    char pattern[] = "labs/*", reason[] = "incident", by[] = "admin";
    struct override o = {.id = "ovr_1", .pattern = pattern, .reason = reason,
                         .created_by = by};
    struct audit_row row = fixture_row("override.created", "admin", "labs/*");
    int64_t generation;
    struct err e;

    memset(c.hash, 'a', sizeof c.hash - 1);
    c.hash[sizeof c.hash - 1] = '\0';
    assert_int_equal(configurations_accept(store, "/etc/gateway.yaml", &c, &generation, &e), 0);
    o.created_at = store_now(store);
    o.expires_at = o.created_at + 60000;
    assert_int_equal(overrides_create(store, &o, &row, &e), 0);
}

static void note_open(struct store *store, const char *process, int64_t seq)
{
    struct err e;
    struct db *db = store_acquire(store, &e);

    assert_int_equal(store_write_begin(store, db, &e), 0);
    assert_int_equal(audit_rows_note_open(store, db, process, seq, &e), 0);
    assert_int_equal(store_write_commit(store, db, &e), 0);
    store_release(store, db);
}

static void add_tool_calls(struct store *store)
{
    struct audit_row row = fixture_row("tool", "dev", "labs/planner");

    row.request_uid = "uid-tools";
    row.detail = "{\"tool\":\"files.read\",\"call\":1,\"decision\":\"allow\"}";
    fixture_append(store, &row, 1);
    row.detail = "{\"tool\":\"files.read\",\"call\":2,\"decision\":\"allow\"}";
    fixture_append(store, &row, 1);
    row.detail = "{\"tool\":\"say\",\"call\":3,\"decision\":\"deny\",\"status\":\"denied\"}";
    fixture_append(store, &row, 1);
    row.kind = "tool.end";
    row.duration_ms = 7;
    row.detail = "{\"tool\":\"files.read\",\"call\":2,\"status\":\"ok\"}";
    fixture_append(store, &row, 1);
}

/* Something for every question. */
static void fill(struct store *store)
{
    struct audit_row open = fixture_row("decision", "dev", "labs/open");

    add_policy(store);
    for (int i = 0; i < 6; i++)
        add_request(store, i, "labs/planner", i == 3 ? "upstream_error" : "completed");
    add_denial(store);
    open.decision = "allow";
    open.request_uid = "uid-open";
    open.request_id = "req-open";
    fixture_append(store, &open, 1);
    note_open(store, open.process, 15);
    open.kind = "preview"; /* asks about a denial, is none */
    open.decision = "deny";
    open.request_uid = "uid-preview";
    open.request_id = "req-preview";
    open.outcome = "completed";
    fixture_append(store, &open, 1);
    add_shadow(store);
    add_tool_calls(store);
}

static void the_views_say_what_happened(void **state)
{
    static const struct {
        const char *sql;
        long long number;
    } cases[] = {
        {"SELECT count(*) FROM decisions", 12},
        {"SELECT count(*) FROM tool_invocations", 3},
        {"SELECT duration_ms FROM tool_invocations WHERE status = 'ok'", 7},
        {"SELECT count(*) FROM tool_invocations WHERE status = 'unfinished'", 1},
        {"SELECT count(*) FROM tool_invocations WHERE status = 'denied' AND tool = 'say'", 1},
        {"SELECT count(*) FROM denials", 1},
        {"SELECT count(*) FROM denials WHERE agent = 'labs/secret' AND status = 403", 1},
        {"SELECT count(*) FROM requests", 12},
        {"SELECT count(*) FROM requests WHERE outcome = 'completed'", 9},
        {"SELECT duration_ms FROM requests WHERE request_id = 'req-3'", 103},
        {"SELECT status FROM requests WHERE request_id = 'req-3'", 502},
        {"SELECT count(*) FROM requests WHERE outcome = 'unfinished'", 1},
        {"SELECT count(*) FROM active_overrides", 1},
        {"SELECT uses FROM override_history WHERE state = 'active'", 6},
        {"SELECT count(*) FROM key_health WHERE health = 'plaintext' AND hashed = 0", 1},
        {"SELECT requests FROM usage_by_key_day WHERE key_id = 'dev'", 11},
        {"SELECT completed FROM usage_by_key_day WHERE key_id = 'dev'", 9},
        {"SELECT denied FROM usage_by_key_day WHERE key_id = 'dev'", 1},
        {"SELECT total_tokens FROM usage_by_key_day WHERE key_id = 'dev'", 90},
        {"SELECT count(*) FROM decisions WHERE time GLOB"
         " '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] *'", 12},
        {"SELECT count(*) FROM shadow_decisions", 1},
        {"SELECT count(*) FROM shadow_decisions WHERE would = 'would_deny' AND shadow_list ="
         " 'default.deny_agents' AND shadow_pattern = 'labs/t*' AND shadow_place ="
         " 'security.yaml:7' AND decision = 'allow' AND request_id = 'req-tried'", 1},
    };
    struct fixture *f = *state;

    fill(f->store);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (fixture_number(f, cases[i].sql) != cases[i].number)
            fail_msg("%s: %lld", cases[i].sql, fixture_number(f, cases[i].sql));
}

/* The index each question must find: without it ten million rows take minutes. */
static void the_views_use_their_indexes(void **state)
{
    static const struct {
        const char *sql, *plan;
    } cases[] = {
        {"SELECT * FROM denials", "audit_event_denied"},
        {"SELECT * FROM denials WHERE ts > 5", "audit_event_denied (ts>?)"},
        {"SELECT * FROM denials ORDER BY ts DESC LIMIT 5", "audit_event_denied"},
        {"SELECT * FROM shadow_decisions WHERE ts > 5", "audit_event_shadow (ts>?)"},
        {"SELECT * FROM shadow_decisions ORDER BY ts DESC LIMIT 5", "audit_event_shadow"},
        {"SELECT * FROM decisions WHERE ts > 5", "audit_event_ts (ts>?)"},
        {"SELECT * FROM decisions WHERE key_id = 'a' AND ts > 5", "audit_event_key"},
        {"SELECT * FROM decisions WHERE agent = 'a' AND ts > 5", "audit_event_agent"},
        {"SELECT * FROM requests WHERE request_id = 'a'", "audit_event_request"},
        {"SELECT * FROM requests WHERE ts > 5", "audit_event_end (request_uid=?)"},
        {"SELECT * FROM override_history", "audit_event_override"},
        {"SELECT * FROM active_overrides", "override_active"},
        {"SELECT * FROM audit_event WHERE kind = 'config.reloaded' AND kind <> 'decision'"
         " AND kind <> 'access' AND kind <> 'end' ORDER BY ts DESC LIMIT 9",
         "audit_event_kind"},
        {"SELECT * FROM audit_event WHERE outcome = 'timeout' AND outcome <> 'completed'",
         "audit_event_failed"},
    };
    struct fixture *f = *state;
    sqlite3 *handle;

    assert_int_equal(sqlite3_open(f->database, &handle), SQLITE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char sql[256], plan[2048] = "";
        sqlite3_stmt *statement;

        snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", cases[i].sql);
        assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL), SQLITE_OK);
        while (sqlite3_step(statement) == SQLITE_ROW) {
            size_t used = strlen(plan);

            snprintf(plan + used, sizeof plan - used, "%s\n",
                     (const char *)sqlite3_column_text(statement, 3));
        }
        sqlite3_finalize(statement);
        if (strstr(plan, cases[i].plan) == NULL)
            fail_msg("%s: %s", cases[i].sql, plan);
    }
    sqlite3_close(handle);
}

/* As an operator does: sqlite3 -readonly DB < file. */
static int run_shell(const struct fixture *f, const char *file)
{
    int pid = fork();

    if (pid == 0) {
        char output[160];
        int in = open(file, O_RDONLY), out;

        snprintf(output, sizeof output, "%s/answer", f->directory);
        out = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(in, 0);
        dup2(out, 1);
        execlp("sqlite3", "sqlite3", "-readonly", "-batch", "-bail", "-noheader", f->database,
               (char *)NULL);
        _exit(127);
    }
    return fixture_wait(pid);
}

static void check_query(const struct fixture *f, const char *name)
{
    char path[512], line[256] = "";
    FILE *file;

    snprintf(path, sizeof path, "%s/sql/queries/%s", AGW_SOURCE_DIR, name);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    if (strncmp(line, "-- ", 3) != 0 || strchr(line, '?') == NULL)
        fail_msg("%s: the first line does not ask the question", name);
    if (run_shell(f, path) != 0)
        fail_msg("%s: does not run", name);
    snprintf(path, sizeof path, "%s/answer", f->directory);
    file = fopen(path, "r");
    assert_non_null(file);
    if (fgets(line, sizeof line, file) == NULL)
        fail_msg("%s: no rows", name);
    fclose(file);
}

static void every_query_answers(void **state)
{
    struct fixture *f = *state;
    struct dirent *entry;
    int count = 0;
    DIR *directory = opendir(AGW_SOURCE_DIR "/sql/queries");

    assert_non_null(directory);
    fill(f->store);
    while ((entry = readdir(directory)) != NULL)
        if (strstr(entry->d_name, ".sql") != NULL) {
            check_query(f, entry->d_name);
            count++;
        }
    closedir(directory);
    assert_true(count >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(the_views_say_what_happened),
        TEST(the_views_use_their_indexes),
        TEST(every_query_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

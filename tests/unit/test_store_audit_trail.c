/* SPDX-License-Identifier: MIT */
/* Heads, exports and announcements of the trail: what is good, what is hostile, and (T32) whatever
 * fails on the way is told, leaves a chain that holds, and no file half written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inject.h"
#include "store/audit_export.h"
#include "store/audit_head.h"
#include "store/audit_prune.h"
#include "store_fixture.h"
#include "util/buf.h"
#include "util/clock.h"

#define DAY 86400000LL
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"

enum { EVERYTHING = INJECT_MEMORY | INJECT_SQLITE | INJECT_CRYPTO, ROWS = 12 };

struct scene {
    struct fixture *f;
    int status;
    struct err e;
    char path[160];
    struct buf lines;
    struct audit_head head;
    struct audit_check check;
    struct audit_verdict verdict;
    struct audit_export order;
    struct audit_exported exported;
    struct audit_pruned pruned;
    int many;
    bool deleted; /* once a walk */
};

/* ROWS rows, a day apart, the last of today. */
static void fill(struct store *store)
{
    for (int i = 0; i < ROWS; i++) {
        struct audit_row row = fixture_row("end", "dev", "default/a");

        row.ts = clock_wall_ms() - (ROWS - 1 - i) * DAY;
        row.outcome = i % 2 ? "completed" : NULL;
        row.reason = i % 3 ? "\xff\x01" : "\xc3\xa9\"\n";
        fixture_append(store, &row, 1);
    }
}

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    if (s == NULL || fixture_setup((void **)&s->f) != 0)
        return -1;
    snprintf(s->path, sizeof s->path, "%s/head", s->f->directory);
    buf_init(&s->lines, 64 << 20);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    buf_free(&s->lines);
    fixture_teardown((void **)&s->f);
    free(s);
    return 0;
}

/* The next run begins without prepared statements. */
static void reopen(struct scene *s)
{
    store_close(&s->f->store);
    s->f->store = fixture_open(s->f);
}

static void assert_told(const struct scene *s)
{
    if (s->status != 0)
        assert_true(s->e.message[0] != '\0');
}

/* ---- heads ---- */

static void heads_are_read(void **state)
{
    static const char *const good[] = {"17:" HASH, "17 " HASH, "17 " HASH " 2026-01-01T00:00:00Z",
                                       "17 " HASH "\n", "17:" HASH "\r\n",
                                       "17 " HASH " x\nmore"};
    static const char *const bad[] = {
        "", "17", "17:", ":" HASH, "0:" HASH, "-1:" HASH, " 17:" HASH, "+17:" HASH, "17;" HASH,
        "99999999999999999999:" HASH, "17:0123", "17:g" HASH, "17:" HASH "0", "17: " HASH,
        "17:zz23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    struct audit_head head;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(audit_head_parse(good[i], &head), 0);
        assert_int_equal(head.seq, 17);
        assert_int_equal(strncmp(head.hash, HASH, 58), 0);
        assert_string_equal(head.hash + 58, "abcdef");
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (audit_head_parse(bad[i], &head) == 0)
            fail_msg("'%s' passes for a head", bad[i]);
}

static void write_head(void *arg)
{
    struct scene *s = arg;

    s->status = audit_head_write(s->path, &s->head, 1, s->head.seq % 2 ? "more\n" : NULL, &s->e);
}

/* The old one or the new one, and nothing beside it. */
static void check_head(void *arg)
{
    struct scene *s = arg;
    struct audit_head found;
    char temporary[200];
    struct err e;

    assert_told(s);
    assert_int_equal(audit_head_read(s->path, &found, &e), 0);
    assert_int_equal(found.seq, s->status == 0 ? s->head.seq : s->head.seq - 1);
    snprintf(temporary, sizeof temporary, "%s.tmp", s->path);
    assert_int_not_equal(access(temporary, F_OK), 0);
    if (s->status == 0)
        s->head.seq++;
}

static void T32_a_head_is_written_whole_or_not(void **state)
{
    struct scene *s = *state;
    char hash[] = HASH, long_name[5000];
    struct audit_head found;
    struct err e;

    memcpy(s->head.hash, hash, sizeof hash);
    s->head.seq = 1;
    assert_int_equal(audit_head_read(s->path, &found, &e), AGW_ENOTFOUND);
    assert_int_equal(audit_head_read(s->f->directory, &found, &e), AGW_EINVALID);
    assert_int_equal(audit_head_read("/dev/null/x", &found, &e), AGW_EINVALID);
    write_head(s);
    s->head.seq++;
    assert_int_equal(audit_head_read(s->f->database, &found, &e), AGW_EINVALID);
    assert_true(inject_each(INJECT_FILE, write_head, check_head, s) > 3);
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(audit_head_write(long_name, &s->head, 1, NULL, &e), AGW_EINVALID);
}

/* The folder may belong to somebody else than root: what lies in the way leads nowhere. */
static void a_head_is_not_written_through_what_lies_in_its_way(void **state)
{
    struct scene *s = *state;
    char temporary[200], other[200];
    struct stat info;
    struct err e;
    int fd;

    snprintf(temporary, sizeof temporary, "%s.tmp", s->path);
    snprintf(other, sizeof other, "%s.other", s->path);
    assert_int_equal(symlink(other, temporary), 0);
    assert_int_equal(audit_head_write(s->path, &s->head, 1, NULL, &e), AGW_ESTORE);
    assert_int_not_equal(access(other, F_OK), 0);
    assert_int_equal(unlink(temporary), 0);

    fd = open(other, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "root's own", 10), 10);
    close(fd);
    assert_int_equal(link(other, temporary), 0);
    assert_int_equal(audit_head_write(s->path, &s->head, 1, NULL, &e), AGW_ESTORE);
    assert_int_equal(stat(other, &info), 0);
    assert_int_equal(info.st_size, 10);
    assert_int_equal(unlink(temporary), 0);

    assert_int_equal(mkfifo(temporary, 0600), 0);
    fd = open(temporary, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(audit_head_write(s->path, &s->head, 1, NULL, &e), AGW_ESTORE);
    close(fd);
    assert_int_equal(unlink(temporary), 0);
}

/* ---- verification against heads, with an anchor ---- */

static void count_progress(void *arg, int64_t done, int64_t of)
{
    int *calls = arg;

    assert_true(done <= of);
    ++*calls;
}

static void check_told(void *arg)
{
    assert_told(arg);
    reopen(arg);
}

static int take_line(void *arg, const char *line, size_t length)
{
    return buf_append(arg, line, length);
}

static void export(void *arg)
{
    struct scene *s = arg;
    struct db *db = store_acquire(s->f->store, &s->e);

    buf_reset(&s->lines);
    s->order.write = s->order.write == NULL ? take_line : s->order.write;
    s->order.arg = &s->lines;
    s->status = AGW_ESTORE;
    if (db == NULL)
        return;
    s->status = audit_export(db, &s->order, &s->exported, &s->e);
    store_release(s->f->store, db);
}

static void verify(void *arg)
{
    struct scene *s = arg;
    struct db *db = store_acquire(s->f->store, &s->e);

    s->status = AGW_ESTORE;
    if (db == NULL)
        return;
    s->status = audit_verify(db, &s->check, &s->verdict, &s->e);
    store_release(s->f->store, db);
}

static void check_verify(void *arg)
{
    struct scene *s = arg;

    if (s->status == 0)
        assert_int_equal(s->verdict.broken, s->verdict.known == AUDIT_KNOWN_MISSING);
    assert_told(s);
    reopen(s);
}

static struct audit_head head_at(struct scene *s, int64_t seq)
{
    s->check = (struct audit_check){.to_seq = seq};
    verify(s);
    assert_int_equal(s->verdict.head.seq, seq);
    s->check = (struct audit_check){.to_seq = 0};
    return s->verdict.head;
}

static void prune(void *arg)
{
    struct scene *s = arg;
    const struct audit_prune order = {.before = clock_wall_ms() - 6 * DAY + DAY / 2, .by = "me"};

    s->status = audit_prune(s->f->store, &order, &s->pruned, &s->e);
}

static void T32_verification_tells_its_failures(void **state)
{
    struct scene *s = *state;
    struct audit_head known;

    fill(s->f->store);
    known = head_at(s, 8);
    s->check.known = &known;
    for (int turn = 0; turn < 3; turn++) {
        s->check.from_known = turn == 1;
        s->check.from_seq = turn == 2 ? 10 : 0;
        assert_true(inject_each(EVERYTHING, verify, check_verify, s) > 8);
        verify(s);
        assert_int_equal(s->verdict.known, AUDIT_KNOWN_PRESENT);
    }
    inject_each(INJECT_COLUMN, verify, check_told, s);
    prune(s);
    assert_int_equal(s->status, 0);
    assert_int_equal(s->pruned.removed, 6);
    s->check.from_seq = 0;
    assert_true(inject_each(EVERYTHING, verify, check_verify, s) > 8);
    inject_each(INJECT_COLUMN, verify, check_told, s);
    known.seq = 9999;
    assert_true(inject_each(EVERYTHING, verify, check_verify, s) > 8);
    verify(s);
    assert_int_equal(s->verdict.known, AUDIT_KNOWN_MISSING);
    s->check = (struct audit_check){.from_seq = 1};
    verify(s);
    assert_int_equal(s->verdict.first_seq, 7);
}

static void blame(struct scene *s, const char *sql, int64_t bad_seq, const char *problem)
{
    fixture_sql(s->f, sql);
    verify(s);
    assert_true(s->verdict.broken);
    assert_int_equal(s->verdict.bad_seq, bad_seq);
    if (strstr(s->verdict.problem, problem) == NULL)
        fail_msg("'%s', not '%s'", s->verdict.problem, problem);
}

static void announcements_are_not_believed_blindly(void **state)
{
    struct scene *s = *state;

    fill(s->f->store);
    prune(s);
    fixture_sql(s->f, "DROP TRIGGER audit_event_no_update");
    blame(s, "UPDATE audit_event SET detail = json_set(detail, '$.through_hash', 'x')"
             " WHERE kind = 'audit.pruned'", 7, "removed last");
    blame(s, "UPDATE audit_event SET detail = json_remove(detail, '$.through_hash')"
             " WHERE kind = 'audit.pruned'", 7, "removed last");
    inject_start(INJECT_COLUMN, 0, false);
    verify(s);
    inject_stop();
    assert_true(s->verdict.broken);
}

/* ---- trails that are read in pieces ---- */

enum { MANY = 20010 };

/* All ten days old. */
static void fill_much(struct scene *s)
{
    struct audit_row *rows = calloc(MANY, sizeof *rows);

    assert_non_null(rows);
    for (int i = 0; i < MANY; i++) {
        rows[i] = fixture_row("access", "dev", NULL);
        rows[i].ts -= i < MANY - 3 ? 10 * DAY : 0;
    }
    fixture_append(s->f->store, rows, MANY);
    free(rows);
}

static void prune_between(void *arg, int64_t done, int64_t of)
{
    struct scene *s = arg;

    (void)of;
    if (done == 20000)
        prune(s);
}

static void delete_between(void *arg, int64_t done, int64_t of)
{
    struct scene *s = arg;

    (void)of;
    if (done != 20000 || s->deleted)
        return;
    s->deleted = true;
    fixture_sql(s->f, "DROP TRIGGER IF EXISTS audit_event_no_delete;"
                      "DELETE FROM audit_event WHERE seq = 20001");
    if (s->many > 0)
        inject_start(INJECT_SQLITE, s->many, true);
}

/* Between two pieces rows may go: in the open, or not. */
static void a_walk_notices_what_happens_meanwhile(void **state)
{
    struct scene *s = *state;

    fill_much(s);
    s->check = (struct audit_check){.progress = prune_between, .arg = s};
    verify(s);
    assert_int_equal(s->status, 0);
    assert_false(s->verdict.broken);
    assert_int_equal(s->verdict.anchor.seq, MANY - 3);
    assert_int_equal(s->verdict.checked, 20000 + 3 + 1);
}

static void a_walk_notices_who_deletes_meanwhile(void **state)
{
    struct scene *s = *state;

    fill_much(s);
    s->order.progress = count_progress;
    s->order.progress_arg = &s->many;
    export(s);
    assert_int_equal(s->exported.rows, MANY);
    assert_int_equal(s->many, 1);
    s->order.progress = NULL;
    export(s);
    assert_int_equal(s->status, 0);
    for (s->many = 2; s->many >= 0; s->many--) {
        s->check = (struct audit_check){.progress = delete_between, .arg = s};
        s->deleted = false;
        verify(s);
        inject_stop();
        if (s->status == 0) {
            assert_true(s->verdict.broken);
            assert_int_equal(s->verdict.bad_seq, 20002);
        }
    }
    assert_int_equal(s->status, 0);
}

static json_t *verdict_json(struct scene *s)
{
    json_t *json = audit_verdict_json(&s->verdict);

    assert_non_null(json);
    return json;
}

static void verdicts_say_what_became_of_a_head(void **state)
{
    struct scene *s = *state;
    struct audit_head old, at_anchor, newer;
    json_t *json;

    verify(s); /* an empty trail */
    json = verdict_json(s);
    assert_true(json_is_null(json_object_get(json, "first_seq")));
    json_decref(json);
    fill(s->f->store);
    old = head_at(s, 2);
    at_anchor = head_at(s, 6);
    newer = head_at(s, ROWS);
    prune(s);
    s->check.known = &old;
    verify(s);
    assert_false(audit_verdict_ok(&s->verdict));
    json = verdict_json(s);
    assert_string_equal(json_string_value(json_object_get(json, "known")), "pruned");
    assert_false(json_is_true(json_object_get(json, "ok")));
    json_decref(json);
    s->check.known = &at_anchor;
    verify(s);
    assert_int_equal(s->verdict.known, AUDIT_KNOWN_PRESENT);
    newer.seq += 50;
    s->check.known = &newer;
    verify(s);
    assert_int_equal(s->verdict.known, AUDIT_KNOWN_MISSING);
    json = verdict_json(s);
    assert_int_equal(json_integer_value(json_object_get(json, "bad_seq")), ROWS + 2);
    json_decref(json);
}

static void count_outcome(void *arg, int64_t seq, const char *outcome)
{
    assert_true(seq > 0);
    assert_string_equal(outcome, "completed");
    ++*(int *)arg;
}

static void rows_are_told_of(void **state)
{
    struct scene *s = *state;
    int calls = 0;

    fill(s->f->store);
    s->check = (struct audit_check){.ended = count_outcome, .arg = &calls};
    verify(s);
    assert_int_equal(calls, ROWS / 2);
    calls = 0;
    s->check = (struct audit_check){.progress = count_progress, .arg = &calls};
    verify(s);
    assert_int_equal(calls, 1);
}

/* ---- pruning ---- */

static void the_gate_is_held_for_a_moment_only(void **state)
{
    (void)state;
    assert_int_equal(audit_prune_pace(100, 1000), 200);
    assert_int_equal(audit_prune_pace(100, 10000), 100);
    assert_int_equal(audit_prune_pace(100, 50000), 51);
    assert_int_equal(audit_prune_pace(1, 50000), 1);
}

static void a_removal_that_was_announced_goes_on(void **state)
{
    struct scene *s = *state;
    struct audit_head through;
    struct db *db;

    fill(s->f->store);
    through = head_at(s, 6);
    db = store_acquire(s->f->store, &s->e);
    assert_int_equal(store_write_begin(s->f->store, db, &s->e), 0);
    assert_int_equal(audit_anchor_announce(s->f->store, db, &through, 6, "me", &s->e), 0);
    assert_int_equal(store_write_commit(s->f->store, db, &s->e), 0);
    store_release(s->f->store, db);
    s->check = (struct audit_check){.to_seq = 0};
    verify(s);
    assert_false(s->verdict.broken);
    prune(s);
    assert_int_equal(s->pruned.removed, 6);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM audit_anchor"), 1);
}

static void a_hole_is_not_pruned(void **state)
{
    struct scene *s = *state;
    struct db *taken[4];

    fill(s->f->store);
    fixture_sql(s->f, "DROP TRIGGER audit_event_no_delete; DELETE FROM audit_event WHERE seq = 6");
    prune(s);
    assert_int_equal(s->status, AGW_EINVALID);
    assert_non_null(strstr(s->e.message, "row 6 is missing"));
    reopen(s);
    for (size_t i = 0; i < 4; i++) /* more than are open already */
        taken[i] = store_acquire(s->f->store, &s->e);
    inject_start(EVERYTHING, 0, true);
    prune(s);
    inject_stop();
    assert_int_equal(s->status, AGW_ESTORE);
    for (size_t i = 0; i < 4; i++)
        store_release(s->f->store, taken[i]);
}

static void check_prune(void *arg)
{
    struct scene *s = arg;
    long long oldest;

    assert_told(s);
    reopen(s);
    s->check = (struct audit_check){.to_seq = 0};
    oldest = fixture_number(s->f, "SELECT min(seq) FROM audit_event");
    verify(s);
    assert_int_equal(s->status, 0);
    assert_false(s->verdict.broken);
    assert_true(oldest >= 1 && oldest <= 7);
    /* As if nothing had happened, for the next turn. */
    store_close(&s->f->store);
    unlink(s->f->database);
    for (const char *const *side = (const char *const[]){"-wal", "-shm", ".gate", ".shared", NULL};
         *side != NULL; side++) {
        char path[200];

        snprintf(path, sizeof path, "%s%s", s->f->database, *side);
        unlink(path);
    }
    s->f->store = fixture_open(s->f);
    fill(s->f->store);
}

static void T32_pruning_leaves_a_whole_chain(void **state)
{
    struct scene *s = *state;

    fill(s->f->store);
    assert_true(inject_each(EVERYTHING, prune, check_prune, s) > 20);
}

static void pruning_reports(void **state)
{
    struct scene *s = *state;
    int verified = 0, removed = 0;
    const struct audit_prune order = {.before = clock_wall_ms() - 3 * DAY, .by = NULL,
                                      .verified = count_progress, .verified_arg = &verified,
                                      .removed = count_progress, .removed_arg = &removed};

    assert_int_equal(audit_prune(s->f->store, &order, &s->pruned, &s->e), 0); /* no rows */
    assert_int_equal(s->pruned.rows, 0);
    fill(s->f->store);
    assert_int_equal(audit_prune(s->f->store, &order, &s->pruned, &s->e), 0);
    assert_int_equal(s->pruned.removed, ROWS - 4);
    assert_int_equal(verified, 1);
    assert_int_equal(removed, 1);
}

/* ---- export ---- */

static int refuse_line(void *arg, const char *line, size_t length)
{
    (void)arg;
    (void)line;
    (void)length;
    return -1;
}

/* Whole rows without a gap, as many as it says. */
static void check_export(void *arg)
{
    struct scene *s = arg;
    const char *at = buf_text(&s->lines);
    int64_t expected = s->order.after.seq + 1;

    assert_told(s);
    for (; *at != '\0'; at = strchr(at, '\n') + 1, expected++) {
        json_t *row = json_loadb(at, strcspn(at, "\n"), 0, NULL);

        assert_non_null(row);
        assert_int_equal(json_integer_value(json_object_get(row, "seq")), expected);
        json_decref(row);
    }
    if (s->status == 0)
        assert_int_equal(expected, ROWS + 1);
    reopen(s);
}

static void T32_exports_hold_whole_rows(void **state)
{
    struct scene *s = *state;
    struct audit_head after;

    fill(s->f->store);
    after = head_at(s, 5);
    assert_true(inject_each(EVERYTHING, export, check_export, s) > 8);
    s->order.after = after;
    assert_true(inject_each(EVERYTHING, export, check_export, s) > 8);
    inject_each(INJECT_COLUMN, export, check_told, s);
    s->order.write = refuse_line;
    export(s);
    assert_int_equal(s->status, AGW_EINTERNAL);
}

static void exports_go_on_in_the_same_trail_only(void **state)
{
    struct scene *s = *state;
    struct audit_head removed, anchor;
    int calls = 0;

    fill(s->f->store);
    removed = head_at(s, 2);
    anchor = head_at(s, 6);
    s->order.progress = count_progress;
    s->order.progress_arg = &calls;
    s->order.after = (struct audit_head){.seq = ROWS - 1};
    export(s);
    assert_int_equal(s->exported.rows, 1);
    assert_int_equal(s->exported.first_seq, ROWS);
    s->order.after = removed;
    s->order.after.hash[0] = s->order.after.hash[0] == 'a' ? 'b' : 'a';
    export(s);
    assert_int_equal(s->status, AGW_EINVALID);
    assert_non_null(strstr(s->e.message, "another"));
    s->order.after = (struct audit_head){.seq = 99};
    export(s);
    assert_int_equal(s->status, AGW_EINVALID);
    prune(s);
    s->order.after = removed;
    export(s);
    assert_int_equal(s->status, AGW_EINVALID);
    assert_non_null(strstr(s->e.message, "removed before"));
    s->order.after = anchor;
    export(s);
    assert_int_equal(s->status, 0);
    assert_int_equal(s->exported.rows, ROWS - 6 + 1);
    s->order.after.hash[0] = '\0';
    s->order.to_seq = 8;
    export(s);
    assert_int_equal(s->exported.rows, 2);
    s->order.after = anchor;
    s->order.after.hash[0] = s->order.after.hash[0] == 'a' ? 'b' : 'a';
    export(s);
    assert_int_equal(s->status, AGW_EINVALID);
    s->order.after = (struct audit_head){.seq = 0};
    s->order.to_seq = 0;
    fixture_sql(s->f, "DROP TRIGGER audit_event_no_delete;"
                      "DELETE FROM audit_event WHERE seq = 9");
    export(s);
    assert_int_equal(s->status, AGW_EINVALID);
    assert_non_null(strstr(s->e.message, "between"));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_read),
        CASE(T32_a_head_is_written_whole_or_not),
        CASE(a_head_is_not_written_through_what_lies_in_its_way),
        CASE(T32_verification_tells_its_failures),
        CASE(announcements_are_not_believed_blindly),
        CASE(a_walk_notices_what_happens_meanwhile),
        CASE(a_walk_notices_who_deletes_meanwhile),
        cmocka_unit_test(the_gate_is_held_for_a_moment_only),
        CASE(a_removal_that_was_announced_goes_on),
        CASE(a_hole_is_not_pruned),
        CASE(verdicts_say_what_became_of_a_head),
        CASE(rows_are_told_of),
        CASE(T32_pruning_leaves_a_whole_chain),
        CASE(pruning_reports),
        CASE(T32_exports_hold_whole_rows),
        CASE(exports_go_on_in_the_same_trail_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

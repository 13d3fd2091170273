/* SPDX-License-Identifier: MIT */
/* The gate, the migrations, the shared revision and the clock that never steps back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/db.h"
#include "store/gate.h"
#include "store/migrate.h"
#include "store/now.h"
#include "store_fixture.h"
#include "util/clock.h"
#include "util/log.h"

static void a_fresh_database_has_the_newest_schema(void **state)
{
    struct fixture *f = *state;
    struct stat info;

    assert_int_equal(fixture_number(f, "PRAGMA user_version"), migrate_newest());
    assert_int_equal(stat(f->database, &info), 0);
    assert_int_equal(info.st_mode & 07, 0);
    assert_int_equal(info.st_mode & 0440, 0440);
    for (size_t i = 1; i < migration_count; i++)
        assert_true(migrations[i].version > migrations[i - 1].version);
}

static int open_again(struct fixture *f, struct err *e)
{
    struct store *store;
    int status = store_open(&f->options, &store, e);

    store_close(&store);
    return status;
}

static void T42_a_newer_database_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    struct err e;

    store_close(&f->store);
    fixture_sql(f, "PRAGMA user_version = 9999");
    assert_int_equal(open_again(f, &e), AGW_ESTORE);
    assert_non_null(strstr(e.message, f->database));
    assert_non_null(strstr(e.message, "newer"));
    assert_int_equal(fixture_number(f, "PRAGMA user_version"), 9999);
    f->options.read_only = true;
    assert_int_equal(open_again(f, &e), AGW_ESTORE);
}

static void another_journal_mode_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err e;

    store_close(&f->store);
    fixture_sql(f, "PRAGMA journal_mode = DELETE");
    assert_int_equal(open_again(f, &e), AGW_ESTORE);
    assert_non_null(strstr(e.message, "journal mode"));
}

static void remove_database(const struct fixture *f)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[160];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(path, sizeof path, "%s%s", f->database, ends[i]);
        unlink(path);
    }
}

static void what_is_no_database_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err e;
    int fd;

    store_close(&f->store);
    remove_database(f);
    fd = open(f->database, O_WRONLY | O_CREAT, 0600);
    for (int i = 0; i < 200; i++)
        assert_int_equal(write(fd, "this is no database at all", 26), 26);
    close(fd);
    assert_int_equal(open_again(f, &e), AGW_ESTORE);
    assert_non_null(strstr(e.message, f->database));
}

/* A process killed at any moment of its first start leaves no schema or all of it. */
static void open_once(void *arg)
{
    struct store *store = fixture_open(arg);

    store_close(&store);
}

static void T42_a_killed_migration_is_done_or_not_begun(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 3;

    for (int i = 0; i < 15; i++) {
        long long tables, version;
        int pid;

        store_close(&f->store);
        remove_database(f);
        pid = fixture_fork(open_once, f);
        usleep((useconds_t)(rand_r(&seed) % 12000));
        kill(pid, SIGKILL);
        fixture_wait(pid);
        tables = fixture_number(f, "SELECT count(*) FROM sqlite_schema");
        version = fixture_number(f, "PRAGMA user_version");
        assert_true((tables == 0) == (version == 0));
        f->store = fixture_open(f);
        assert_int_equal(fixture_number(f, "PRAGMA user_version"), migrate_newest());
    }
}

/* Everything the schema says, as one text. */
static char *schema_of(const char *path)
{
    sqlite3 *handle;
    sqlite3_stmt *statement;
    char *text;

    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle,
                                        "SELECT group_concat(type || ' ' || name || ' ' || sql)"
                                        " FROM (SELECT * FROM sqlite_schema WHERE sql NOT NULL"
                                        " ORDER BY type, name)", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    text = strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    return text;
}

/* From each version there ever was, with rows in it, to the schema of a fresh database. */
static void T42_every_old_schema_becomes_the_newest(void **state)
{
    struct fixture *f = *state;
    char *fresh = schema_of(f->database);

    for (int old = 1; old < migrate_newest(); old++) {
        char pragma[60], *upgraded;

        store_close(&f->store);
        remove_database(f);
        fixture_sql(f, "PRAGMA journal_mode = wal");
        for (int i = 0; i < old; i++)
            fixture_sql(f, migrations[i].sql);
        snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", old);
        fixture_sql(f, pragma);
        fixture_sql(f, "INSERT INTO audit_event (seq, ts, kind, prev_hash, hash)"
                       " VALUES (1, 1, 'config.reloaded', 'a', 'b'), (2, 1, 'end', 'b', 'c')");
        f->store = fixture_open(f);
        upgraded = schema_of(f->database);
        assert_string_equal(upgraded, fresh);
        assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit_event"), 2);
        assert_int_equal(fixture_number(f, "SELECT count(*) FROM pragma_integrity_check"
                                           " WHERE integrity_check = 'ok'"), 1);
        free(upgraded);
    }
    free(fresh);
}

static void a_reader_cannot_write(void **state)
{
    struct fixture *f = *state;
    struct store *reader;
    struct db *db;
    struct err e;

    f->options.read_only = true;
    reader = fixture_open(f);
    db = store_acquire(reader, &e);
    assert_non_null(db);
    assert_int_equal(store_write_begin(reader, db, &e), AGW_ESTORE);
    assert_int_equal(db_exec(db, "DELETE FROM meta", &e), AGW_ESTORE);
    store_release(reader, db);
    assert_true(store_now(reader) >= clock_wall_ms() - 1000);
    store_close(&reader);
}

/* T36: the gate is held by a process that does not let go. */
static void T36_a_held_gate_bounds_the_wait(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    struct db *db;
    char path[160];
    int64_t before, waited;
    struct err e;
    int fd;

    snprintf(path, sizeof path, "%s.gate", f->database);
    fd = open(path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    f->options.gate_wait_ms = 200;
    f->options.read_only = false;
    store_close(&f->store);
    before = clock_mono_ms();
    assert_int_equal(store_open(&f->options, &store, &e), AGW_ESTORE);
    waited = clock_mono_ms() - before;
    assert_in_range(waited, 190, 2000);
    flock(fd, LOCK_UN);
    store = fixture_open(f);
    db = store_acquire(store, &e);
    flock(fd, LOCK_EX);
    before = clock_mono_ms();
    assert_int_equal(store_write_begin(store, db, &e), AGW_ESTORE);
    waited = clock_mono_ms() - before;
    assert_in_range(waited, 190, 2000);
    close(fd);
    assert_int_equal(store_write_begin(store, db, &e), 0);
    assert_int_equal(store_write_commit(store, db, &e), 0);
    store_release(store, db);
    store_close(&store);
}

/* T36: a sqlite3 shell holds SQLite's own lock and knows nothing of the gate. */
static void T36_a_held_database_lock_bounds_the_wait(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    sqlite3 *shell;
    struct db *db;
    int64_t before;
    struct err e;

    f->options.gate_wait_ms = 200;
    store = fixture_open(f);
    assert_int_equal(sqlite3_open(f->database, &shell), SQLITE_OK);
    assert_int_equal(sqlite3_exec(shell, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    db = store_acquire(store, &e);
    before = clock_mono_ms();
    assert_int_equal(store_write_begin(store, db, &e), AGW_ESTORE);
    assert_in_range(clock_mono_ms() - before, 150, 2000);
    sqlite3_close(shell);
    assert_int_equal(store_write_begin(store, db, &e), 0);
    store_write_rollback(store, db);
    store_release(store, db);
    store_close(&store);
}

static void hold_and_die(void *arg)
{
    struct store *store = fixture_open(arg);
    struct err e;
    struct db *db = store_acquire(store, &e);

    assert_int_equal(store_write_begin(store, db, &e), 0);
    kill(getpid(), SIGKILL);
}

/* What a ROLLBACK leaves behind that failed for want of memory. */
static void T32_an_open_transaction_is_ended_by_the_next_user(void **state)
{
    struct fixture *f = *state;
    struct db *db;
    struct err e;

    db = store_acquire(f->store, &e);
    assert_int_equal(db_exec(db, "BEGIN IMMEDIATE; UPDATE meta SET value = 77", &e), 0);
    if (store_write_begin(f->store, db, &e) != 0)
        fail_msg("%s", e.message);
    assert_int_equal(store_write_commit(f->store, db, &e), 0);
    assert_int_equal(db_exec(db, "BEGIN IMMEDIATE", &e), 0);
    store_release(f->store, db);
    db = store_acquire(f->store, &e);
    assert_int_equal(sqlite3_get_autocommit(db_handle(db)), 1);
    store_release(f->store, db);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM meta WHERE value = 77"), 0);
}

/* It is needed when there is no memory to prepare it. */
static void T32_a_rollback_is_prepared_beforehand(void **state)
{
    struct fixture *f = *state;
    struct store *store = fixture_open(f);
    struct err e;
    struct db *db = store_acquire(store, &e);
    sqlite3_stmt *s = NULL;

    do
        s = sqlite3_next_stmt(db_handle(db), s);
    while (s != NULL && strcmp(sqlite3_sql(s), "ROLLBACK") != 0);
    assert_non_null(s);
    store_release(store, db);
    store_close(&store);
}

struct other_writer {
    struct store *store;
    int status;
    int64_t waited;
};

static void *write_too(void *arg)
{
    struct other_writer *other = arg;
    int64_t before = clock_mono_ms();
    struct db *db = store_acquire(other->store, NULL);

    other->status = store_write_begin(other->store, db, NULL);
    if (other->status == 0)
        other->status = store_write_commit(other->store, db, NULL);
    other->waited = clock_mono_ms() - before;
    store_release(other->store, db);
    return NULL;
}

/* Whoever has the gate meanwhile waits for the lock of that transaction: its owner must not wait
 * for the gate with it. */
static void T32_an_open_transaction_stops_no_other_writer(void **state)
{
    enum { BOUND_MS = 20000 };
    struct fixture *f = *state;
    struct other_writer other = {0};
    pthread_t thread;
    char gate[160];
    struct db *db;
    struct err e;

    snprintf(gate, sizeof gate, "%s.gate", f->database);
    f->options.gate_wait_ms = BOUND_MS;
    other.store = fixture_open(f);
    db = store_acquire(other.store, &e);
    assert_int_equal(db_exec(db, "BEGIN IMMEDIATE", &e), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_too, &other), 0);
    while (gate_holder(gate) == 0) /* it takes the gate, and waits for the lock */
        usleep(1000);
    assert_int_equal(store_write_begin(other.store, db, &e), 0);
    store_write_rollback(other.store, db);
    pthread_join(thread, NULL);
    assert_int_equal(other.status, 0);
    assert_true(other.waited < BOUND_MS / 2);
    store_release(other.store, db);
    store_close(&other.store);
}

static void the_gate_outlives_no_holder(void **state)
{
    struct fixture *f = *state;
    struct err e;
    struct db *db = store_acquire(f->store, &e);

    assert_int_equal(fixture_wait(fixture_fork(hold_and_die, f)), 128 + SIGKILL);
    assert_int_equal(store_write_begin(f->store, db, &e), 0);
    store_write_rollback(f->store, db);
    store_release(f->store, db);
}

enum { THREADS = 4, ROUNDS = 200 };

struct counter {
    struct gate *gate;
    volatile int inside;
    long total;
};

static void *count_inside(void *arg)
{
    struct counter *c = arg;

    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(gate_acquire(c->gate, 10000, NULL), 0);
        if (++c->inside != 1)
            abort();
        c->total++;
        --c->inside;
        gate_release(c->gate);
    }
    return NULL;
}

static void the_gate_holds_one_thread(void **state)
{
    struct fixture *f = *state;
    struct counter c = {0};
    pthread_t threads[THREADS];
    char path[160];
    struct err e;

    snprintf(path, sizeof path, "%s/a.gate", f->directory);
    assert_int_equal(gate_open(path, &c.gate, &e), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_inside, &c), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(c.total, THREADS * ROUNDS);
    gate_close(&c.gate);
}

static void bump(struct store *store, bool commit)
{
    struct err e;
    struct db *db = store_acquire(store, &e);

    assert_int_equal(store_write_begin(store, db, &e), 0);
    assert_int_equal(store_revision_bump(store, db, &e), 0);
    if (commit)
        assert_int_equal(store_write_commit(store, db, &e), 0);
    else
        store_write_rollback(store, db);
    store_release(store, db);
}

static void bump_elsewhere(void *arg)
{
    struct store *store = fixture_open(arg);

    bump(store, true);
    store_close(&store);
}

static void a_revision_is_seen_across_processes(void **state)
{
    struct fixture *f = *state;
    uint64_t before = store_revision(f->store);

    assert_true(before > 0);
    bump(f->store, false);
    assert_int_equal(store_revision(f->store), before);
    bump(f->store, true);
    assert_int_equal(store_revision(f->store), before + 1);
    assert_int_equal(fixture_wait(fixture_fork(bump_elsewhere, f)), 0);
    assert_int_equal(store_revision(f->store), before + 2);
    assert_int_equal(fixture_number(f, "SELECT value FROM meta WHERE name = 'revision'"),
                     before + 2);
}

static void a_strangers_revision_is_found(void **state)
{
    struct fixture *f = *state;
    uint64_t before = store_revision(f->store);
    struct err e;

    fixture_sql(f, "UPDATE meta SET value = value + 5 WHERE name = 'revision'");
    assert_int_equal(store_revision(f->store), before);
    assert_int_equal(store_revision_sync(f->store, &e), 0);
    assert_int_equal(store_revision(f->store), before + 5);
}

/* A backup that was put back is behind: the next change must be seen all the same. */
static void a_restored_database_moves_the_revision(void **state)
{
    struct fixture *f = *state;
    uint64_t before;

    for (int i = 0; i < 5; i++)
        bump(f->store, true);
    before = store_revision(f->store);
    fixture_sql(f, "UPDATE meta SET value = 1 WHERE name = 'revision'");
    bump(f->store, true);
    assert_int_equal(store_revision(f->store), before + 1);
}

enum { DAY = 86400000 };

static void T39_time_never_steps_back(void **state)
{
    /* what the clocks say one after the other, and what the time is */
    static const struct {
        int64_t wall, mono, now;
    } readings[] = {
        {5000000000, 1000, 5000000000},
        {5000000100, 1100, 5000000100},
        {5000000100 + DAY, 1200, 5000000100 + DAY},  /* a step forward */
        {5000000300, 1300, 5000000200 + DAY},        /* and back: real time goes on */
        {5000060300, 61300, 5000060200 + DAY},
        {0, 61400, 5000060300 + DAY},                /* the epoch */
        {2147483648000, 61500, 2147483648000},       /* 2038 */
        {5000000000, 61600, 2147483648100},
    };
    struct now_clock clock = {0};

    (void)state;
    for (size_t i = 0; i < sizeof readings / sizeof readings[0]; i++)
        assert_int_equal(now_read(&clock, readings[i].wall, readings[i].mono),
                         readings[i].now);
}

static void T39_the_highest_time_survives_a_restart(void **state)
{
    struct fixture *f = *state;
    int64_t future = clock_wall_ms() + DAY;
    char sql[128], path[160];

    assert_true(store_now(f->store) < future);
    bump(f->store, true);
    assert_true(fixture_number(f, "SELECT value FROM meta WHERE name = 'time'") >=
                clock_wall_ms() - 60000);
    store_close(&f->store);
    snprintf(sql, sizeof sql, "UPDATE meta SET value = %lld WHERE name = 'time'",
             (long long)future);
    fixture_sql(f, sql);
    snprintf(path, sizeof path, "%s.shared", f->database);
    unlink(path); /* also when the shared file is lost */
    f->store = fixture_open(f);
    assert_true(store_now(f->store) >= future);
    assert_true(store_now(f->store) < future + 60000);
}

static void a_reader_does_not_hold_the_log(void **state)
{
    struct fixture *f = *state;
    struct err e;
    struct db *db = store_acquire(f->store, &e);
    int64_t value;

    assert_int_equal(db_number(db, "SELECT value FROM meta WHERE name = 'revision'", 0, &value,
                               &e), 0);
    store_release(f->store, db);
    bump(f->store, true);
    assert_int_equal(fixture_number(f, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
}

/* Enough rows for some checkpoints: the log does not grow without end, heads are told. */
static void count_call(void *arg, struct db *db)
{
    (void)db;
    ++*(int *)arg;
}

static void the_log_is_checkpointed(void **state)
{
    struct fixture *f = *state;
    struct audit_row rows[200];
    char path[160], detail[4000];
    struct stat info;
    int calls = 0;

    memset(detail, 'x', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    for (int i = 0; i < 200; i++) {
        rows[i] = fixture_row("end", "dev", "default/a");
        rows[i].detail = detail;
    }
    store_on_checkpoint(f->store, count_call, &calls);
    for (int i = 0; i < 40; i++)
        fixture_append(f->store, rows, 200);
    assert_true(calls >= 3);
    snprintf(path, sizeof path, "%s-wal", f->database);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size < 14 << 20);
}

/* A log that was begun anew may be as long as the last one at its first commit, or longer. */
static void a_log_begun_anew_is_checkpointed_at_once(void **state)
{
    enum { COMMITS = 12, STEP = 40 };
    struct fixture *f = *state;
    static struct audit_row rows[2000 + COMMITS * STEP];
    char detail[4000];
    int calls = 0;

    memset(detail, 'x', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rows[i] = fixture_row("end", "dev", "default/a");
        rows[i].detail = detail;
    }
    store_on_checkpoint(f->store, count_call, &calls);
    for (int i = 1; i <= COMMITS; i++) {
        fixture_append(f->store, rows, 2000 + i * STEP);
        assert_int_equal(calls, i);
    }
}

/* Another process holds SQLite's lock for checkpoints (byte 121 of the index file). */
static void a_failed_checkpoint_is_tried_again_soon(void **state)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 121, .l_len = 1};
    struct fixture *f = *state;
    struct audit_row rows[100];
    char path[160], detail[4000];
    int calls = 0, held[2];
    pid_t pid;

    memset(detail, 'x', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    for (int i = 0; i < 100; i++) {
        rows[i] = fixture_row("end", "dev", "default/a");
        rows[i].detail = detail;
    }
    log_set_level(LOG_ERROR + 1);
    store_on_checkpoint(f->store, count_call, &calls);
    fixture_append(f->store, rows, 1);
    snprintf(path, sizeof path, "%s-shm", f->database);
    assert_int_equal(pipe(held), 0);
    pid = fork();
    if (pid == 0) {
        int fd = open(path, O_RDWR | O_CLOEXEC);

        if (fd < 0 || fcntl(fd, F_SETLK, &lock) != 0 || write(held[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(held[0], path, 1), 1);
    for (int i = 0; i < 30; i++)
        fixture_append(f->store, rows, 100);
    assert_int_equal(calls, 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    fixture_append(f->store, rows, 16);
    assert_int_equal(calls, 1);
    log_set_level(LOG_WARN);
    close(held[0]);
    close(held[1]);
}

struct told {
    int begun, done, checkpoints;
};

static void note_done(void *arg)
{
    ((struct told *)arg)->done++;
}

static void note_checkpoint(void *arg, struct db *db)
{
    struct told *told = arg;

    (void)db;
    told->checkpoints++;
    assert_int_equal(told->done, told->begun);
}

/* Whoever waits for a commit is told before the checkpoint that it causes; of a commit that
 * fails nobody is told. */
static void a_commit_is_told_before_its_checkpoint(void **state)
{
    struct fixture *f = *state;
    struct audit_row rows[100];
    struct told told = {0};
    char detail[4000];
    struct db *db;
    struct err e;

    memset(detail, 'x', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    for (int i = 0; i < 100; i++) {
        rows[i] = fixture_row("end", "dev", "default/a");
        rows[i].detail = detail;
    }
    store_on_checkpoint(f->store, note_checkpoint, &told);
    db = store_acquire(f->store, &e);
    while (told.checkpoints == 0 && told.begun < 200) {
        assert_int_equal(store_write_begin(f->store, db, &e), 0);
        assert_int_equal(audit_rows_append(f->store, db, rows, 100, NULL, &e), 0);
        told.begun++;
        assert_int_equal(store_write_commit_then(f->store, db, note_done, &told, &e), 0);
        assert_int_equal(told.done, told.begun);
    }
    assert_int_equal(told.checkpoints, 1);
    assert_int_equal(store_write_begin(f->store, db, &e), 0);
    assert_int_equal(sqlite3_exec(db_handle(db), "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(store_write_commit_then(f->store, db, note_done, &told, &e), 0);
    assert_int_equal(told.done, told.begun);
    store_release(f->store, db);
}

struct greedy {
    struct gate *gate;
    atomic_int turns;
    atomic_bool stop;
};

static void *come_back_at_once(void *arg)
{
    struct greedy *g = arg;

    while (!atomic_load(&g->stop)) {
        assert_int_equal(gate_acquire(g->gate, 60000, NULL), 0);
        atomic_fetch_add(&g->turns, 1);
        usleep(2000);
        gate_release(g->gate);
    }
    return NULL;
}

/* A long pruning in many pieces must not keep the audit of requests waiting. */
static void the_gate_goes_round(void **state)
{
    enum { TIMES = 30 };
    struct fixture *f = *state;
    struct greedy g = {0};
    struct err e;
    char path[512];
    pthread_t thread;
    int turns = 0;

    snprintf(path, sizeof path, "%s/a.gate", f->directory);
    assert_int_equal(gate_open(path, &g.gate, &e), 0);
    assert_int_equal(pthread_create(&thread, NULL, come_back_at_once, &g), 0);
    for (int i = 0; i < TIMES; i++) {
        int before;

        usleep(1000); /* the other one has it meanwhile */
        before = atomic_load(&g.turns);
        assert_int_equal(gate_acquire(g.gate, 60000, &e), 0);
        turns += atomic_load(&g.turns) - before;
        gate_release(g.gate);
    }
    atomic_store(&g.stop, true);
    pthread_join(thread, NULL);
    gate_close(&g.gate);
    if (turns > TIMES)
        fail_msg("the other thread went %d times in %d rounds", turns, TIMES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_fresh_database_has_the_newest_schema),
        TEST(T42_a_newer_database_is_refused_and_left_alone),
        TEST(another_journal_mode_is_refused),
        TEST(what_is_no_database_is_refused),
        TEST(T42_a_killed_migration_is_done_or_not_begun),
        TEST(T42_every_old_schema_becomes_the_newest),
        TEST(a_reader_cannot_write),
        TEST(T36_a_held_gate_bounds_the_wait),
        TEST(T36_a_held_database_lock_bounds_the_wait),
        TEST(T32_an_open_transaction_is_ended_by_the_next_user),
        TEST(T32_a_rollback_is_prepared_beforehand),
        TEST(T32_an_open_transaction_stops_no_other_writer),
        TEST(the_gate_outlives_no_holder),
        TEST(the_gate_holds_one_thread),
        TEST(the_gate_goes_round),
        TEST(a_revision_is_seen_across_processes),
        TEST(a_strangers_revision_is_found),
        TEST(a_restored_database_moves_the_revision),
        cmocka_unit_test(T39_time_never_steps_back),
        TEST(T39_the_highest_time_survives_a_restart),
        TEST(a_reader_does_not_hold_the_log),
        TEST(the_log_is_checkpointed),
        TEST(a_log_begun_anew_is_checkpointed_at_once),
        TEST(a_failed_checkpoint_is_tried_again_soon),
        TEST(a_commit_is_told_before_its_checkpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

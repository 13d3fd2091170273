/* SPDX-License-Identifier: MIT */
/* Makes and removes databases for tests. */
#define _XOPEN_SOURCE_EXTENDED 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_fixture.h"
#include "util/clock.h"
#include "util/log.h"

/* Where coverage is measured: _exit() would lose a child's. */
extern void __gcov_dump(void) __attribute__((weak));

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err e;

    log_set_level(LOG_ERROR);
    snprintf(f->directory, sizeof f->directory, "%s", "/tmp/agw-test-XXXXXX");
    if (mkdtemp(f->directory) == NULL)
        return -1;
    snprintf(f->database, sizeof f->database, "%s/gateway.db", f->directory);
    f->options = (struct store_options){
        .path = f->database, .gate_wait_ms = 5000, .synchronous_full = true};
    if (store_open(&f->options, &f->store, &e) != 0) {
        print_error("%s\n", e.message);
        return -1;
    }
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    store_close(&f->store);
    nftw(f->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

struct store *fixture_open(const struct fixture *f)
{
    struct store *store;
    struct err e;

    if (store_open(&f->options, &store, &e) != 0)
        fail_msg("%s", e.message);
    return store;
}

struct audit_row fixture_row(const char *kind, const char *key_id, const char *agent)
{
    struct audit_row row = audit_row_new(clock_wall_ms(), kind);

    row.key_id = key_id;
    row.agent = agent;
    row.process = "test:1:1";
    row.generation = 1;
    return row;
}

void fixture_append(struct store *store, const struct audit_row *rows, size_t count)
{
    struct err e = {0};
    struct db *db = store_acquire(store, &e);

    assert_non_null(db);
    if (store_write_begin(store, db, &e) != 0 ||
        audit_rows_append(store, db, rows, count, NULL, &e) != 0 ||
        store_write_commit(store, db, &e) != 0)
        fail_msg("%s", e.message);
    store_release(store, db);
}

static sqlite3 *shell(const struct fixture *f)
{
    sqlite3 *handle;

    assert_int_equal(sqlite3_open(f->database, &handle), SQLITE_OK);
    sqlite3_busy_timeout(handle, 2000);
    return handle;
}

void fixture_sql(const struct fixture *f, const char *sql)
{
    sqlite3 *handle = shell(f);

    if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
    sqlite3_close(handle);
}

long long fixture_number(const struct fixture *f, const char *sql)
{
    sqlite3 *handle = shell(f);
    sqlite3_stmt *statement;
    long long number = -1;

    if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
    if (sqlite3_step(statement) == SQLITE_ROW &&
        sqlite3_column_type(statement, 0) != SQLITE_NULL)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    return number;
}

int fixture_hold_gate(const struct fixture *f)
{
    char path[160];
    int fd;

    snprintf(path, sizeof path, "%s.gate", f->database);
    fd = open(path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    return fd;
}

int fixture_fork(void (*fn)(void *arg), void *arg)
{
    int pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failure must not run the other tests here */
        fn(arg);
        if (__gcov_dump != NULL)
            __gcov_dump();
        _exit(0);
    }
    return pid;
}

int fixture_wait(int pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

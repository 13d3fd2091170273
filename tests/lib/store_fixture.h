/* SPDX-License-Identifier: MIT */
/* A database in a directory of its own, gone afterwards. */
#ifndef AGW_TESTS_STORE_FIXTURE_H
#define AGW_TESTS_STORE_FIXTURE_H

#include "store/audit_rows.h"
#include "store/store.h"

/* cmocka setup and teardown: an open store, and nothing left of it. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

struct fixture {
    char directory[64];
    char database[128];
    struct store_options options;
    struct store *store;
};

/* Another store on the same database, as a further process has one; fails the test. */
struct store *fixture_open(const struct fixture *f);

/* A row with every number -1 and the given texts. */
struct audit_row fixture_row(const char *kind, const char *key_id, const char *agent);

/* Appends in a transaction of its own; fails the test. */
void fixture_append(struct store *store, const struct audit_row *rows, size_t count);

/* Runs SQL through a plain connection, as somebody with a shell would; fails the test. */
void fixture_sql(const struct fixture *f, const char *sql);
/* The first column of the first row as a number, -1 = NULL or no row. */
long long fixture_number(const struct fixture *f, const char *sql);

/* Holds the gate that writers wait at, until the descriptor it returns is closed. */
int fixture_hold_gate(const struct fixture *f);

/* Runs fn(arg) in a child and returns its pid; exit status 0 unless fn fails the test. */
int fixture_fork(void (*fn)(void *arg), void *arg);
/* Waits; the child's exit status, or 128 + signal. */
int fixture_wait(int pid);

#endif

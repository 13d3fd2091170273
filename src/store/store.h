/* SPDX-License-Identifier: MIT */
/* The one database: connections, the writer gate, the revision, the clock that never
 * steps back. One `struct store` a process, opened after fork(). Functions are safe from
 * any thread unless a header says otherwise; a `struct db` belongs to who acquired it.
 */
#ifndef AGW_STORE_STORE_H
#define AGW_STORE_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/shm.h"

struct store;
struct db; /* one SQLite connection with its prepared statements */

struct store_options {
    const char *path;      /* the database; `<path>.gate` and `<path>.shared` lie beside it */
    int64_t gate_wait_ms;  /* longest wait for the gate before AGW_ESTORE */
    bool synchronous_full; /* audit.synchronous */
    bool read_only;        /* for tools: no migration, no gate, no shared file */
};

/* Opens, refuses a journal mode that is not WAL, migrates (under the gate) and maps the
 * shared file. AGW_ESTORE with file and reason; a newer schema is refused. */
int store_open(const struct store_options *options, struct store **store, struct err *e);
void store_close(struct store **store);

/* A connection from the pool (a new one when all are out). NULL and *e on failure. */
struct db *store_acquire(struct store *store, struct err *e);
void store_release(struct store *store, struct db *db);

/* For the regions of policy/rate_limit.c and store/metrics.c. */
struct shm *store_shm(struct store *store);

/* A write transaction: takes the gate (waiting at most gate_wait_ms), BEGIN IMMEDIATE.
 * Then exactly one of commit and rollback; both give the gate back. After a failed commit
 * nothing was written. Commit checkpoints (PASSIVE) when the log has grown past its size. */
int store_write_begin(struct store *store, struct db *db, struct err *e);
int store_write_commit(struct store *store, struct db *db, struct err *e);
/* The same; done(arg) is called as soon as everything is committed, so that nobody who waits
 * for that waits for a checkpoint. The gate is still held: it must be short. */
int store_write_commit_then(struct store *store, struct db *db, void (*done)(void *arg),
                            void *arg, struct err *e);
void store_write_rollback(struct store *store, struct db *db);
/* The one or the other: commits what went well (`status` 0). `status`, or what became of the
 * commit. */
int store_write_end(struct store *store, struct db *db, int status, struct err *e);

/* Calls fn(arg, db) after each checkpoint this process made, the gate still held: what it
 * reads is exact. One at a time; fn NULL takes it away. */
void store_on_checkpoint(struct store *store, void (*fn)(void *arg, struct db *db), void *arg);

/* Policy revision: changes whenever keys, overrides or a configuration changed. Reading is
 * one atomic load from shared memory. */
uint64_t store_revision(struct store *store);
/* Inside a write transaction: the change becomes visible (database and shared memory) at
 * commit, before store_write_commit() returns. */
int store_revision_bump(struct store *store, struct db *db, struct err *e);
/* Compares the database's revision with shared memory's and raises the latter: catches
 * writes made by somebody who did not map the shared file. For a housekeeping thread. */
int store_revision_sync(struct store *store, struct err *e);

/* What shared memory beside the database at `path` says: its highest revision and time (UTC
 * ms), each raising what is there already. Makes nothing, and does not open the database. */
int store_shared_numbers(const char *path, uint64_t *revision, int64_t *now, struct err *e);

/* For the audit: its rows could not be written now. Milliseconds since any process of this
 * host said so, -1 = never since boot. */
void store_trouble_note(struct store *store);
int64_t store_trouble_age(const struct store *store);

/* UTC ms for every expiry decision: the wall clock, but never less than the highest time
 * any process of this database has seen plus the time passed since. Persisted. */
int64_t store_now(struct store *store);

#endif

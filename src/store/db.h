/* SPDX-License-Identifier: MIT */
/* One SQLite connection. For files of store/ only: the rest of the program speaks through
 * keys.h, overrides.h, audit_rows.h ... A connection is used by one thread at a time.
 */
#ifndef AGW_STORE_DB_H
#define AGW_STORE_DB_H

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

enum { DB_STATEMENTS_MAX = 128 };

struct db_options {
    const char *path;
    bool read_only;
    bool immutable; /* with read_only: nobody writes, so no locks and no files beside it */
    bool synchronous_full;
};

/* Opens a connection with the settings every one must have (no automatic checkpoints, no
 * checkpoint on close, short busy timeout). Does not look at the journal mode. */
int db_open(const struct db_options *options, struct db **db, struct err *e);
void db_close(struct db **db);

/* "wal" or AGW_ESTORE; an empty database that may be written is switched to it. */
int db_require_wal(struct db *db, struct err *e);

/* Resets every statement and ends a transaction, if there is one: nothing may keep an old snapshot
 * or a lock between two uses. False: it could not. Needs no memory. */
bool db_roll_back(struct db *db);

/* Pages in the write-ahead log after this connection's last commit. */
int db_log_pages(const struct db *db);

/* Which log it is: another number each time that SQLite begins it anew. 0 when that cannot be
 * read. After a commit, the gate held. */
uint64_t db_log_number(struct db *db);

/* A revision that becomes visible when the running transaction commits; 0 = none. */
void db_set_pending_revision(struct db *db, uint64_t revision);
uint64_t db_pending_revision(const struct db *db);

/* The prepared statement of `sql` (a string literal: its address is the cache key), reset
 * and without bindings; owned by the connection. NULL and *e on failure. */
sqlite3_stmt *db_statement(struct db *db, const char *sql, struct err *e);

/* Steps once: SQLITE_ROW -> 1, SQLITE_DONE -> 0, else AGW_ESTORE. Resets after DONE and
 * errors. */
int db_step(struct db *db, sqlite3_stmt *statement, struct err *e);

/* Runs statements without results. */
int db_exec(struct db *db, const char *sql, struct err *e);

sqlite3 *db_handle(struct db *db);

/* The one number a statement without bindings yields; `otherwise` when it yields no row. */
int db_number(struct db *db, const char *sql, int64_t otherwise, int64_t *number,
              struct err *e);

/* The same of a statement whose bindings are set; it is reset. A NULL counts as no row. */
int db_row_number(struct db *db, sqlite3_stmt *statement, int64_t otherwise, int64_t *number,
                  struct err *e);

/* Runs `sql`, a string literal, with a number as ?1 and a text as ?2: it changes the row that has
 * the text as its name. */
int db_mark(struct db *db, const char *sql, int64_t number, const char *name, struct err *e);

/* Longest wait for a lock somebody outside the gate holds. */
void db_set_busy_timeout(struct db *db, int64_t ms);

/* NULL binds NULL; the text must live until the statement is reset. */
void db_bind_text(sqlite3_stmt *statement, int index, const char *text);

/* -1 binds NULL. */
void db_bind_number(sqlite3_stmt *statement, int index, int64_t number);
/* 0 binds NULL: times that have not come. */
void db_bind_time(sqlite3_stmt *statement, int index, int64_t ms);

/* A malloc'ed copy of a text column: NULL for NULL. -1 when memory is out. */
int db_copy_text(sqlite3_stmt *statement, int column, char **text);

/* The current row as a JSON object by column names: texts (bytes that are not UTF-8 become
 * U+FFFD), integers, null. Columns named "ts" or "..._at" hold UTC ms and become RFC 3339
 * text. A new reference, or NULL when memory is out. */
json_t *db_row_json(sqlite3_stmt *statement);
/* All rows that a bound statement yields, in an array (a new reference, NULL after a failure);
 * the statement is reset. 0, AGW_ESTORE or AGW_ENOMEM. */
int db_rows_json(struct db *db, sqlite3_stmt *statement, json_t **rows, struct err *e);

/* AGW_ESTORE with SQLite's message. */
int db_error(struct db *db, struct err *e, const char *doing);

#endif

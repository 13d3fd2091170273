/* SPDX-License-Identifier: MIT */
/* One SQLite connection. For files of store/ only: the rest of the program speaks through
 * keys.h, overrides.h, audit_rows.h ... A connection is used by one thread at a time.
 */
#ifndef AGW_STORE_DB_H
#define AGW_STORE_DB_H

#include <sqlite3.h>
#include <stdint.h>

#include "store/store.h"

/* The prepared statement of `sql` (a string literal: its address is the cache key), reset
 * and without bindings; owned by the connection. NULL and *e on failure. */
sqlite3_stmt *db_statement(struct db *db, const char *sql, struct err *e);

/* Steps once: SQLITE_ROW -> 1, SQLITE_DONE -> 0, else AGW_ESTORE. Resets after DONE and
 * errors. */
int db_step(struct db *db, sqlite3_stmt *statement, struct err *e);

/* Runs statements without results. */
int db_exec(struct db *db, const char *sql, struct err *e);

sqlite3 *db_handle(struct db *db);

/* NULL binds NULL; the text must live until the statement is reset. */
void db_bind_text(sqlite3_stmt *statement, int index, const char *text);

/* AGW_ESTORE with SQLite's message. */
int db_error(struct db *db, struct err *e, const char *doing);

#endif

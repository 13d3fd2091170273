/* SPDX-License-Identifier: MIT */
/* Remembers the last errors for whoever asks what went wrong. */
#include "store/errors_ring.h"

#include "store/db.h"

static int add_one(struct db *db, const struct error_entry *entry, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "INSERT INTO recent_error (ts, component, kind, severity, subject, message,"
            " request_id) VALUES (?, ?, ?, ?, ?, ?, ?)", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, entry->ts);
    db_bind_text(statement, 2, entry->component);
    db_bind_text(statement, 3, entry->kind);
    db_bind_text(statement, 4, entry->severity);
    db_bind_text(statement, 5, entry->subject);
    db_bind_text(statement, 6, entry->message);
    db_bind_text(statement, 7, entry->request_id);
    return db_step(db, statement, e);
}

static int drop_oldest(struct db *db, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "DELETE FROM recent_error"
            " WHERE id <= (SELECT max(id) FROM recent_error) - ?", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int(statement, 1, ERRORS_RING_MAX);
    return db_step(db, statement, e);
}

int errors_ring_add(struct store *store, const struct error_entry *entries, int count,
                    struct err *e)
{
    struct db *db = store_acquire(store, e);
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = store_write_begin(store, db, e);
    if (status == 0) {
        for (int i = 0; i < count && status == 0; i++)
            status = add_one(db, &entries[i], e);
        if (status == 0)
            status = drop_oldest(db, e);
        status = store_write_end(store, db, status, e);
    }
    store_release(store, db);
    return status;
}

int errors_ring_list(struct db *db, int limit, json_t **list, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT id, ts, component, kind, severity, subject, message, request_id"
            " FROM recent_error ORDER BY id DESC LIMIT ?", e);

    *list = NULL;
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int(statement, 1, limit);
    return db_rows_json(db, statement, list, e);
}

/* SPDX-License-Identifier: MIT */
/* Numbers configurations by content and says which one each set of files runs. */
#include "store/configurations.h"

#include <stdlib.h>

#include "store/db.h"

static int find_generation(struct db *db, const char *hash, int64_t *generation, struct err *e)
{
    sqlite3_stmt *statement =
        db_statement(db, "SELECT generation FROM configuration WHERE hash = ?", e);

    *generation = 0;
    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, hash);
    return db_row_number(db, statement, 0, generation, e);
}

static int store_content(struct store *store, struct db *db, const struct configuration *c,
                         int64_t *generation, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "INSERT INTO configuration (hash, sources, created_at) VALUES (?, ?, ?)", e);
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, c->hash);
    db_bind_text(statement, 2, c->sources);
    sqlite3_bind_int64(statement, 3, store_now(store));
    status = db_step(db, statement, e);
    *generation = sqlite3_last_insert_rowid(db_handle(db));
    return status;
}

static int run_with(struct db *db, const char *sql, const char *origin, int64_t generation,
                    int64_t now, struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, sql, e);

    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, origin);
    sqlite3_bind_int64(statement, 2, generation);
    sqlite3_bind_int64(statement, 3, now);
    return db_step(db, statement, e);
}

static int make_current(struct store *store, struct db *db, const char *origin,
                        int64_t generation, struct err *e)
{
    int64_t now = store_now(store);
    int status = run_with(db,
                          "INSERT INTO configuration_current (origin, generation, accepted_at)"
                          " VALUES (?1, ?2, ?3) ON CONFLICT (origin) DO UPDATE"
                          " SET generation = ?2, accepted_at = ?3",
                          origin, generation, now, e);

    if (status == 0)
        status = run_with(db,
                          "INSERT INTO configuration_change (origin, generation, at)"
                          " VALUES (?1, ?2, ?3)",
                          origin, generation, now, e);
    return status;
}

/* Keys are mirrored even when the generation stays: another origin may have changed them. */
static int accept_in(struct store *store, struct db *db, const char *origin,
                     const struct configuration *c, int64_t *generation, struct err *e)
{
    struct key_rows keys = {.rows = c->keys, .count = c->key_count, .clash = c->clash,
                            .arg = c->clash_arg};
    int before = sqlite3_total_changes(db_handle(db));
    int64_t current = 0;
    int status = find_generation(db, c->hash, generation, e);

    if (status == 0 && *generation == 0)
        status = store_content(store, db, c, generation, e);
    if (status == 0)
        status = configurations_current(db, origin, &current, e);
    if (status == 0 && current != *generation)
        status = make_current(store, db, origin, *generation, e);
    if (status == 0)
        status = keys_sync_file(store, db, &keys, *generation, e);
    if (status == 0 && sqlite3_total_changes(db_handle(db)) != before)
        status = store_revision_bump(store, db, e);
    return status;
}

int configurations_accept(struct store *store, const char *origin,
                          const struct configuration *c, int64_t *generation, struct err *e)
{
    struct db *db = store_acquire(store, e);
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = store_write_begin(store, db, e);
    if (status == 0)
        status = store_write_end(store, db, accept_in(store, db, origin, c, generation, e), e);
    store_release(store, db);
    return status;
}

int configurations_current(struct db *db, const char *origin, int64_t *generation,
                           struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT generation FROM configuration_current WHERE origin = ?", e);

    *generation = 0;
    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, origin);
    return db_row_number(db, statement, 0, generation, e);
}

int configurations_at(struct db *db, const char *origin, int64_t at, int64_t *generation,
                      struct err *e)
{
    sqlite3_stmt *statement =
        db_statement(db, "SELECT generation FROM configuration_change WHERE origin = ?"
                         " AND at <= ? ORDER BY at DESC, id DESC LIMIT 1", e);

    *generation = 0;
    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, origin);
    sqlite3_bind_int64(statement, 2, at);
    return db_row_number(db, statement, 0, generation, e);
}

int configurations_sources(struct db *db, int64_t generation, char **sources, struct err *e)
{
    sqlite3_stmt *statement =
        db_statement(db, "SELECT sources FROM configuration WHERE generation = ?", e);
    int status;

    *sources = NULL;
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, generation);
    status = db_step(db, statement, e);
    if (status == 0)
        return err_set(e, AGW_ENOTFOUND, "no configuration of generation %lld",
                       (long long)generation);
    if (status == 1)
        status = db_copy_text(statement, 0, sources) == 0
                     ? 0
                     : err_set(e, AGW_ENOMEM, "reading a configuration");
    sqlite3_reset(statement);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* Mirrors the configured API keys into rows. */
#include "store/keys.h"

#include <stdlib.h>
#include <string.h>

#include "store/db.h"

/* Rows that already say the same are left alone: their generation tells when a key last
 * changed. */
static int upsert(struct db *db, const struct key_row *row, int64_t generation, int64_t now,
                  struct err *e)
{
    char hash[SHA_HEX_SIZE];
    sqlite3_stmt *statement = db_statement(
        db,
        "INSERT INTO api_key (id, origin, description, roles, hash, was_plaintext,"
        " allow_agents, deny_agents, rate_limit_per_minute, generation, created_at, expires_at)"
        " VALUES (?1, 'file', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        " ON CONFLICT (id) DO UPDATE SET origin = 'file', description = ?2, roles = ?3,"
        " hash = ?4, was_plaintext = ?5, allow_agents = ?6, deny_agents = ?7,"
        " rate_limit_per_minute = ?8, generation = ?9, expires_at = ?11, removed_at = NULL"
        " WHERE (origin, description, roles, hash, was_plaintext, allow_agents, deny_agents,"
        " rate_limit_per_minute, expires_at, removed_at)"
        " IS NOT ('file', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?11, NULL)", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sha_hex(row->hash, sizeof row->hash, hash);
    db_bind_text(statement, 1, row->id);
    db_bind_text(statement, 2, row->description);
    db_bind_text(statement, 3, row->roles);
    db_bind_text(statement, 4, hash);
    sqlite3_bind_int(statement, 5, row->was_plaintext != 0);
    db_bind_text(statement, 6, row->allow_agents);
    db_bind_text(statement, 7, row->deny_agents);
    db_bind_number(statement, 8, row->rate_per_minute);
    sqlite3_bind_int64(statement, 9, generation);
    sqlite3_bind_int64(statement, 10, now);
    db_bind_time(statement, 11, row->expires_at);
    return db_step(db, statement, e);
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int mark_removed(struct db *db, const char *id, int64_t now, struct err *e)
{
    sqlite3_stmt *statement =
        db_statement(db, "UPDATE api_key SET removed_at = ? WHERE id = ?", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, now);
    db_bind_text(statement, 2, id);
    return db_step(db, statement, e);
}

/* `ids` is sorted. Updating the row under the cursor does not move it: the id stays. */
static int remove_missing(struct db *db, const char **ids, size_t count, int64_t now,
                          struct err *e)
{
    sqlite3_stmt *present = db_statement(
        db, "SELECT id FROM api_key WHERE origin = 'file' AND removed_at IS NULL", e);
    int status;

    if (present == NULL)
        return AGW_ESTORE;
    while ((status = db_step(db, present, e)) == 1) {
        const char *id = (const char *)sqlite3_column_text(present, 0);

        if (id == NULL || bsearch(&id, ids, count, sizeof *ids, compare_ids) != NULL)
            continue;
        status = mark_removed(db, id, now, e);
        if (status != 0)
            break;
    }
    sqlite3_reset(present);
    return status;
}

int keys_sync_file(struct store *store, struct db *db, const struct key_row *rows,
                   size_t count, int64_t generation, struct err *e)
{
    const char **ids = malloc((count + 1) * sizeof *ids);
    int64_t now = store_now(store);
    int status = 0;

    if (ids == NULL)
        return err_set(e, AGW_ENOMEM, "storing keys");
    for (size_t i = 0; i < count && status == 0; i++) {
        ids[i] = rows[i].id;
        status = upsert(db, &rows[i], generation, now, e);
    }
    if (status == 0) {
        qsort(ids, count, sizeof *ids, compare_ids);
        status = remove_missing(db, ids, count, now, e);
    }
    free(ids);
    return status;
}

static int note_all(struct db *db, const char *const *ids, const int64_t *at, size_t count,
                    struct err *e)
{
    int status = 0;

    for (size_t i = 0; i < count && status == 0; i++) {
        sqlite3_stmt *statement = db_statement(
            db, "UPDATE api_key SET last_used_at = max(coalesce(last_used_at, 0), ?1)"
                " WHERE id = ?2", e);

        if (statement == NULL)
            return AGW_ESTORE;
        sqlite3_bind_int64(statement, 1, at[i]);
        db_bind_text(statement, 2, ids[i]);
        status = db_step(db, statement, e);
    }
    return status;
}

int keys_note_used(struct store *store, const char *const *ids, const int64_t *at,
                   size_t count, struct err *e)
{
    struct db *db;
    int status;

    if (count == 0)
        return 0;
    db = store_acquire(store, e);
    if (db == NULL)
        return AGW_ESTORE;
    status = store_write_begin(store, db, e);
    if (status == 0) {
        status = note_all(db, ids, at, count, e);
        if (status == 0)
            status = store_write_commit(store, db, e);
        else
            store_write_rollback(store, db);
    }
    store_release(store, db);
    return status;
}

/* Lists are stored as JSON texts and shown as what they say. */
static void show_list(json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    json_t *list = text == NULL ? NULL : json_loads(text, JSON_REJECT_DUPLICATES, NULL);

    if (list != NULL)
        json_object_set_new(row, name, list);
}

static void show_roles(json_t *row)
{
    const char *roles = json_string_value(json_object_get(row, "roles"));
    json_t *list = json_array();

    while (roles != NULL && *roles != '\0') {
        size_t length = strcspn(roles, ",");

        json_array_append_new(list, json_stringn(roles, length));
        roles += length + (roles[length] == ',');
    }
    json_object_set_new(row, "roles", list);
}

int keys_list(struct db *db, json_t **list, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT id, description, origin, roles, expires_at, last_used_at, removed_at,"
            " NOT was_plaintext AS hashed, allow_agents, deny_agents, rate_limit_per_minute"
            " FROM api_key ORDER BY id", e);
    int status;

    *list = NULL;
    if (statement == NULL)
        return AGW_ESTORE;
    *list = json_array();
    while ((status = db_step(db, statement, e)) == 1) {
        json_t *row = db_row_json(statement);

        if (row != NULL) {
            show_roles(row);
            show_list(row, "allow_agents");
            show_list(row, "deny_agents");
            json_object_set_new(row, "hashed",
                                json_boolean(json_integer_value(json_object_get(row,
                                                                                "hashed"))));
        }
        if (json_array_append_new(*list, row) != 0) {
            status = err_set(e, AGW_ENOMEM, "listing keys");
            break;
        }
    }
    sqlite3_reset(statement);
    if (status != 0) {
        json_decref(*list);
        *list = NULL;
    }
    return status;
}

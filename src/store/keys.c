/* SPDX-License-Identifier: MIT */
/* Mirrors the configured API keys into rows, and lists all keys. */
#include "store/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/keys_row.h"

/* Rows that already say the same are left alone: their generation tells when a key last
 * changed. */
static int upsert(struct db *db, const struct key_row *row, int64_t generation, int64_t now,
                  struct err *e)
{
    char hash[SHA_HEX_SIZE];
    sqlite3_stmt *statement = db_statement(
        db,
        "INSERT INTO api_key (id, origin, description, roles, hash, was_plaintext,"
        " allow_agents, deny_agents, rate_limit_per_minute, generation, created_at, expires_at,"
        " budget_requests_per_day, budget_tokens_per_day)"
        " VALUES (?1, 'file', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
        " ON CONFLICT (id) DO UPDATE SET origin = 'file', description = ?2, roles = ?3,"
        " hash = ?4, was_plaintext = ?5, allow_agents = ?6, deny_agents = ?7,"
        " rate_limit_per_minute = ?8, generation = ?9, expires_at = ?11, removed_at = NULL,"
        " budget_requests_per_day = ?12, budget_tokens_per_day = ?13"
        " WHERE (origin, description, roles, hash, was_plaintext, allow_agents, deny_agents,"
        " rate_limit_per_minute, expires_at, removed_at, budget_requests_per_day,"
        " budget_tokens_per_day)"
        " IS NOT ('file', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?11, NULL, ?12, ?13)", e);

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
    db_bind_number(statement, 12, row->requests_per_day);
    db_bind_number(statement, 13, row->tokens_per_day);
    return db_step(db, statement, e);
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int mark_removed(struct db *db, const char *id, int64_t now, struct err *e)
{
    return db_mark(db, "UPDATE api_key SET removed_at = ? WHERE id = ?", now, id, e);
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

static int compare_hashes(const void *a, const void *b)
{
    const struct key_row *x = *(const struct key_row *const *)a;
    const struct key_row *y = *(const struct key_row *const *)b;

    return memcmp(x->hash, y->hash, SHA_SIZE);
}

static int compare_rows(const void *a, const void *b)
{
    const struct key_row *x = *(const struct key_row *const *)a;
    const struct key_row *y = *(const struct key_row *const *)b;

    return strcmp(x->id, y->id);
}

/* The keys of a file in two orders, to be found in. */
struct sorted {
    const struct key_rows *keys;
    const struct key_row **by_id, **by_hash;
};

static void tell(const struct key_rows *keys, const struct key_row *row, const char *before,
                 const char *id, const char *after)
{
    char problem[240];

    snprintf(problem, sizeof problem, "%s'%.100s'%s", before, id, after);
    if (keys->clash != NULL)
        keys->clash(keys->arg, (size_t)(row - keys->rows), problem);
}

/* 1 when the file has a key with this id or this secret. */
static int clashes_with(const struct sorted *s, const char *id, const unsigned char *hash)
{
    struct key_row wanted = {.id = id};
    const struct key_row *pointer = &wanted, **found;

    memcpy(wanted.hash, hash, SHA_SIZE);
    found = bsearch(&pointer, s->by_id, s->keys->count, sizeof *s->by_id, compare_rows);
    if (found != NULL) {
        tell(s->keys, *found, "the key id ", id, " is taken by a key made at run time; revoke "
             "that one first, or choose another id");
        return 1;
    }
    found = bsearch(&pointer, s->by_hash, s->keys->count, sizeof *s->by_hash, compare_hashes);
    if (found != NULL)
        tell(s->keys, *found, "the same secret under another id: the key ", id, ", made at run "
             "time, has it");
    return found != NULL;
}

static int count_clashes(struct db *db, int64_t now, const struct sorted *s, struct err *e)
{
    struct key_list live;
    int clashes = 0, status = keys_live(db, now, &live, e);

    for (size_t i = 0; status == 0 && i < live.count; i++) {
        const struct key_record *key = &live.items[i];

        clashes += clashes_with(s, key->row.id, key->row.hash);
        if (key->previous_until > now)
            clashes += clashes_with(s, key->row.id, key->previous_hash);
    }
    key_list_clear(&live);
    return status == 0 ? clashes : status;
}

/* Makes sure that no live run-time key has an id or a secret of the file. */
static int refuse_clashes(struct db *db, int64_t now, const struct key_rows *keys,
                          struct err *e)
{
    const struct key_row **rows = calloc(2 * keys->count + 1, sizeof *rows);
    struct sorted s = {.keys = keys, .by_id = rows, .by_hash = rows + keys->count};
    int status;

    if (rows == NULL)
        return err_set(e, AGW_ENOMEM, "storing keys");
    for (size_t i = 0; i < keys->count; i++)
        s.by_id[i] = s.by_hash[i] = &keys->rows[i];
    qsort(s.by_id, keys->count, sizeof *rows, compare_rows);
    qsort(s.by_hash, keys->count, sizeof *rows, compare_hashes);
    status = count_clashes(db, now, &s, e);
    if (status > 0)
        status = err_set(e, AGW_ECONFIG, "keys of the file clash with keys made at run time");
    free(rows);
    return status;
}

/* An ended key that was made at run time leaves its id to the file. */
static int take_over(struct db *db, const struct key_rows *keys, int64_t now, struct err *e)
{
    int status = 0;

    for (size_t i = 0; i < keys->count && status == 0; i++) {
        sqlite3_stmt *statement = db_statement(
            db, "SELECT 1 FROM api_key WHERE id = ? AND origin <> 'file'", e);

        if (statement == NULL)
            return AGW_ESTORE;
        db_bind_text(statement, 1, keys->rows[i].id);
        status = db_step(db, statement, e);
        sqlite3_reset(statement);
        if (status == 1)
            status = keys_make_room(db, keys->rows[i].id, now, e);
    }
    return status;
}

int keys_sync_file(struct store *store, struct db *db, const struct key_rows *keys,
                   int64_t generation, struct err *e)
{
    const char **ids = malloc((keys->count + 1) * sizeof *ids);
    int64_t now = store_now(store);
    int status;

    if (ids == NULL)
        return err_set(e, AGW_ENOMEM, "storing keys");
    status = refuse_clashes(db, now, keys, e);
    if (status == 0)
        status = take_over(db, keys, now, e);
    for (size_t i = 0; i < keys->count && status == 0; i++) {
        ids[i] = keys->rows[i].id;
        status = upsert(db, &keys->rows[i], generation, now, e);
    }
    if (status == 0) {
        qsort(ids, keys->count, sizeof *ids, compare_ids);
        status = remove_missing(db, ids, keys->count, now, e);
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
    if (status == 0)
        status = store_write_end(store, db, note_all(db, ids, at, count, e), e);
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

/* As requests and files have it. */
static void show_budget(json_t *row)
{
    static const char *const names[] = {"requests_per_day", "tokens_per_day"};
    json_t *budget = json_object();

    for (size_t i = 0; i < 2; i++) {
        json_object_set(budget, names[i], json_object_get(row, names[i]));
        json_object_del(row, names[i]);
    }
    json_object_set_new(row, "budget", budget);
}

/* Lists as what they say, truths as such; what the trail does not prove is not in force. */
static json_t *shown(sqlite3_stmt *statement, bool proven)
{
    json_t *row = db_row_json(statement);

    if (row == NULL)
        return NULL;
    show_roles(row);
    show_budget(row);
    show_list(row, "allow_agents");
    show_list(row, "deny_agents");
    show_list(row, "allow_tools");
    show_list(row, "deny_tools");
    json_object_set_new(row, "hashed",
                        json_boolean(json_integer_value(json_object_get(row, "hashed"))));
    if (!proven)
        json_object_set_new(row, "health", json_string("unrecorded"));
    return row;
}

/* One row: where it is, what it says, and whether the filter wants it. */
static int list_one(struct db *db, sqlite3_stmt *statement, const struct key_filter *filter,
                    json_t *list, struct err *e)
{
    json_t *row;
    int status = keys_row_prove(db, (const char *)sqlite3_column_text(statement, 0), e);

    if (status < 0)
        return status;
    row = shown(statement, status == 1);
    if (row == NULL || json_object_del(row, "row_id") != 0)
        return err_set(e, AGW_ENOMEM, "listing keys");
    if (filter->health != NULL &&
        strcmp(filter->health, json_string_value(json_object_get(row, "health"))) != 0) {
        json_decref(row);
        return 0;
    }
    return json_array_append_new(list, row) == 0 ? 0 : err_set(e, AGW_ENOMEM, "listing keys");
}

int keys_list(struct db *db, const struct key_filter *filter, json_t **list, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT k.id AS row_id, coalesce(former_id, k.id) AS id, description, origin,"
            " roles, health, NOT was_plaintext AS hashed, allow_agents, deny_agents,"
            " allow_tools, deny_tools, rate_limit_per_minute, budget_requests_per_day AS requests_per_day,"
            " budget_tokens_per_day AS tokens_per_day, created_at, created_by, expires_at, last_used_at,"
            " rotated_at, rotated_by, overlap_until AS overlap_ends_at, revoked_at,"
            " revoked_by, removed_at FROM api_key k JOIN key_state s ON s.id = k.id"
            " WHERE (?1 IS NULL OR coalesce(former_id, k.id) = ?1)"
            " AND (?2 IS NULL OR origin = ?2)"
            " AND (?3 OR (revoked_at IS NULL AND removed_at IS NULL))"
            " ORDER BY coalesce(former_id, k.id), created_at", e);
    int status;

    *list = NULL;
    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, filter->id);
    db_bind_text(statement, 2, filter->origin);
    sqlite3_bind_int(statement, 3, filter->ended);
    *list = json_array();
    while ((status = db_step(db, statement, e)) == 1) {
        status = list_one(db, statement, filter, *list, e);
        if (status != 0)
            break;
    }
    sqlite3_reset(statement);
    if (status != 0) {
        json_decref(*list);
        *list = NULL;
    }
    return status;
}

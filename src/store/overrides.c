/* SPDX-License-Identifier: MIT */
/* Gives, takes back and lets lapse temporary grants, each change with its audit row. */
#include "store/overrides.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/usage.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/log.h"

#define COLUMNS                                                                                \
    "id, pattern, key_id, reason, created_by, created_at, expires_at,"                         \
    " coalesce(revoked_at, 0), coalesce(expired_at, 0), revoked_by, ticket,"                    \
    " coalesce(max_uses, 0), coalesce(used_up_at, 0)"

/* Whether the trail says the same of a grant: its first row made it, with these terms, and none
 * since then ended it. A use that was decided before the end may be on record after it, so the
 * last row does not tell. Ends are few, and uses many: `+` keeps SQLite from going through
 * these. */
#define FIRST_ROW "FROM audit_event WHERE override_id = o.id ORDER BY ts, seq LIMIT 1"
#define RECORDED                                                                               \
    "coalesce((SELECT kind = 'override.created' AND pattern = o.pattern"                       \
    " AND detail ->> 'expires_at' = o.expires_at AND detail ->> 'for_key' IS o.key_id"         \
    " AND detail ->> 'ticket' IS o.ticket AND detail ->> 'max_uses' IS o.max_uses"             \
    " " FIRST_ROW "), 0)"                                                                      \
    " AND NOT EXISTS (SELECT 1 FROM audit_event WHERE"                                         \
    " kind IN ('override.revoked', 'override.expired', 'override.used_up')"                    \
    " AND kind <> 'decision' AND kind <> 'access' AND kind <> 'end'"                           \
    " AND ts >= (SELECT ts " FIRST_ROW ") AND +override_id = o.id"                             \
    " AND (kind <> 'override.used_up' OR o.used_up_at IS NULL))"

#define UNENDED " revoked_at IS NULL AND expired_at IS NULL"

enum { RECORDED_COLUMN = 13 };

void override_clear(struct override *o)
{
    free(o->pattern);
    free(o->key_id);
    free(o->reason);
    free(o->created_by);
    free(o->revoked_by);
    free(o->ticket);
    memset(o, 0, sizeof *o);
}

void override_list_clear(struct override_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        override_clear(&list->items[i]);
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

const char *override_state(const struct override *o, int64_t now)
{
    if (o->revoked_at != 0)
        return "revoked";
    if (o->used_up_at != 0)
        return "used_up";
    if (o->expired_at != 0 || o->expires_at <= now)
        return "expired";
    return o->max_uses > 0 && o->uses >= o->max_uses ? "used_up" : "active";
}

bool override_is_spent(const struct override_list *list, const struct override *o)
{
    if (o->used_up_at != 0)
        return true;
    if (o->max_uses == 0)
        return false;
    return o->uses >= o->max_uses ||
           (list->is_spent != NULL && list->is_spent(list->is_spent_arg, o));
}

/* The current row of a statement that selects COLUMNS. */
static int read_row(sqlite3_stmt *row, struct override *o, struct err *e)
{
    const char *id = (const char *)sqlite3_column_text(row, 0);

    memset(o, 0, sizeof *o);
    snprintf(o->id, sizeof o->id, "%s", id == NULL ? "" : id);
    o->created_at = sqlite3_column_int64(row, 5);
    o->expires_at = sqlite3_column_int64(row, 6);
    o->revoked_at = sqlite3_column_int64(row, 7);
    o->expired_at = sqlite3_column_int64(row, 8);
    o->uses = -1;
    o->max_uses = sqlite3_column_int64(row, 11);
    o->used_up_at = sqlite3_column_int64(row, 12);
    if (db_copy_text(row, 1, &o->pattern) == 0 && db_copy_text(row, 2, &o->key_id) == 0 &&
        db_copy_text(row, 3, &o->reason) == 0 && db_copy_text(row, 4, &o->created_by) == 0 &&
        db_copy_text(row, 9, &o->revoked_by) == 0 && db_copy_text(row, 10, &o->ticket) == 0 &&
        o->pattern != NULL)
        return 0;
    override_clear(o);
    return err_set(e, AGW_ENOMEM, "reading overrides");
}

/* Somebody, or a failing disk, has changed the table behind our back: such a grant is none. */
static bool is_unrecorded(sqlite3_stmt *row)
{
    const char *id = (const char *)sqlite3_column_text(row, 0);

    if (sqlite3_column_count(row) <= RECORDED_COLUMN || sqlite3_column_int(row, RECORDED_COLUMN))
        return false;
    log_message(LOG_ERROR, "override.unrecorded", "%s is not as the audit trail has it",
                id == NULL ? "" : id);
    return true;
}

/* All rows of `statement`. */
static int read_rows(struct db *db, sqlite3_stmt *statement, struct override_list *list,
                     struct err *e)
{
    size_t capacity = 0;
    int status;

    memset(list, 0, sizeof *list);
    while ((status = db_step(db, statement, e)) == 1) {
        if (is_unrecorded(statement))
            continue;
        if (list->count == capacity) {
            size_t more = capacity == 0 ? 16 : 2 * capacity;
            struct override *items = realloc(list->items, more * sizeof *items);

            if (items == NULL) {
                status = err_set(e, AGW_ENOMEM, "reading overrides");
                break;
            }
            list->items = items;
            capacity = more;
        }
        status = read_row(statement, &list->items[list->count], e);
        if (status != 0)
            break;
        list->count++;
    }
    sqlite3_reset(statement);
    if (status != 0)
        override_list_clear(list);
    return status;
}

int overrides_list(struct db *db, int64_t now, int history, struct override_list *list,
                   struct err *e)
{
    sqlite3_stmt *statement;

    memset(list, 0, sizeof *list);
    statement = db_statement(
        db, history ? "SELECT " COLUMNS " FROM override ORDER BY created_at DESC, id"
                    : "SELECT " COLUMNS ", " RECORDED " FROM override o WHERE" UNENDED
                      " AND expires_at > ? ORDER BY created_at DESC, id",
        e);
    if (statement == NULL)
        return AGW_ESTORE;
    if (!history)
        sqlite3_bind_int64(statement, 1, now);
    return read_rows(db, statement, list, e);
}

static int insert(struct db *db, const struct override *o, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db,
        "INSERT INTO override (id, pattern, key_id, reason, created_by, created_at, expires_at,"
        " ticket, max_uses) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", e);

    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, o->id);
    db_bind_text(statement, 2, o->pattern);
    db_bind_text(statement, 3, o->key_id);
    db_bind_text(statement, 4, o->reason);
    db_bind_text(statement, 5, o->created_by);
    sqlite3_bind_int64(statement, 6, o->created_at);
    sqlite3_bind_int64(statement, 7, o->expires_at);
    db_bind_text(statement, 8, o->ticket);
    db_bind_number(statement, 9, o->max_uses == 0 ? -1 : o->max_uses);
    return db_step(db, statement, e);
}

/* What RECORDED compares, as JSON; NULL when memory is out. */
static char *terms_of(const struct override *o)
{
    json_t *terms = json_pack("{s:I, s:s?}", "expires_at", (json_int_t)o->expires_at, "for_key",
                              o->key_id);
    int failures = 0;
    char *text;

    if (o->ticket != NULL)
        failures += json_object_set_new(terms, "ticket", json_string(o->ticket)) != 0;
    if (o->max_uses != 0)
        failures += json_object_set_new(terms, "max_uses", json_integer(o->max_uses)) != 0;
    text = failures > 0 ? NULL : json_dumps(terms, JSON_COMPACT);
    json_decref(terms);
    return text;
}

int overrides_create(struct store *store, const struct override *o,
                     const struct audit_row *row, struct err *e)
{
    struct db *db = store_acquire(store, e);
    struct audit_row filled = *row;
    char *terms = terms_of(o);
    int status;

    if (db == NULL || terms == NULL) {
        store_release(store, db);
        json_memory_free(terms);
        return db == NULL ? AGW_ESTORE : err_set(e, AGW_ENOMEM, "creating an override");
    }
    filled.kind = "override.created";
    filled.override_id = o->id;
    filled.pattern = o->pattern;
    filled.detail = terms;
    status = store_write_begin(store, db, e);
    if (status == 0) {
        status = insert(db, o, e);
        if (status == 0)
            status = audit_rows_append(store, db, &filled, 1, NULL, e);
        if (status == 0)
            status = store_revision_bump(store, db, e);
        status = store_write_end(store, db, status, e);
    }
    store_release(store, db);
    json_memory_free(terms);
    return status;
}

/* The audit row of what happens to `o`: its own words where the row has none. */
static void describe(const struct override *o, struct audit_row *row)
{
    row->override_id = o->id;
    row->agent = o->pattern;
    row->pattern = o->pattern;
    row->key_id = o->key_id;
    row->reason = o->reason;
}

static int find_active(struct db *db, const char *id, int64_t now, struct override *o,
                       struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT " COLUMNS " FROM override WHERE id = ? AND" UNENDED
            " AND used_up_at IS NULL AND expires_at > ?", e);
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, id);
    sqlite3_bind_int64(statement, 2, now);
    status = db_step(db, statement, e);
    if (status == 0)
        return err_set(e, AGW_ENOTFOUND, "no active override %s", id);
    if (status == 1)
        status = read_row(statement, o, e);
    sqlite3_reset(statement);
    return status;
}

static int mark_revoked(struct db *db, const struct override *o, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "UPDATE override SET revoked_at = ?, revoked_by = ? WHERE id = ?", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, o->revoked_at);
    db_bind_text(statement, 2, o->revoked_by);
    db_bind_text(statement, 3, o->id);
    return db_step(db, statement, e);
}

static int revoke(struct store *store, struct db *db, const char *id, const char *by,
                  struct audit_row *row, struct override *o, struct err *e)
{
    int64_t now = store_now(store);
    int status = find_active(db, id, now, o, e);

    if (status != 0)
        return status;
    o->revoked_at = now;
    if (by != NULL && (o->revoked_by = strdup(by)) == NULL)
        return err_set(e, AGW_ENOMEM, "revoking an override");
    describe(o, row);
    status = mark_revoked(db, o, e);
    if (status == 0)
        status = audit_rows_append(store, db, row, 1, NULL, e);
    return status == 0 ? store_revision_bump(store, db, e) : status;
}

int overrides_revoke(struct store *store, const char *id, const char *by,
                     struct audit_row *row, struct override *revoked, struct err *e)
{
    struct audit_row filled = *row;
    struct override o = {0};
    struct db *db = store_acquire(store, e);
    int status;

    if (revoked != NULL)
        memset(revoked, 0, sizeof *revoked);
    if (db == NULL)
        return AGW_ESTORE;
    status = store_write_begin(store, db, e);
    if (status == 0)
        status = store_write_end(store, db, revoke(store, db, id, by, &filled, &o, e), e);
    if (status == 0 && revoked != NULL && usage_override(db, o.id, NULL, &o.uses, NULL) != 0)
        o.uses = -1; /* it is revoked all the same */
    if (status == 0 && revoked != NULL)
        *revoked = o;
    else
        override_clear(&o);
    store_release(store, db);
    return status;
}

static int mark_used_up(struct db *db, const struct override *o, struct err *e)
{
    return db_mark(db, "UPDATE override SET used_up_at = ? WHERE id = ?", o->used_up_at,
                   o->id, e);
}

/* AGW_ENOTFOUND when another process has marked it, or it ended otherwise. */
static int use_up(struct store *store, struct db *db, const char *id, struct audit_row *row,
                  struct err *e)
{
    struct override o = {0};
    int status = find_active(db, id, store_now(store), &o, e);

    if (status == 0) {
        o.used_up_at = store_now(store);
        describe(&o, row);
        status = mark_used_up(db, &o, e);
    }
    if (status == 0)
        status = audit_rows_append(store, db, row, 1, NULL, e);
    if (status == 0)
        status = store_revision_bump(store, db, e);
    override_clear(&o);
    return status;
}

int overrides_use_up(struct store *store, const struct override *o,
                     const struct audit_row *row, bool *marked, struct err *e)
{
    struct audit_row filled = *row;
    struct db *db = store_acquire(store, e);
    int status;

    *marked = false;
    if (db == NULL)
        return AGW_ESTORE;
    filled.kind = "override.used_up";
    status = store_write_begin(store, db, e);
    if (status == 0)
        status = store_write_end(store, db, use_up(store, db, o->id, &filled, e), e);
    store_release(store, db);
    *marked = status == 0;
    return status == AGW_ENOTFOUND ? 0 : status;
}

int overrides_count_uses(struct db *db, struct override_list *list, struct err *e)
{
    int status = 0;

    for (size_t i = 0; i < list->count && status == 0; i++)
        status = usage_override(db, list->items[i].id, NULL, &list->items[i].uses, e);
    return status;
}

static int mark_expired(struct db *db, const struct override *o, struct err *e)
{
    return db_mark(db, "UPDATE override SET expired_at = ? WHERE id = ?", o->expired_at,
                   o->id, e);
}

/* Reads the due ones again under the gate: another process may have marked them. */
static int expire_due(struct store *store, struct db *db, const struct audit_row *template,
                      struct override_list *expired, struct err *e)
{
    int64_t now = store_now(store);
    sqlite3_stmt *due = db_statement(
        db, "SELECT " COLUMNS " FROM override WHERE" UNENDED
            " AND used_up_at IS NULL AND expires_at <= ? ORDER BY expires_at", e);
    int status;

    if (due == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(due, 1, now);
    status = read_rows(db, due, expired, e);
    for (size_t i = 0; status == 0 && i < expired->count; i++) {
        struct audit_row row = *template;

        row.kind = "override.expired";
        expired->items[i].expired_at = now;
        describe(&expired->items[i], &row);
        status = mark_expired(db, &expired->items[i], e);
        if (status == 0)
            status = audit_rows_append(store, db, &row, 1, NULL, e);
    }
    if (status == 0 && expired->count > 0)
        status = store_revision_bump(store, db, e);
    return status;
}

static int any_due(struct store *store, struct db *db, struct err *e)
{
    sqlite3_stmt *due = db_statement(
        db, "SELECT 1 FROM override WHERE" UNENDED
            " AND used_up_at IS NULL AND expires_at <= ? LIMIT 1", e);
    int status;

    if (due == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(due, 1, store_now(store));
    status = db_step(db, due, e);
    sqlite3_reset(due);
    return status;
}

int overrides_expire(struct store *store, const struct audit_row *row,
                     struct override_list *expired, struct err *e)
{
    struct db *db = store_acquire(store, e);
    int status;

    memset(expired, 0, sizeof *expired);
    if (db == NULL)
        return AGW_ESTORE;
    status = any_due(store, db, e);
    if (status == 1) {
        status = store_write_begin(store, db, e);
        if (status == 0)
            status = store_write_end(store, db, expire_due(store, db, row, expired, e), e);
        if (status != 0)
            override_list_clear(expired);
    }
    store_release(store, db);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* Reads the audit trail for people: newest first, a page at a time. */
#include <stdio.h>
#include <string.h>

#include "store/audit_chain.h"
#include "store/audit_rows.h"
#include "store/db.h"

enum { FILTERS = 6, SQL_MAX = 2048, ROWS_MAX = 1000 };

/* One filter: the member's value and the condition it makes. The second condition repeats a
 * partial index's own, without which SQLite would not use it. */
struct filter {
    const char *value;
    const char *condition;
    const char *index_condition; /* "" = none */
};

/* Rows are ordered by time and, within it, by seq: what the indexes hold. The page after
 * row B is everything that sorts below it. */
static const char start[] = "SELECT seq" AUDIT_COLUMN_LIST
                            ", prev_hash, hash FROM audit_event AS a WHERE 1";
static const char finish[] = " ORDER BY ts DESC, seq DESC LIMIT ?1";

static void list_filters(const struct audit_query *q, struct filter filters[FILTERS])
{
    const char *kind = q->kind == NULL ? "" : q->kind;
    const char *outcome = q->outcome == NULL ? "" : q->outcome;
    bool common = strcmp(kind, "decision") == 0 || strcmp(kind, "access") == 0 ||
                  strcmp(kind, "end") == 0;
    const struct filter all[FILTERS] = {
        {q->key_id, " AND key_id = ?5", ""},
        {q->agent, " AND agent = ?6", ""},
        {q->kind, " AND kind = ?7",
         common ? "" : " AND kind <> 'decision' AND kind <> 'access' AND kind <> 'end'"},
        {q->decision, " AND decision = ?8",
         q->decision != NULL && strcmp(q->decision, "deny") == 0
             ? " AND (decision = 'deny' OR outcome = 'denied')"
             : ""},
        {q->outcome, " AND outcome = ?9",
         strcmp(outcome, "completed") == 0 ? "" : " AND outcome <> 'completed'"},
        {q->request_id, " AND request_id = ?10", ""},
    };

    memcpy(filters, all, sizeof all);
}

/* The text is put together from constants only; values are bound. */
static void build(const struct audit_query *q, const struct filter filters[FILTERS],
                  char sql[SQL_MAX])
{
    int length = snprintf(sql, SQL_MAX, "%s%s%s%s", start, q->since > 0 ? " AND ts >= ?2" : "",
                          q->until > 0 ? " AND ts < ?3" : "",
                          q->before_seq > 0
                              ? " AND ts <= (SELECT ts FROM audit_event WHERE seq = ?4)"
                                " AND (ts, seq) < ((SELECT ts FROM audit_event WHERE seq = ?4),"
                                " ?4)"
                              : "");

    for (int i = 0; i < FILTERS; i++)
        if (filters[i].value != NULL)
            length += snprintf(sql + length, SQL_MAX - (size_t)length, "%s%s",
                               filters[i].condition, filters[i].index_condition);
    snprintf(sql + length, SQL_MAX - (size_t)length, "%s", finish);
}

static void bind(sqlite3_stmt *statement, const struct audit_query *q,
                 const struct filter filters[FILTERS])
{
    int limit = q->limit < 1 ? 1 : q->limit > ROWS_MAX ? ROWS_MAX : q->limit;

    sqlite3_bind_int(statement, 1, limit);
    sqlite3_bind_int64(statement, 2, q->since);
    sqlite3_bind_int64(statement, 3, q->until);
    sqlite3_bind_int64(statement, 4, q->before_seq);
    for (int i = 0; i < FILTERS; i++)
        if (filters[i].value != NULL)
            db_bind_text(statement, 5 + i, filters[i].value);
}

int audit_rows_query(struct db *db, const struct audit_query *query, json_t **rows,
                     struct err *e)
{
    struct filter filters[FILTERS];
    sqlite3_stmt *statement = NULL;
    char sql[SQL_MAX];
    int result;

    list_filters(query, filters);
    build(query, filters, sql);
    *rows = json_array();
    if (*rows == NULL)
        return err_set(e, AGW_ENOMEM, "reading the audit trail");
    if (sqlite3_prepare_v2(db_handle(db), sql, -1, &statement, NULL) != SQLITE_OK) {
        json_decref(*rows);
        *rows = NULL;
        return db_error(db, e, "reading the audit trail");
    }
    bind(statement, query, filters);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        if (json_array_append_new(*rows, db_row_json(statement)) != 0) {
            result = SQLITE_NOMEM;
            break;
        }
    if (result != SQLITE_DONE) {
        if (result == SQLITE_NOMEM)
            err_set(e, AGW_ENOMEM, "reading the audit trail");
        else
            db_error(db, e, "reading the audit trail");
        json_decref(*rows);
        *rows = NULL;
    }
    sqlite3_finalize(statement);
    return result == SQLITE_DONE ? 0 : result == SQLITE_NOMEM ? AGW_ENOMEM : AGW_ESTORE;
}

/* SPDX-License-Identifier: MIT */
/* Asks the trail what was used. */
#include "store/usage.h"

#include "store/db.h"

/* Only what runs leaves a row of this kind. */
int usage_requests(struct db *db, const char *key_id, int64_t day, int64_t *count,
                   struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT count(*) FROM audit_event WHERE key_id = ?1 AND ts >= ?2 AND ts < ?3"
            " AND kind = 'decision'", e);

    *count = 0;
    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, key_id);
    sqlite3_bind_int64(statement, 2, day * USAGE_DAY_MS);
    sqlite3_bind_int64(statement, 3, (day + 1) * USAGE_DAY_MS);
    return db_row_number(db, statement, 0, count, e);
}

/* As a floating-point sum: providers may report what no integer holds when added up. */
int usage_tokens(struct db *db, const char *key_id, int64_t day, int64_t *count, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT CAST(total(prompt_tokens) + total(completion_tokens) AS INTEGER)"
            " FROM usage_day WHERE day = ?1 AND key_id = ?2", e);

    *count = 0;
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, day);
    db_bind_text(statement, 2, key_id);
    return db_row_number(db, statement, 0, count, e);
}

int usage_override(struct db *db, const char *override_id, const struct usage_before *before,
                   int64_t *count, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT count(*) FROM audit_event WHERE override_id = ?1 AND override_id IS NOT NULL"
            " AND source = 'override' AND kind = 'decision' AND seq < ?2 AND ts < ?3", e);

    *count = 0;
    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, override_id);
    sqlite3_bind_int64(statement, 2, before != NULL && before->seq > 0 ? before->seq : INT64_MAX);
    sqlite3_bind_int64(statement, 3, before != NULL && before->seq == 0 ? before->at : INT64_MAX);
    return db_row_number(db, statement, 0, count, e);
}

int usage_list(struct db *db, const struct usage_filter *filter, json_t **rows, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT date(day * 86400, 'unixepoch') AS day, key_id, agent, requests, completed,"
            " denied, prompt_tokens, completion_tokens, duration_ms FROM usage_day AS u"
            " WHERE u.day >= ?1 AND u.day <= ?2 AND (?3 IS NULL OR key_id = ?3)"
            " AND (?4 IS NULL OR agent = ?4) ORDER BY u.day DESC, key_id, agent", e);

    *rows = NULL;
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, filter->since / USAGE_DAY_MS);
    sqlite3_bind_int64(statement, 2, filter->until == 0 ? INT64_MAX / USAGE_DAY_MS
                                                        : (filter->until - 1) / USAGE_DAY_MS);
    db_bind_text(statement, 3, filter->key_id);
    db_bind_text(statement, 4, filter->agent);
    return db_rows_json(db, statement, rows, e);
}

/* SPDX-License-Identifier: MIT */
/* Walks the decisions of a period. */
#include "store/audit_decisions.h"

#include "store/db.h"

#define COLUMNS "SELECT seq, ts, key_id, agent, namespace, decision, source, pattern, place,"                                              \
                " detail"
#define DECIDED                                                                                \
    " decision IS NOT NULL AND (kind = 'decision' OR kind = 'refusal')"                        \
    " AND key_id IS NOT NULL AND agent IS NOT NULL"

/* The whole table is read in its own order, which is faster by far than by the index of times;
 * a key's or an agent's rows are found by their index. */
static const char by_seq[] = COLUMNS " FROM audit_event WHERE seq BETWEEN ?1 AND ?2"
                                     " AND +ts >= ?3 AND +ts < ?4 AND" DECIDED " ORDER BY seq";
static const char by_key[] = COLUMNS " FROM audit_event WHERE key_id = ?5 AND ts >= ?3"
                                     " AND ts < ?4 AND (?6 IS NULL OR agent = ?6) AND" DECIDED
                                     " ORDER BY ts";
static const char by_agent[] = COLUMNS " FROM audit_event WHERE agent = ?6 AND ts >= ?3"
                                       " AND ts < ?4 AND" DECIDED " ORDER BY ts";

static int64_t until_of(const struct audit_period *period)
{
    return period->until == 0 ? INT64_MAX : period->until;
}

int audit_decisions_span(struct db *db, const struct audit_period *period, int64_t *first_seq,
                         int64_t *last_seq, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT coalesce(min(seq), 0), coalesce(max(seq), -1) FROM audit_event"
            " WHERE ts >= ? AND ts < ?", e);
    int status;

    *first_seq = 0;
    *last_seq = -1;
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, period->since);
    sqlite3_bind_int64(statement, 2, until_of(period));
    status = db_step(db, statement, e);
    if (status == 1) {
        *first_seq = sqlite3_column_int64(statement, 0);
        *last_seq = sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
    return status < 0 ? status : 0;
}

static const char *text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

static int walk(struct db *db, sqlite3_stmt *statement,
                int (*fn)(void *arg, const struct audit_decision *row), void *arg,
                struct err *e)
{
    int status;

    while ((status = db_step(db, statement, e)) == 1) {
        struct audit_decision row = {
            .seq = sqlite3_column_int64(statement, 0),
            .ts = sqlite3_column_int64(statement, 1),
            .key_id = text(statement, 2),
            .agent = text(statement, 3),
            .ns = text(statement, 4),
            .decision = text(statement, 5),
            .source = text(statement, 6),
            .pattern = text(statement, 7),
            .place = text(statement, 8),
            .detail = text(statement, 9)};

        if (row.key_id == NULL || row.agent == NULL || row.decision == NULL)
            status = err_set(e, AGW_ENOMEM, "reading the audit trail");
        else
            status = fn(arg, &row);
        if (status < 0)
            break;
    }
    sqlite3_reset(statement);
    return status;
}

int audit_decisions_each(struct db *db, const struct audit_period *period,
                         int (*fn)(void *arg, const struct audit_decision *row), void *arg,
                         struct err *e)
{
    int64_t first = 0, last = -1;
    const char *sql = period->key_id != NULL  ? by_key
                      : period->agent != NULL ? by_agent
                                              : by_seq;
    sqlite3_stmt *statement;
    int status = sql == by_seq ? audit_decisions_span(db, period, &first, &last, e) : 0;

    if (status != 0)
        return status;
    statement = db_statement(db, sql, e);
    if (statement == NULL)
        return AGW_ESTORE;
    if (sql == by_seq) {
        sqlite3_bind_int64(statement, 1, first);
        sqlite3_bind_int64(statement, 2, last);
    }
    sqlite3_bind_int64(statement, 3, period->since);
    sqlite3_bind_int64(statement, 4, until_of(period));
    if (sql == by_key)
        db_bind_text(statement, 5, period->key_id);
    if (sql != by_seq)
        db_bind_text(statement, 6, period->agent);
    return walk(db, statement, fn, arg, e);
}

/* SPDX-License-Identifier: MIT */
/* Takes old rows off the beginning of the trail without anybody having to wait for it. */
#include "store/audit_prune.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/db.h"
#include "store/keys.h"
#include "util/clock.h"

enum { ROWS_FIRST = 100 };
static const int64_t hold_us = 10000;
static const int64_t day_ms = 86400000;

/* The one number a statement with one binding yields; `otherwise` without a row. */
static int ask(struct db *db, const char *sql, int64_t bound, int64_t otherwise,
               int64_t *number, struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, sql, e);

    *number = otherwise;
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, bound);
    return db_row_number(db, statement, otherwise, number, e);
}

/* The rows before the first one, by seq, that is young enough to stay: times of neighbours may
 * be out of order, and clocks were wrong at times. */
static int limit_by_time(struct db *db, int64_t before, int64_t *limit, struct err *e)
{
    return ask(db, "SELECT seq FROM audit_event WHERE +ts >= ?1 ORDER BY seq LIMIT 1", before,
               INT64_MAX, limit, e);
}

/* The first request of a process that is not known to be over. What the table `process` says
 * may lag behind, so the rows themselves are asked. */
static int limit_by_requests(struct db *db, int64_t limit, int64_t *open, struct err *e)
{
    return ask(db,
               "SELECT d.seq FROM audit_event AS d WHERE d.seq >= (SELECT min(oldest_open_seq)"
               " FROM process WHERE oldest_open_seq > 0) AND d.seq < ?1 AND d.outcome IS NULL"
               " AND d.kind IN ('decision', 'access', 'preview')"
               " AND d.process IN (SELECT process FROM process)"
               " AND NOT EXISTS (SELECT 1 FROM audit_event AS e WHERE e.kind = 'end'"
               " AND e.request_uid = d.request_uid) ORDER BY d.seq LIMIT 1",
               limit, INT64_MAX, open, e);
}

/* The row that made an override which is in force: without it the grant would count no more. */
static int limit_by_overrides(struct db *db, int64_t now, int64_t *proof, struct err *e)
{
    return ask(db,
               "SELECT min(a.seq) FROM override AS o JOIN audit_event AS a"
               " ON a.override_id = o.id AND a.override_id IS NOT NULL"
               " WHERE o.revoked_at IS NULL AND o.expired_at IS NULL AND o.expires_at > ?1",
               now, INT64_MAX, proof, e);
}

static void keep(struct audit_pruned *result, int64_t *limit, int64_t seq, const char *why)
{
    if (seq >= *limit)
        return;
    *limit = seq;
    result->kept_for = why;
}

static int read_hash(struct db *db, struct audit_head *head, struct err *e)
{
    sqlite3_stmt *row = db_statement(db, "SELECT hash FROM audit_event WHERE seq = ?", e);
    const char *hash;
    int status;

    if (row == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(row, 1, head->seq);
    status = db_step(db, row, e);
    hash = status == 1 ? (const char *)sqlite3_column_text(row, 0) : NULL;
    snprintf(head->hash, sizeof head->hash, "%s", hash == NULL ? "" : hash);
    sqlite3_reset(row);
    if (status == 0)
        return err_set(e, AGW_EINVALID, "row %lld is missing: verify the trail",
                       (long long)head->seq);
    return status < 0 ? status : 0;
}

/* Which rows are to go. The newest always stays: the trail must know its own head. */
static int plan(struct store *store, struct db *db, const struct audit_prune *order,
                struct audit_pruned *result, struct err *e)
{
    int64_t limit, seq, newest;
    int status = ask(db, "SELECT min(seq) FROM audit_event WHERE seq > ?1", INT64_MIN, 0,
                     &result->first_seq, e);

    if (status == 0)
        status = ask(db, "SELECT max(seq) FROM audit_event WHERE seq > ?1", INT64_MIN, 0,
                     &newest, e);
    if (status == 0)
        status = limit_by_time(db, order->before, &limit, e);
    if (status != 0)
        return status;
    keep(result, &limit, newest, NULL);
    status = limit_by_overrides(db, store_now(store), &seq, e);
    keep(result, &limit, seq, "an override that is in force");
    if (status == 0) {
        status = limit_by_requests(db, limit, &seq, e);
        keep(result, &limit, seq, "a request that has not ended");
    }
    if (status != 0 || newest == 0 || limit <= result->first_seq)
        return status;
    result->through.seq = limit - 1;
    result->rows = limit - result->first_seq;
    return read_hash(db, &result->through, e);
}

static int verify(struct db *db, const struct audit_prune *order, struct audit_pruned *result,
                  struct err *e)
{
    const struct audit_check check = {.to_seq = result->through.seq,
                                      .progress = order->verified, .arg = order->verified_arg};
    int status = audit_verify(db, &check, &result->verdict, e);

    if (status == 0 && result->verdict.broken)
        status = err_set(e, AGW_EINVALID, "row %lld does not hold (%s): what proves that is not"
                         " removed", (long long)result->verdict.bad_seq,
                         result->verdict.problem);
    return status;
}

/* Unless that was announced already, by a removal that was cut short or runs beside us. */
static int announce(struct store *store, struct db *db, const struct audit_prune *order,
                    const struct audit_pruned *result, struct err *e)
{
    struct audit_row carrier = audit_row_new(clock_wall_ms(), NULL);
    struct audit_anchor anchor;
    int64_t carried;
    int status = store_write_begin(store, db, e);

    carrier.key_id = order->by;
    if (status != 0)
        return status;
    status = audit_anchor_announced(db, &anchor, e);
    if (status == 0) /* what proves that keys made at run time are such goes on in new rows */
        status = keys_carry_proofs(store, db, result->through.seq + 1, &carrier, &carried, e);
    if (status == 0 && anchor.seq < result->through.seq)
        status = audit_anchor_announce(store, db, &result->through, result->rows, order->by, e);
    return store_write_end(store, db, status, e);
}

static int delete_rows(struct db *db, int64_t through, int64_t *removed, struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, "DELETE FROM audit_event WHERE seq <= ?", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, through);
    if (db_step(db, statement, e) != 0)
        return AGW_ESTORE;
    *removed = sqlite3_changes64(db_handle(db));
    return 0;
}

/* One transaction; *held_us is how long nobody else could write. */
static int remove_some(struct store *store, struct db *db, int64_t through,
                       struct audit_pruned *result, int64_t *held_us, struct err *e)
{
    int64_t begun, removed = 0;
    int status = store_write_begin(store, db, e);

    if (status != 0)
        return status;
    begun = clock_mono_us();
    status = store_write_end(store, db, delete_rows(db, through, &removed, e), e);
    *held_us = clock_mono_us() - begun;
    if (*held_us / 1000 > result->longest_ms)
        result->longest_ms = *held_us / 1000;
    result->removed += status == 0 ? removed : 0;
    return status;
}

/* As long as the gate was held it is left alone: others get at least every other turn. */
static void let_others(int64_t held_us)
{
    const struct timespec pause = {.tv_sec = held_us / 1000000,
                                   .tv_nsec = held_us % 1000000 * 1000};

    nanosleep(&pause, NULL);
}

int64_t audit_prune_pace(int64_t rows, int64_t held_us)
{
    return held_us > 2 * hold_us ? rows / 2 + 1 : held_us < hold_us / 2 ? rows * 2 : rows;
}

static int remove_all(struct store *store, struct db *db, const struct audit_prune *order,
                      struct audit_pruned *result, struct err *e)
{
    int64_t rows = ROWS_FIRST, held_us, gone = result->first_seq - 1;

    while (gone < result->through.seq) {
        int64_t through = gone + rows < result->through.seq ? gone + rows : result->through.seq;
        int status = remove_some(store, db, through, result, &held_us, e);

        if (status != 0)
            return status;
        gone = through;
        if (order->removed != NULL)
            order->removed(order->removed_arg, result->removed, result->rows);
        rows = audit_prune_pace(rows, held_us);
        let_others(held_us);
    }
    return 0;
}

int audit_prune(struct store *store, const struct audit_prune *order,
                struct audit_pruned *result, struct err *e)
{
    struct db *db;
    int status;

    memset(result, 0, sizeof *result);
    if (order->before > store_now(store) - AUDIT_PRUNE_MIN_AGE_DAYS * day_ms)
        return err_set(e, AGW_EINVALID, "rows younger than %d days are not removed",
                       AUDIT_PRUNE_MIN_AGE_DAYS);
    db = store_acquire(store, e);
    if (db == NULL)
        return AGW_ESTORE;
    status = plan(store, db, order, result, e);
    if (status == 0 && result->rows > 0)
        status = verify(db, order, result, e);
    if (status == 0 && result->rows > 0 && !order->dry_run) {
        status = announce(store, db, order, result, e);
        if (status == 0)
            status = remove_all(store, db, order, result, e);
    }
    store_release(store, db);
    return status;
}

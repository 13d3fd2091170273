/* SPDX-License-Identifier: MIT */
/* Announces in the trail, and reads from it, which old rows may be gone. */
#include "store/audit_anchor.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "store/db.h"
#include "util/json_memory.h"

/* The kinds that are not pruned repeat the condition of the partial index. */
int audit_anchor_announced(struct db *db, struct audit_anchor *anchor, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db,
        "SELECT detail ->> 'through_seq', detail ->> 'through_hash', ts FROM audit_event"
        " WHERE kind = 'audit.pruned' AND kind <> 'decision' AND kind <> 'access'"
        " AND kind <> 'end' AND json_valid(detail)"
        " AND typeof(detail ->> 'through_seq') = 'integer'"
        " ORDER BY detail ->> 'through_seq' DESC LIMIT 1", e);
    const char *hash;
    int status;

    memset(anchor, 0, sizeof *anchor);
    if (statement == NULL)
        return AGW_ESTORE;
    status = db_step(db, statement, e);
    if (status != 1)
        return status;
    anchor->seq = sqlite3_column_int64(statement, 0);
    hash = (const char *)sqlite3_column_text(statement, 1);
    snprintf(anchor->hash, sizeof anchor->hash, "%s", hash == NULL ? "" : hash);
    anchor->at = sqlite3_column_int64(statement, 2);
    sqlite3_reset(statement);
    return 0;
}

static int note(struct db *db, const struct audit_head *through, int64_t at, const char *by,
                struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "INSERT INTO audit_anchor (seq, hash, at, by) VALUES (?, ?, ?, ?)", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, through->seq);
    db_bind_text(statement, 2, through->hash);
    sqlite3_bind_int64(statement, 3, at);
    db_bind_text(statement, 4, by);
    return db_step(db, statement, e);
}

int audit_anchor_announce(struct store *store, struct db *db, const struct audit_head *through,
                          int64_t rows, const char *by, struct err *e)
{
    json_t *said = json_pack("{s:I, s:s, s:I, s:s?}", "through_seq", (json_int_t)through->seq,
                             "through_hash", through->hash, "rows", (json_int_t)rows, "by", by);
    char *detail = json_dumps(said, JSON_COMPACT); /* NULL of NULL */
    struct audit_row row = audit_row_new(store_now(store), "audit.pruned");
    int status;

    row.detail = detail;
    json_decref(said);
    if (detail == NULL)
        return err_set(e, AGW_ENOMEM, "announcing what is removed");
    status = audit_rows_append(store, db, &row, 1, NULL, e);
    if (status == 0)
        status = note(db, through, row.ts, by, e);
    json_memory_free(detail);
    return status;
}

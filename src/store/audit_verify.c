/* SPDX-License-Identifier: MIT */
/* Walks the audit chain and names the first row that does not hold. */
#include "store/audit_rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/audit_chain.h"
#include "store/db.h"

static void blame(struct audit_verdict *verdict, int64_t seq, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void blame(struct audit_verdict *verdict, int64_t seq, const char *format, ...)
{
    va_list arguments;

    verdict->bad_seq = seq;
    va_start(arguments, format);
    vsnprintf(verdict->problem, sizeof verdict->problem, format, arguments);
    va_end(arguments);
}

/* The row is hashed as it is stored, whatever its types: a number turned into text differs
 * nowhere else, but SQLite's STRICT table does not let one in. */
static int hash_row(sqlite3_stmt *statement, struct audit_chain *chain,
                    char hash[SHA_HEX_SIZE], struct err *e)
{
    const char *prev = (const char *)sqlite3_column_text(statement, AUDIT_COLUMN_COUNT + 1);

    audit_chain_begin(chain, sqlite3_column_int64(statement, 0));
    for (int i = 1; i <= AUDIT_COLUMN_COUNT; i++) {
        const char *text;

        if (sqlite3_column_type(statement, i) == SQLITE_NULL) {
            audit_chain_null(chain);
            continue;
        }
        text = (const char *)sqlite3_column_text(statement, i);
        /* NULL when memory is out, whatever length the column has. */
        audit_chain_text(chain, text == NULL ? "" : text,
                         text == NULL ? 0 : (size_t)sqlite3_column_bytes(statement, i));
    }
    return audit_chain_end(chain, prev == NULL ? "" : prev, hash, e);
}

static int check_row(sqlite3_stmt *statement, struct audit_chain *chain,
                     struct audit_verdict *verdict, struct err *e)
{
    int64_t seq = sqlite3_column_int64(statement, 0);
    const char *prev = (const char *)sqlite3_column_text(statement, AUDIT_COLUMN_COUNT + 1);
    const char *stored = (const char *)sqlite3_column_text(statement, AUDIT_COLUMN_COUNT + 2);
    char hash[SHA_HEX_SIZE];
    int status = hash_row(statement, chain, hash, e);

    if (status != 0)
        return status;
    verdict->checked++;
    if (seq != verdict->head.seq + 1)
        blame(verdict, seq, "row %lld is missing", (long long)verdict->head.seq + 1);
    else if (prev == NULL || strcmp(prev, verdict->head.hash) != 0)
        blame(verdict, seq, "prev_hash is not the hash of row %lld", (long long)seq - 1);
    else if (stored == NULL || strcmp(stored, hash) != 0)
        blame(verdict, seq, "the row does not match its hash");
    verdict->head.seq = seq;
    memcpy(verdict->head.hash, hash, sizeof hash);
    return 0;
}

/* What the first row to check must follow. */
static int find_start(struct db *db, int64_t from_seq, struct audit_head *head, struct err *e)
{
    sqlite3_stmt *statement;
    const char *hash;
    int status;

    head->seq = 0;
    memcpy(head->hash, AUDIT_CHAIN_START, sizeof head->hash);
    if (from_seq <= 1)
        return 0;
    head->seq = from_seq - 1;
    statement = db_statement(db, "SELECT hash FROM audit_event WHERE seq = ?", e);
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, head->seq);
    status = db_step(db, statement, e);
    hash = status == 1 ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    snprintf(head->hash, sizeof head->hash, "%s", hash == NULL ? "" : hash);
    if (status == 1)
        sqlite3_reset(statement);
    return status < 0 ? status : 0;
}

int audit_rows_verify(struct db *db, int64_t from_seq, struct audit_verdict *verdict,
                      struct err *e)
{
    struct audit_chain chain;
    sqlite3_stmt *statement;
    int status;

    memset(verdict, 0, sizeof *verdict);
    status = find_start(db, from_seq, &verdict->head, e);
    if (status != 0)
        return status;
    statement = db_statement(db,
                             "SELECT seq" AUDIT_COLUMN_LIST ", prev_hash, hash"
                             " FROM audit_event WHERE seq >= ? ORDER BY seq", e);
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, from_seq);
    status = audit_chain_init(&chain, e);
    if (status != 0)
        return status;
    while (verdict->bad_seq == 0 && (status = db_step(db, statement, e)) == 1)
        if ((status = check_row(statement, &chain, verdict, e)) != 0)
            break;
    sqlite3_reset(statement);
    audit_chain_free(&chain);
    return status < 0 ? status : 0;
}

/* SPDX-License-Identifier: MIT */
/* Adds rows to the audit chain and to the sums that are kept of it. */
#include "store/audit_rows.h"

#include <stdlib.h>
#include <string.h>

#include "store/audit_chain.h"
#include "store/db.h"
#include "util/clock.h"

enum { DAY_MS = 86400000 };

int audit_rows_head(struct db *db, struct audit_head *head, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT seq, hash FROM audit_event ORDER BY seq DESC LIMIT 1", e);
    const char *hash;
    int status;

    head->seq = 0;
    memcpy(head->hash, AUDIT_CHAIN_START, sizeof head->hash);
    if (statement == NULL)
        return AGW_ESTORE;
    status = db_step(db, statement, e);
    if (status != 1)
        return status;
    head->seq = sqlite3_column_int64(statement, 0);
    hash = (const char *)sqlite3_column_text(statement, 1);
    status = 0;
    if (hash == NULL || strlen(hash) != SHA_HEX_SIZE - 1)
        status = err_set(e, AGW_ESTORE, "audit row %lld has no proper hash",
                         (long long)head->seq);
    else
        memcpy(head->hash, hash, sizeof head->hash);
    sqlite3_reset(statement);
    return status;
}

/* Binds a row's columns, the first to `index`, and spells them for the hash. */
static int bind_columns(sqlite3_stmt *statement, int index, const struct audit_row *row,
                        struct audit_chain *chain)
{
#define BIND_NUMBER(column, member)                                                            \
    if (row->member == -1)                                                                     \
        audit_chain_null(chain);                                                               \
    else                                                                                       \
        audit_chain_number(chain, row->member);                                                \
    db_bind_number(statement, index++, row->member);
#define BIND_TEXT(column, member)                                                              \
    if (row->member == NULL) {                                                                 \
        audit_chain_null(chain);                                                               \
        sqlite3_bind_null(statement, index++);                                                 \
    } else {                                                                                   \
        size_t length = strlen(row->member);                                                   \
        audit_chain_text(chain, row->member, length);                                          \
        sqlite3_bind_text64(statement, index++, row->member, length, SQLITE_STATIC,            \
                            SQLITE_UTF8);                                                      \
    }
    AUDIT_COLUMNS(BIND_NUMBER, BIND_TEXT)
#undef BIND_NUMBER
#undef BIND_TEXT
    return index;
}

static int append_one(struct db *db, sqlite3_stmt *statement, struct audit_chain *chain,
                      struct audit_head *head, const struct audit_row *row, struct err *e)
{
    char hash[SHA_HEX_SIZE];
    int index, status;

    audit_chain_begin(chain, head->seq + 1);
    sqlite3_bind_int64(statement, 1, head->seq + 1);
    index = bind_columns(statement, 2, row, chain);
    status = audit_chain_end(chain, head->hash, hash, e);
    if (status != 0)
        return status;
    sqlite3_bind_text(statement, index, head->hash, SHA_HEX_SIZE - 1, SQLITE_STATIC);
    sqlite3_bind_text(statement, index + 1, hash, SHA_HEX_SIZE - 1, SQLITE_STATIC);
    status = db_step(db, statement, e);
    if (status != 0)
        return status;
    memcpy(head->hash, hash, sizeof hash);
    head->seq++;
    return 0;
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* By day, key and agent: equal ones become neighbours. */
static int compare_usage(const void *a, const void *b)
{
    const struct audit_row *x = *(const struct audit_row *const *)a;
    const struct audit_row *y = *(const struct audit_row *const *)b;
    int by_key;

    if (x->ts / DAY_MS != y->ts / DAY_MS)
        return x->ts / DAY_MS < y->ts / DAY_MS ? -1 : 1;
    by_key = strcmp(or_empty(x->key_id), or_empty(y->key_id));
    return by_key != 0 ? by_key : strcmp(or_empty(x->agent), or_empty(y->agent));
}

static int64_t or_zero(int64_t number)
{
    return number < 0 ? 0 : number;
}

/* One statement for a run of rows of one day, key and agent. */
static int add_usage(struct db *db, const struct audit_row *const *rows, size_t count,
                     struct err *e)
{
    int64_t completed = 0, denied = 0, prompt = 0, completion = 0, duration = 0;
    sqlite3_stmt *statement = db_statement(
        db,
        "INSERT INTO usage_day VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        " ON CONFLICT (day, key_id, agent) DO UPDATE SET requests = requests + ?4,"
        " completed = completed + ?5, denied = denied + ?6,"
        " prompt_tokens = prompt_tokens + ?7, completion_tokens = completion_tokens + ?8,"
        " duration_ms = duration_ms + ?9", e);

    if (statement == NULL)
        return AGW_ESTORE;
    for (size_t i = 0; i < count; i++) {
        completed += strcmp(rows[i]->outcome, "completed") == 0;
        denied += strcmp(rows[i]->outcome, "denied") == 0;
        prompt += or_zero(rows[i]->prompt_tokens);
        completion += or_zero(rows[i]->completion_tokens);
        duration += or_zero(rows[i]->duration_ms);
    }
    sqlite3_bind_int64(statement, 1, rows[0]->ts / DAY_MS);
    db_bind_text(statement, 2, or_empty(rows[0]->key_id));
    db_bind_text(statement, 3, or_empty(rows[0]->agent));
    sqlite3_bind_int64(statement, 4, (int64_t)count);
    sqlite3_bind_int64(statement, 5, completed);
    sqlite3_bind_int64(statement, 6, denied);
    sqlite3_bind_int64(statement, 7, prompt);
    sqlite3_bind_int64(statement, 8, completion);
    sqlite3_bind_int64(statement, 9, duration);
    return db_step(db, statement, e);
}

/* Rows with an outcome are ended requests: they are summed. */
static int sum_usage(struct db *db, const struct audit_row *rows, size_t count, struct err *e)
{
    const struct audit_row **ended = malloc(count * sizeof *ended);
    size_t n = 0, first = 0;
    int status = 0;

    if (ended == NULL)
        return err_set(e, AGW_ENOMEM, "summing audit rows");
    for (size_t i = 0; i < count; i++)
        if (rows[i].outcome != NULL)
            ended[n++] = &rows[i];
    qsort(ended, n, sizeof *ended, compare_usage);
    for (size_t i = 1; i <= n && status == 0; i++) {
        if (i < n && compare_usage(&ended[first], &ended[i]) == 0)
            continue;
        status = add_usage(db, ended + first, i - first, e);
        first = i;
    }
    free(ended);
    return status;
}

struct audit_row audit_row_new(int64_t ts, const char *kind)
{
    return (struct audit_row){.ts = ts, .kind = kind, .generation = -1, .status = -1,
                              .streaming = -1, .prompt_tokens = -1, .completion_tokens = -1,
                              .duration_ms = -1};
}

int audit_rows_append(struct store *store, struct db *db, const struct audit_row *rows,
                      size_t count, int64_t *first_seq, struct err *e)
{
    struct audit_chain chain;
    struct audit_head head;
    sqlite3_stmt *statement;
    int status;

    (void)store;
    if (count == 0)
        return 0;
    status = audit_rows_head(db, &head, e);
    if (status != 0)
        return status;
    if (first_seq != NULL)
        *first_seq = head.seq + 1;
    statement = db_statement(db,
                             "INSERT INTO audit_event (seq" AUDIT_COLUMN_LIST
                             ", prev_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                             " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", e);
    if (statement == NULL)
        return AGW_ESTORE;
    status = audit_chain_init(&chain, e);
    if (status != 0)
        return status;
    for (size_t i = 0; i < count && status == 0; i++)
        status = append_one(db, statement, &chain, &head, &rows[i], e);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    audit_chain_free(&chain);
    return status == 0 ? sum_usage(db, rows, count, e) : status;
}

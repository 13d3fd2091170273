/* SPDX-License-Identifier: MIT */
/* Opens SQLite connections the one right way and keeps their prepared statements. */
#include "store/db.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/clock.h"
#include "util/json_text.h"

enum { BUSY_TIMEOUT_MS = 250, TEXT_MAX = 64 << 20 };

struct cached {
    const char *sql; /* its address is the key; NULL = free */
    sqlite3_stmt *statement;
};

struct db {
    sqlite3 *handle;
    int log_pages;
    uint64_t pending_revision;
    struct cached cache[2 * DB_STATEMENTS_MAX];
    int cached;
};

/* A hook takes the place of SQLite's own checkpoints, which would run outside the gate. */
static int after_commit(void *arg, sqlite3 *handle, const char *name, int pages)
{
    struct db *db = arg;

    (void)handle;
    (void)name;
    db->log_pages = pages;
    return SQLITE_OK;
}

int db_error(struct db *db, struct err *e, const char *doing)
{
    return err_set(e, AGW_ESTORE, "%s: %s", doing,
                   db->handle == NULL ? "out of memory" : sqlite3_errmsg(db->handle));
}

/* Every setting that must not depend on SQLite's build or the file's history. */
static int configure(struct db *db, const struct db_options *options, struct err *e)
{
    int status;

    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    status = db_exec(db, "PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY;"
                         "PRAGMA cell_size_check = ON", e);
    if (status == 0)
        status = db_exec(db, options->synchronous_full ? "PRAGMA synchronous = FULL"
                                                       : "PRAGMA synchronous = NORMAL", e);
    if (status == 0 && options->read_only)
        status = db_exec(db, "PRAGMA query_only = ON", e);
    sqlite3_wal_hook(db->handle, after_commit, db);
    return status;
}

/* "file:PATH?immutable=1", with what means something in a URI escaped. */
static int immutable_uri(const char *path, struct buf *uri)
{
    buf_init(uri, 3 * 4096 + 32);
    buf_puts(uri, "file:");
    for (; *path != '\0'; path++)
        if (strchr("%?#", *path) != NULL)
            buf_printf(uri, "%%%02x", (unsigned char)*path);
        else
            buf_append(uri, path, 1);
    return buf_puts(uri, "?immutable=1");
}

static const char rollback[] = "ROLLBACK";

static int open_handle(struct db *db, const struct db_options *options)
{
    int flags = SQLITE_OPEN_NOMUTEX | (options->read_only ? SQLITE_OPEN_READONLY
                                                          : SQLITE_OPEN_READWRITE);
    struct buf uri;
    int result = SQLITE_NOMEM;

    if (!options->immutable)
        return sqlite3_open_v2(options->path, &db->handle, flags, NULL);
    if (immutable_uri(options->path, &uri) == 0)
        result = sqlite3_open_v2(buf_text(&uri), &db->handle, flags | SQLITE_OPEN_URI, NULL);
    buf_free(&uri);
    return result;
}

int db_open(const struct db_options *options, struct db **out, struct err *e)
{
    struct db *db = calloc(1, sizeof *db);
    int status;

    *out = NULL;
    if (db == NULL)
        return err_set(e, AGW_ENOMEM, "opening %s", options->path);
    if (open_handle(db, options) != SQLITE_OK) {
        status = err_set(e, AGW_ESTORE, "cannot open %s: %s", options->path,
                         db->handle == NULL ? "out of memory" : sqlite3_errmsg(db->handle));
        db_close(&db);
        return status;
    }
    status = configure(db, options, e);
    /* prepared now: it is needed when memory is out */
    if (status == 0 && db_statement(db, rollback, e) == NULL)
        status = AGW_ESTORE;
    if (status != 0)
        db_close(&db);
    *out = db;
    return status;
}

void db_close(struct db **db)
{
    if (*db == NULL)
        return;
    for (size_t i = 0; i < sizeof (*db)->cache / sizeof (*db)->cache[0]; i++)
        sqlite3_finalize((*db)->cache[i].statement);
    sqlite3_close((*db)->handle);
    free(*db);
    *db = NULL;
}

int db_require_wal(struct db *db, struct err *e)
{
    const char *mode = "";
    sqlite3_stmt *statement;
    int64_t pages;
    int status = db_number(db, "PRAGMA page_count", 0, &pages, e);

    if (status != 0)
        return status;
    statement = db_statement(db, pages == 0 ? "PRAGMA journal_mode = WAL"
                                            : "PRAGMA journal_mode", e);
    if (statement == NULL)
        return AGW_ESTORE;
    status = db_step(db, statement, e);
    if (status == 1)
        mode = (const char *)sqlite3_column_text(statement, 0);
    if (status >= 0)
        status = mode != NULL && strcmp(mode, "wal") == 0
                     ? 0
                     : err_set(e, AGW_ESTORE,
                               "the journal mode is '%s'; only 'wal' is safe here "
                               "(stop all users, then: PRAGMA journal_mode = wal)",
                               mode == NULL ? "" : mode);
    sqlite3_reset(statement);
    return status;
}

bool db_roll_back(struct db *db)
{
    sqlite3_stmt *statement;

    for (size_t i = 0; i < sizeof db->cache / sizeof db->cache[0]; i++)
        if (db->cache[i].statement != NULL && sqlite3_stmt_busy(db->cache[i].statement))
            sqlite3_reset(db->cache[i].statement);
    if (!sqlite3_get_autocommit(db->handle) &&
        (statement = db_statement(db, rollback, NULL)) != NULL)
        db_step(db, statement, NULL);
    return sqlite3_get_autocommit(db->handle) != 0;
}

int db_log_pages(const struct db *db)
{
    return db->log_pages;
}

/* Checkpoint sequence number and first salt in the header of the log file. */
uint64_t db_log_number(struct db *db)
{
    enum { AT = 12 };
    sqlite3_file *log = NULL;
    uint64_t number = 0;

    if (sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK ||
        log == NULL || log->pMethods == NULL ||
        log->pMethods->xRead(log, &number, sizeof number, AT) != SQLITE_OK)
        return 0;
    return number;
}

void db_set_pending_revision(struct db *db, uint64_t revision)
{
    db->pending_revision = revision;
}

uint64_t db_pending_revision(const struct db *db)
{
    return db->pending_revision;
}

static struct cached *find_cached(struct db *db, const char *sql)
{
    const size_t slots = sizeof db->cache / sizeof db->cache[0];
    size_t i = ((uintptr_t)sql * 0x9e3779b97f4a7c15u >> 32) % slots;

    while (db->cache[i].sql != NULL && db->cache[i].sql != sql)
        i = (i + 1) % slots;
    return &db->cache[i];
}

sqlite3_stmt *db_statement(struct db *db, const char *sql, struct err *e)
{
    struct cached *cached = find_cached(db, sql);

    if (cached->statement == NULL) {
        assert(db->cached < DB_STATEMENTS_MAX);
        if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                               &cached->statement, NULL) != SQLITE_OK) {
            db_error(db, e, "preparing a statement");
            return NULL;
        }
        cached->sql = sql;
        db->cached++;
        return cached->statement;
    }
    sqlite3_reset(cached->statement);
    sqlite3_clear_bindings(cached->statement);
    return cached->statement;
}

int db_step(struct db *db, sqlite3_stmt *statement, struct err *e)
{
    int result = sqlite3_step(statement);

    if (result == SQLITE_ROW)
        return 1;
    if (result != SQLITE_DONE)
        db_error(db, e, "running a statement");
    sqlite3_reset(statement);
    return result == SQLITE_DONE ? 0 : AGW_ESTORE;
}

/* The statements of `sql` one after the other; each is prepared when its turn comes, since
 * it may need what the one before made. */
int db_exec(struct db *db, const char *sql, struct err *e)
{
    while (*sql != '\0') {
        sqlite3_stmt *statement;
        int result;

        if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, &sql) != SQLITE_OK)
            return db_error(db, e, "preparing a statement");
        if (statement == NULL) /* blanks and comments at the end */
            continue;
        do
            result = sqlite3_step(statement);
        while (result == SQLITE_ROW);
        if (sqlite3_finalize(statement) != SQLITE_OK)
            return db_error(db, e, "running a statement");
    }
    return 0;
}

sqlite3 *db_handle(struct db *db)
{
    return db->handle;
}

int db_number(struct db *db, const char *sql, int64_t otherwise, int64_t *number,
              struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, sql, e);

    *number = otherwise;
    if (statement == NULL)
        return AGW_ESTORE;
    return db_row_number(db, statement, otherwise, number, e);
}

int db_row_number(struct db *db, sqlite3_stmt *statement, int64_t otherwise, int64_t *number,
                  struct err *e)
{
    int status = db_step(db, statement, e);

    *number = status == 1 && sqlite3_column_type(statement, 0) != SQLITE_NULL
                  ? sqlite3_column_int64(statement, 0)
                  : otherwise;
    sqlite3_reset(statement);
    return status < 0 ? status : 0;
}

int db_mark(struct db *db, const char *sql, int64_t number, const char *name, struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, sql, e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, number);
    db_bind_text(statement, 2, name);
    return db_step(db, statement, e);
}

void db_set_busy_timeout(struct db *db, int64_t ms)
{
    sqlite3_busy_timeout(db->handle, ms < 1 ? 1 : ms > 600000 ? 600000 : (int)ms);
}

void db_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    if (text == NULL)
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

void db_bind_number(sqlite3_stmt *statement, int index, int64_t number)
{
    if (number == -1)
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_int64(statement, index, number);
}

void db_bind_time(sqlite3_stmt *statement, int index, int64_t ms)
{
    db_bind_number(statement, index, ms == 0 ? -1 : ms);
}

int db_copy_text(sqlite3_stmt *statement, int column, char **text)
{
    const char *value = (const char *)sqlite3_column_text(statement, column);

    *text = NULL;
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return 0;
    *text = value == NULL ? NULL : strdup(value);
    return *text == NULL ? -1 : 0;
}

/* Texts in the trail may hold any bytes a client sent; JSON takes UTF-8 only. */
static json_t *text_json(const char *text, size_t length)
{
    struct buf valid;
    json_t *value = json_stringn(text, length);

    if (value != NULL)
        return value;
    buf_init(&valid, TEXT_MAX);
    while (length > 0) {
        size_t n = json_text_utf8(text, length);

        if (n == 0)
            buf_puts(&valid, "\xef\xbf\xbd");
        else
            buf_append(&valid, text, n);
        text += n == 0 ? 1 : n;
        length -= n == 0 ? 1 : n;
    }
    value = valid.failed ? NULL : json_stringn(buf_text(&valid), valid.length);
    buf_free(&valid);
    return value;
}

static bool is_time(const char *name)
{
    size_t length = strlen(name);

    return strcmp(name, "ts") == 0 || (length > 3 && strcmp(name + length - 3, "_at") == 0);
}

static json_t *column_json(sqlite3_stmt *statement, int column)
{
    char text[CLOCK_TEXT_SIZE];
    const char *value;

    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        return json_null();
    case SQLITE_INTEGER:
        if (is_time(sqlite3_column_name(statement, column)))
            return json_string(clock_format(sqlite3_column_int64(statement, column), text));
        return json_integer(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
        return json_real(sqlite3_column_double(statement, column));
    default:
        value = (const char *)sqlite3_column_text(statement, column);
        return value == NULL ? NULL
                             : text_json(value, (size_t)sqlite3_column_bytes(statement, column));
    }
}

json_t *db_row_json(sqlite3_stmt *statement)
{
    json_t *row = json_object();

    for (int i = 0; row != NULL && i < sqlite3_column_count(statement); i++)
        if (json_object_set_new(row, sqlite3_column_name(statement, i),
                                column_json(statement, i)) != 0) {
            json_decref(row);
            row = NULL;
        }
    return row;
}

int db_rows_json(struct db *db, sqlite3_stmt *statement, json_t **rows, struct err *e)
{
    int status = 1;

    *rows = json_array();
    while (*rows != NULL && (status = db_step(db, statement, e)) == 1)
        if (json_array_append_new(*rows, db_row_json(statement)) != 0) {
            json_decref(*rows);
            *rows = NULL;
        }
    sqlite3_reset(statement);
    if (*rows == NULL)
        return err_set(e, AGW_ENOMEM, "reading rows");
    if (status != 0) {
        json_decref(*rows);
        *rows = NULL;
    }
    return status;
}

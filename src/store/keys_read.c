/* SPDX-License-Identifier: MIT */
/* Reads run-time keys, and believes only what the audit trail says too. */
#include <string.h>

#include "store/keys_row.h"
#include "util/json_text.h"
#include "util/log.h"

enum { LIST_MAX = 1 << 30, FIRST_ITEMS = 64 };

void key_list_clear(struct key_list *list)
{
    arena_free(&list->arena);
    memset(list, 0, sizeof *list);
}

static int read_text(sqlite3_stmt *statement, int column, struct arena *arena,
                     const char **text)
{
    const char *given;

    *text = NULL;
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return 0;
    given = (const char *)sqlite3_column_text(statement, column);
    if (given != NULL)
        *text = arena_strdup(arena, given);
    return *text == NULL ? -1 : 0;
}

static int read_hash(sqlite3_stmt *statement, int column, unsigned char hash[SHA_SIZE])
{
    const char *hex = (const char *)sqlite3_column_text(statement, column);

    if (hex == NULL || sha_unhex(hex, hash, SHA_SIZE) != 0)
        memset(hash, 0, SHA_SIZE);
    return hex == NULL && sqlite3_column_type(statement, column) != SQLITE_NULL ? -1 : 0;
}

static int64_t read_number(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL
               ? -1 : sqlite3_column_int64(statement, column);
}

int keys_row_read(sqlite3_stmt *statement, struct arena *arena, struct key_record *record,
                  struct err *e)
{
    struct key_row *row = &record->row;

    memset(record, 0, sizeof *record);
    row->expires_at = sqlite3_column_int64(statement, 4);
    row->rate_per_minute = read_number(statement, 5);
    row->requests_per_day = read_number(statement, 17);
    row->tokens_per_day = read_number(statement, 18);
    record->removed_at = sqlite3_column_int64(statement, 19);
    record->previous_until = sqlite3_column_int64(statement, 9);
    record->created_at = sqlite3_column_int64(statement, 10);
    record->rotated_at = sqlite3_column_int64(statement, 12);
    record->revoked_at = sqlite3_column_int64(statement, 14);
    record->last_used_at = sqlite3_column_int64(statement, 16);
    if (read_text(statement, 0, arena, &row->id) == 0 &&
        read_text(statement, 1, arena, &row->description) == 0 &&
        read_text(statement, 2, arena, &row->roles) == 0 &&
        read_hash(statement, 3, row->hash) == 0 &&
        read_text(statement, 6, arena, &row->allow_agents) == 0 &&
        read_text(statement, 7, arena, &row->deny_agents) == 0 &&
        read_text(statement, 20, arena, &row->allow_tools) == 0 &&
        read_text(statement, 21, arena, &row->deny_tools) == 0 &&
        read_hash(statement, 8, record->previous_hash) == 0 &&
        read_text(statement, 11, arena, &record->created_by) == 0 &&
        read_text(statement, 13, arena, &record->rotated_by) == 0 &&
        read_text(statement, 15, arena, &record->revoked_by) == 0)
        return 0;
    return err_set(e, AGW_ENOMEM, "reading keys");
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    char piece[512];
    size_t length = text == NULL ? 0 : strlen(text), used;

    buf_printf(out, "%s\"%s\":\"", out->length > 1 ? "," : "", name);
    for (size_t at = 0; at < length; at += used)
        buf_append(out, piece, json_text_escape(piece, sizeof piece, text + at, length - at,
                                                &used));
    buf_puts(out, "\"");
}

static void add_number(struct buf *out, const char *name, int64_t number)
{
    if (number == -1)
        return;
    buf_printf(out, ",\"%s\":%lld", name, (long long)number);
}

/* The trail is read by more people than the table: it holds the hash of the hash. */
static void add_secret(struct buf *out, const char *name, const unsigned char hash[SHA_SIZE])
{
    char hex[SHA_HEX_SIZE];

    sha_256_hex(hash, SHA_SIZE, hex);
    add_text(out, name, hex);
}

void keys_row_terms(const struct key_record *record, struct buf *text)
{
    const struct key_row *row = &record->row;

    buf_reset(text);
    buf_puts(text, "{");
    add_text(text, "for_key", row->id);
    add_text(text, "roles", row->roles);
    if (row->expires_at != 0)
        add_number(text, "expires_at", row->expires_at);
    add_number(text, "rate_limit_per_minute", row->rate_per_minute);
    add_number(text, "requests_per_day", row->requests_per_day);
    add_number(text, "tokens_per_day", row->tokens_per_day);
    if (row->allow_agents != NULL)
        buf_printf(text, ",\"allow_agents\":%s", row->allow_agents);
    if (row->deny_agents != NULL)
        buf_printf(text, ",\"deny_agents\":%s", row->deny_agents);
    if (row->allow_tools != NULL)
        buf_printf(text, ",\"allow_tools\":%s", row->allow_tools);
    if (row->deny_tools != NULL)
        buf_printf(text, ",\"deny_tools\":%s", row->deny_tools);
    add_secret(text, "secret", row->hash);
    if (record->previous_until != 0) {
        add_secret(text, "previous_secret", record->previous_hash);
        add_number(text, "previous_until", record->previous_until);
    }
    buf_puts(text, "}");
}

static bool is_grant(const char *kind)
{
    return strcmp(kind, "key.created") == 0 || strcmp(kind, "key.rotated") == 0 ||
           strcmp(kind, "key.carried") == 0;
}

bool keys_row_is_proven(sqlite3_stmt *statement, const struct key_record *record,
                        struct buf *scratch)
{
    const char *kind = (const char *)sqlite3_column_text(statement, KEYS_ROW_KIND);
    const char *detail = (const char *)sqlite3_column_text(statement, KEYS_ROW_DETAIL);

    keys_row_terms(record, scratch);
    return !scratch->failed && kind != NULL && detail != NULL && is_grant(kind) &&
           strcmp(detail, buf_text(scratch)) == 0;
}

int keys_row_prove(struct db *db, const char *id, struct err *e)
{
    struct arena *arena = arena_new(KEYS_ROW_TERMS_MAX);
    sqlite3_stmt *statement = db_statement(
        db, "SELECT " KEYS_ROW_COLUMNS KEYS_ROW_PROOF KEYS_ROW_FROM
            " WHERE k.id = ? AND k.origin = 'database' AND k.revoked_at IS NULL"
            " AND k.removed_at IS NULL", e);
    struct key_record record;
    struct buf scratch;
    int status = AGW_ESTORE, proven = 1;

    buf_init(&scratch, KEYS_ROW_TERMS_MAX);
    if (arena == NULL) {
        status = err_set(e, AGW_ENOMEM, "proving keys");
    } else if (statement != NULL) {
        db_bind_text(statement, 1, id);
        status = db_step(db, statement, e);
        if (status == 1 && (status = keys_row_read(statement, arena, &record, e)) == 0)
            proven = keys_row_is_proven(statement, &record, &scratch);
        sqlite3_reset(statement);
    }
    if (status == 0 && scratch.failed)
        status = err_set(e, AGW_ENOMEM, "proving keys");
    buf_free(&scratch);
    arena_free(&arena);
    return status == 0 ? proven : status;
}

int keys_revision(struct db *db, int64_t *revision, struct err *e)
{
    return db_number(db, "SELECT value FROM meta WHERE name = 'keys'", 0, revision, e);
}

/* Room for one more; the arena keeps the smaller arrays until it goes, which doubles at most. */
static struct key_record *next_item(struct key_list *list, size_t *capacity)
{
    size_t more = *capacity == 0 ? FIRST_ITEMS : 2 * *capacity;
    struct key_record *items;

    if (list->count < *capacity)
        return &list->items[list->count];
    items = arena_alloc(list->arena, more * sizeof *items);
    if (items == NULL)
        return NULL;
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
    *capacity = more;
    return &list->items[list->count];
}

/* Somebody, or a failing disk, has changed the table behind our back: such a key is none. */
static int take_row(sqlite3_stmt *statement, bool proves, struct buf *scratch,
                    struct key_list *list, size_t *capacity, struct err *e)
{
    struct key_record *record = next_item(list, capacity);
    int status;

    if (record == NULL)
        return err_set(e, AGW_ENOMEM, "reading keys");
    status = keys_row_read(statement, list->arena, record, e);
    if (status != 0)
        return status;
    if (!proves || keys_row_is_proven(statement, record, scratch)) {
        record->proof_seq = proves ? sqlite3_column_int64(statement, KEYS_ROW_SEQ) : 0;
        list->count++;
        return 0;
    }
    if (scratch->failed)
        return err_set(e, AGW_ENOMEM, "proving keys");
    log_message(LOG_ERROR, "api_key.unrecorded", "%s is not as the audit trail has it",
                record->row.id == NULL ? "" : record->row.id);
    return 0;
}

static int read_list(struct db *db, sqlite3_stmt *statement, bool proves, struct key_list *list,
                     struct err *e)
{
    struct buf scratch;
    size_t capacity = 0;
    int status;

    buf_init(&scratch, KEYS_ROW_TERMS_MAX);
    list->arena = arena_new(LIST_MAX);
    status = list->arena == NULL ? err_set(e, AGW_ENOMEM, "reading keys") : 1;
    while (status == 1 && (status = db_step(db, statement, e)) == 1) {
        status = take_row(statement, proves, &scratch, list, &capacity, e);
        if (status == 0)
            status = 1;
    }
    sqlite3_reset(statement);
    buf_free(&scratch);
    if (status != 0)
        key_list_clear(list);
    return status;
}

int keys_live(struct db *db, int64_t expired_after, struct key_list *list, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT " KEYS_ROW_COLUMNS KEYS_ROW_PROOF KEYS_ROW_FROM
            " WHERE k.origin = 'database' AND k.revoked_at IS NULL AND k.removed_at IS NULL"
            " AND (k.expires_at IS NULL OR k.expires_at > ?) ORDER BY k.id", e);

    memset(list, 0, sizeof *list);
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, expired_after);
    return read_list(db, statement, true, list, e);
}

int keys_ever(struct db *db, struct key_list *list, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "SELECT " KEYS_ROW_COLUMNS " FROM api_key k WHERE k.origin = 'database'"
            " ORDER BY coalesce(k.former_id, k.id), k.created_at", e);
    int status;

    memset(list, 0, sizeof *list);
    if (statement == NULL)
        return AGW_ESTORE;
    status = read_list(db, statement, false, list, e);
    for (size_t i = 0; i < list->count; i++) {
        memset(list->items[i].row.hash, 0, SHA_SIZE);
        memset(list->items[i].previous_hash, 0, SHA_SIZE);
        list->items[i].previous_until = 0;
    }
    return status;
}

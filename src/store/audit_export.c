/* SPDX-License-Identifier: MIT */
/* Writes the rows of the trail as JSON without losing a byte. */
#include "store/audit_export.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/audit_anchor.h"
#include "store/audit_chain.h"
#include "store/db.h"
#include "util/json_text.h"

enum { PIECE_ROWS = 20000, LINE_MAX_SIZE = 64 << 20, ESCAPE_ROOM = 1024 };

#define NAME(column, member) #column,
static const char *const names[] = {"seq", AUDIT_COLUMNS(NAME, NAME) "prev_hash", "hash"};
#undef NAME
enum { COLUMNS = sizeof names / sizeof names[0], HASH = COLUMNS - 1 };

struct writing {
    struct db *db;
    const struct audit_export *order;
    struct audit_exported *result;
    struct buf line;
    int64_t of;
};

static bool is_utf8(const char *text, size_t length)
{
    while (length > 0) {
        size_t n = json_text_utf8(text, length);

        if (n == 0)
            return false;
        text += n;
        length -= n;
    }
    return true;
}

static void append_text(struct buf *line, const char *text, size_t length)
{
    char room[ESCAPE_ROOM];

    buf_append(line, "\"", 1);
    while (length > 0) {
        size_t used, n = json_text_escape(room, sizeof room, text, length, &used);

        buf_append(line, room, n);
        text += used;
        length -= used;
    }
    buf_append(line, "\"", 1);
}

static void append_bytes(struct buf *line, const char *bytes, size_t length)
{
    unsigned char *text = malloc(4 * (length / 3 + 1) + 1);
    int n;

    if (text == NULL) {
        line->failed = true;
        return;
    }
    n = EVP_EncodeBlock(text, (const unsigned char *)bytes, (int)length);
    buf_puts(line, "{\"base64\":\"");
    buf_append(line, text, (size_t)n);
    buf_puts(line, "\"}");
    free(text);
}

static void append_cell(struct buf *line, sqlite3_stmt *row, int column)
{
    const char *text;
    size_t length;

    buf_printf(line, "%s\"%s\":", column == 0 ? "{" : ",", names[column]);
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
        buf_puts(line, "null");
        return;
    case SQLITE_INTEGER:
        buf_printf(line, "%lld", (long long)sqlite3_column_int64(row, column));
        return;
    default:
        text = (const char *)sqlite3_column_text(row, column);
        length = (size_t)sqlite3_column_bytes(row, column);
    }
    if (text == NULL)
        line->failed = true;
    else if (is_utf8(text, length))
        append_text(line, text, length);
    else
        append_bytes(line, text, length);
}

static int write_row(struct writing *w, sqlite3_stmt *row, struct err *e)
{
    struct audit_head *last = &w->result->last;
    int64_t seq = sqlite3_column_int64(row, 0);
    const char *hash = (const char *)sqlite3_column_text(row, HASH);

    if (last->seq != 0 && seq != last->seq + 1)
        return err_set(e, AGW_EINVALID, "row %lld follows row %lld: those between were removed",
                       (long long)seq, (long long)last->seq);
    buf_reset(&w->line);
    for (int i = 0; i < COLUMNS; i++)
        append_cell(&w->line, row, i);
    buf_puts(&w->line, "}\n");
    if (w->line.failed)
        return err_set(e, AGW_ENOMEM, "exporting row %lld", (long long)seq);
    if (w->order->write(w->order->arg, w->line.data, w->line.length) != 0)
        return err_set(e, AGW_EINTERNAL, "row %lld cannot be written", (long long)seq);
    last->seq = seq;
    snprintf(last->hash, sizeof last->hash, "%s", hash == NULL ? "" : hash);
    if (w->result->rows++ == 0)
        w->result->first_seq = seq;
    return 0;
}

/* The rows of one read transaction: 1 when there may be more, 0 at the end. */
static int write_piece(struct writing *w, struct err *e)
{
    sqlite3_stmt *row = db_statement(
        w->db, "SELECT seq" AUDIT_COLUMN_LIST ", prev_hash, hash FROM audit_event"
               " WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3", e);
    int read = 0, status;

    if (row == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(row, 1, w->result->last.seq);
    sqlite3_bind_int64(row, 2, w->order->to_seq == 0 ? INT64_MAX : w->order->to_seq);
    sqlite3_bind_int(row, 3, PIECE_ROWS);
    while ((status = db_step(w->db, row, e)) == 1) {
        read++;
        if ((status = write_row(w, row, e)) != 0)
            break;
    }
    sqlite3_reset(row);
    return status < 0 ? status : read == PIECE_ROWS;
}

/* An export is only gone on with in the same trail. */
static int check_after(struct writing *w, struct err *e)
{
    const struct audit_head *after = &w->order->after;
    sqlite3_stmt *row = db_statement(w->db, "SELECT hash FROM audit_event WHERE seq = ?", e);
    struct audit_anchor anchor;
    bool same;
    int status;

    if (row == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(row, 1, after->seq);
    status = db_step(w->db, row, e);
    if (status == 1) {
        const char *hash = (const char *)sqlite3_column_text(row, 0);

        same = after->hash[0] == '\0' || (hash != NULL && strcmp(hash, after->hash) == 0);
        sqlite3_reset(row);
        return same ? 0
                    : err_set(e, AGW_EINVALID, "row %lld is another one here: that export is of"
                              " another trail, or this one was written anew",
                              (long long)after->seq);
    }
    if (status == 0)
        status = audit_anchor_announced(w->db, &anchor, e);
    if (status != 0)
        return status;
    if (after->seq == anchor.seq &&
        (after->hash[0] == '\0' || strcmp(after->hash, anchor.hash) == 0))
        return 0;
    return err_set(e, AGW_EINVALID, after->seq < anchor.seq
                                        ? "rows behind row %lld were removed before they were"
                                          " exported"
                                        : "there is no row %lld in this trail",
                   (long long)after->seq);
}

int audit_export(struct db *db, const struct audit_export *order,
                 struct audit_exported *result, struct err *e)
{
    struct writing w = {.db = db, .order = order, .result = result};
    int64_t newest;
    int status = db_number(db, "SELECT max(seq) FROM audit_event", 0, &newest, e);

    memset(result, 0, sizeof *result);
    result->last = order->after;
    w.of = newest - order->after.seq;
    if (status == 0 && order->after.seq != 0)
        status = check_after(&w, e);
    buf_init(&w.line, LINE_MAX_SIZE);
    while (status == 0 && (status = write_piece(&w, e)) == 1) {
        status = 0;
        if (order->progress != NULL)
            order->progress(order->progress_arg, result->rows, w.of);
    }
    buf_free(&w.line);
    return status;
}

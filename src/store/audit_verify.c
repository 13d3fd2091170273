/* SPDX-License-Identifier: MIT */
/* Walks the audit chain and names the first row that does not hold. */
#include "store/audit_verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/audit_chain.h"
#include "store/db.h"
#include "util/clock.h"

enum { PIECE_ROWS = 20000 };

/* Columns of what is read. */
enum {
#define COLUMN(column, member) COLUMN_##column,
    COLUMN_seq, AUDIT_COLUMNS(COLUMN, COLUMN) COLUMN_prev_hash, COLUMN_hash
#undef COLUMN
};

struct walk {
    struct db *db;
    const struct audit_check *check;
    struct audit_verdict *verdict;
    struct audit_chain chain;
    bool linked;     /* whether verdict->head is what the next row must follow */
    int64_t next;    /* rows from here on are still to be read */
    int64_t of;      /* so many rows will be */
};

static void blame(struct audit_verdict *verdict, int64_t seq, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void blame(struct audit_verdict *verdict, int64_t seq, const char *format, ...)
{
    va_list arguments;

    verdict->broken = true;
    verdict->bad_seq = seq;
    va_start(arguments, format);
    vsnprintf(verdict->problem, sizeof verdict->problem, format, arguments);
    va_end(arguments);
}

/* One number of the table; `otherwise` for an empty one. */
static int first_seq(struct db *db, int64_t *seq, struct err *e)
{
    return db_number(db, "SELECT seq FROM audit_event ORDER BY seq LIMIT 1", 0, seq, e);
}

/* The row is hashed as it is stored, whatever its types: a number turned into text differs
 * nowhere else, but SQLite's STRICT table does not let one in. */
static int hash_row(sqlite3_stmt *row, struct audit_chain *chain, char hash[SHA_HEX_SIZE],
                    struct err *e)
{
    const char *prev = (const char *)sqlite3_column_text(row, COLUMN_prev_hash);

    audit_chain_begin(chain, sqlite3_column_int64(row, 0));
    for (int i = 1; i <= AUDIT_COLUMN_COUNT; i++) {
        const char *text;

        switch (sqlite3_column_type(row, i)) {
        case SQLITE_NULL:
            audit_chain_null(chain);
            continue;
        case SQLITE_INTEGER:
            audit_chain_number(chain, sqlite3_column_int64(row, i));
            continue;
        default:
            text = (const char *)sqlite3_column_text(row, i);
            /* NULL when memory is out, whatever length the column has. */
            audit_chain_text(chain, text == NULL ? "" : text,
                             text == NULL ? 0 : (size_t)sqlite3_column_bytes(row, i));
        }
    }
    return audit_chain_end(chain, prev == NULL ? "" : prev, hash, e);
}

/* A row whose predecessor was not read: it is row 1, the one behind an anchor, or one of those
 * that an anchor lets go and that is still there; or somebody has removed what was before. */
static int check_beginning(struct walk *w, int64_t seq, const char *prev, struct err *e)
{
    struct audit_verdict *v = w->verdict;
    const char *expected = prev;
    int status;

    if (seq == 1) {
        expected = AUDIT_CHAIN_START;
    } else if (seq < 1) {
        blame(v, seq, "row %lld cannot be: the trail begins with row 1", (long long)seq);
    } else {
        status = audit_anchor_announced(w->db, &v->anchor, e);
        if (status != 0)
            return status;
        if (seq - 1 > v->anchor.seq)
            blame(v, seq, "rows up to %lld are missing, and no row audit.pruned announces"
                          " that they were removed", (long long)seq - 1);
        else if (seq - 1 == v->anchor.seq)
            expected = v->anchor.hash;
    }
    if (!v->broken && (prev == NULL || strcmp(prev, expected) != 0))
        blame(v, seq, seq == 1 ? "prev_hash is not the chain's beginning"
                               : "prev_hash is not the hash of the row that was removed last");
    return 0;
}

/* Whether `seq` has become the oldest row since the piece before was read. */
static int is_oldest(struct walk *w, int64_t seq, bool *yes, struct err *e)
{
    int64_t oldest;
    int status = first_seq(w->db, &oldest, e);

    *yes = status == 0 && oldest == seq;
    return status;
}

/* Whether the row follows the one before it. */
static int check_link(struct walk *w, int64_t seq, const char *prev, struct err *e)
{
    struct audit_verdict *v = w->verdict;
    bool begins = !w->linked;
    int status = 0;

    if (w->linked && seq != v->head.seq + 1) /* removed meanwhile? */
        status = is_oldest(w, seq, &begins, e);
    if (status != 0)
        return status;
    if (begins)
        return check_beginning(w, seq, prev, e);
    if (seq != v->head.seq + 1)
        blame(v, seq, "row %lld is missing", (long long)v->head.seq + 1);
    else if (prev == NULL || strcmp(prev, v->head.hash) != 0)
        blame(v, seq, "prev_hash is not the hash of row %lld", (long long)seq - 1);
    return 0;
}

static void check_known(struct walk *w, int64_t seq, const char *hash)
{
    const struct audit_head *known = w->check->known;

    if (known == NULL || known->seq != seq)
        return;
    w->verdict->known = AUDIT_KNOWN_PRESENT;
    if (strcmp(known->hash, hash) == 0)
        return;
    w->verdict->known = AUDIT_KNOWN_CHANGED;
    blame(w->verdict, seq, "the hash that was exported of this row is another: the chain was"
                           " written anew from here or from an earlier row on");
}

static int check_row(struct walk *w, sqlite3_stmt *row, struct err *e)
{
    struct audit_verdict *v = w->verdict;
    int64_t seq = sqlite3_column_int64(row, 0);
    const char *prev = (const char *)sqlite3_column_text(row, COLUMN_prev_hash);
    const char *stored = (const char *)sqlite3_column_text(row, COLUMN_hash);
    char hash[SHA_HEX_SIZE];
    int status = hash_row(row, &w->chain, hash, e);

    if (status == 0)
        status = check_link(w, seq, prev, e);
    if (status != 0)
        return status;
    if (v->checked++ == 0)
        v->first_seq = seq;
    if (!v->broken && (stored == NULL || strcmp(stored, hash) != 0))
        blame(v, seq, "the row does not match its hash");
    if (!v->broken)
        check_known(w, seq, hash);
    if (w->check->ended != NULL && sqlite3_column_type(row, COLUMN_outcome) != SQLITE_NULL)
        w->check->ended(w->check->arg, seq, (const char *)sqlite3_column_text(row, COLUMN_outcome));
    v->head.seq = seq;
    memcpy(v->head.hash, hash, sizeof hash);
    w->linked = true;
    w->next = seq + 1;
    return 0;
}

/* The rows of one read transaction: 1 when there may be more, 0 at the end. */
static int check_piece(struct walk *w, struct err *e)
{
    sqlite3_stmt *row = db_statement(
        w->db, "SELECT seq" AUDIT_COLUMN_LIST ", prev_hash, hash FROM audit_event"
               " WHERE seq BETWEEN ?1 AND ?3 ORDER BY seq LIMIT ?2", e);
    int read = 0, status = 0;

    if (row == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(row, 1, w->next);
    sqlite3_bind_int(row, 2, PIECE_ROWS);
    sqlite3_bind_int64(row, 3, w->check->to_seq == 0 ? INT64_MAX : w->check->to_seq);
    while (!w->verdict->broken && (status = db_step(w->db, row, e)) == 1) {
        read++;
        if ((status = check_row(w, row, e)) != 0)
            break;
    }
    sqlite3_reset(row);
    return status < 0 ? status : !w->verdict->broken && read == PIECE_ROWS;
}

/* What the first row to check must follow. A row before it that is gone is as if its hash
 * were another: the first row is blamed. */
static int find_predecessor(struct walk *w, int64_t from_seq, struct err *e)
{
    struct audit_head *head = &w->verdict->head;
    sqlite3_stmt *row = db_statement(w->db, "SELECT hash FROM audit_event WHERE seq = ?", e);
    const char *hash;
    int status;

    if (row == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(row, 1, from_seq - 1);
    status = db_step(w->db, row, e);
    hash = status == 1 ? (const char *)sqlite3_column_text(row, 0) : NULL;
    head->seq = from_seq - 1;
    snprintf(head->hash, sizeof head->hash, "%s", hash == NULL ? "" : hash);
    sqlite3_reset(row);
    w->next = from_seq;
    w->linked = true;
    return status < 0 ? status : 0;
}

/* The walk begins with the oldest row, or behind a row that is taken as it is, or with the
 * known row, whose hash proves what is before it. */
static int find_start(struct walk *w, struct err *e)
{
    const struct audit_check *check = w->check;
    int64_t oldest, newest = 0, from = check->from_seq;
    int status = first_seq(w->db, &oldest, e);

    if (status == 0)
        status = db_number(w->db, "SELECT max(seq) FROM audit_event", 0, &newest, e);
    if (check->to_seq != 0 && check->to_seq < newest)
        newest = check->to_seq;
    if (status != 0)
        return status;
    if (check->known != NULL && check->from_known)
        from = check->known->seq;
    w->next = INT64_MIN;
    w->of = newest - oldest + 1;
    if (from == 0 || from <= oldest)
        return 0;
    w->of = newest - from + 1;
    return find_predecessor(w, from, e);
}

static int walk_all(struct walk *w, struct err *e)
{
    int status;

    do {
        status = check_piece(w, e);
        if (w->check->progress != NULL)
            w->check->progress(w->check->arg, w->verdict->checked, w->of);
    } while (status == 1);
    return status;
}

/* The known row was not among those that were read. */
static int find_known(struct walk *w, struct err *e)
{
    const struct audit_head *known = w->check->known;
    struct audit_verdict *v = w->verdict;
    char hash[SHA_HEX_SIZE];
    sqlite3_stmt *row = db_statement(w->db, "SELECT hash FROM audit_event WHERE seq = ?", e);
    int status;

    if (row == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(row, 1, known->seq);
    status = db_step(w->db, row, e);
    if (status == 1) { /* before the rows that were to be checked */
        const char *stored = (const char *)sqlite3_column_text(row, 0);

        snprintf(hash, sizeof hash, "%s", stored == NULL ? "" : stored);
        sqlite3_reset(row);
        check_known(w, known->seq, hash);
    } else if (status == 0 && known->seq == v->anchor.seq) {
        check_known(w, known->seq, v->anchor.hash);
    } else if (status == 0 && known->seq < v->anchor.seq) {
        v->known = AUDIT_KNOWN_PRUNED;
        snprintf(v->problem, sizeof v->problem, "the exported head, row %lld, was removed with"
                 " the rows up to %lld: compare with a newer head", (long long)known->seq,
                 (long long)v->anchor.seq);
    } else if (status == 0) {
        v->known = AUDIT_KNOWN_MISSING;
        blame(v, v->head.seq + 1, "rows %lld to %lld are missing: the trail was longer when"
              " the head was exported", (long long)v->head.seq + 1, (long long)known->seq);
    }
    return status < 0 ? status : 0;
}

int audit_verify(struct db *db, const struct audit_check *check, struct audit_verdict *verdict,
                 struct err *e)
{
    static const struct audit_check whole = {0};
    struct walk w = {.db = db, .check = check == NULL ? &whole : check, .verdict = verdict};
    int status;

    memset(verdict, 0, sizeof *verdict);
    memcpy(verdict->head.hash, AUDIT_CHAIN_START, sizeof verdict->head.hash);
    status = audit_chain_init(&w.chain, e);
    if (status != 0)
        return status;
    status = find_start(&w, e);
    if (status == 0)
        status = walk_all(&w, e);
    audit_chain_free(&w.chain);
    if (status == 0 && verdict->checked == 0)
        status = audit_rows_head(db, &verdict->head, e);
    if (status == 0 && verdict->anchor.seq == 0)
        status = audit_anchor_announced(db, &verdict->anchor, e);
    if (status == 0 && w.check->known != NULL && !verdict->broken &&
        verdict->known == AUDIT_KNOWN_NONE)
        status = find_known(&w, e);
    return status;
}

bool audit_verdict_ok(const struct audit_verdict *verdict)
{
    return !verdict->broken && verdict->known != AUDIT_KNOWN_PRUNED;
}

const char *audit_known_name(enum audit_known known)
{
    static const char *const names[] = {NULL, "present", "missing", "changed", "pruned"};

    return names[known];
}

json_t *audit_verdict_json(const struct audit_verdict *v)
{
    char at[CLOCK_TEXT_SIZE];
    json_t *anchor = v->anchor.seq == 0
                         ? json_null()
                         : json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)v->anchor.seq, "hash",
                                     v->anchor.hash, "at", clock_format(v->anchor.at, at));

    return json_pack("{s:b, s:I, s:o, s:o, s:s?, s:{s:I, s:s}, s:s?, s:o}", "ok",
                     audit_verdict_ok(v), "checked", (json_int_t)v->checked, "first_seq",
                     v->checked == 0 ? json_null() : json_integer(v->first_seq), "bad_seq",
                     v->broken ? json_integer(v->bad_seq) : json_null(),
                     "problem", v->problem[0] == '\0' ? NULL : v->problem, "head", "seq",
                     (json_int_t)v->head.seq, "hash", v->head.hash, "known",
                     audit_known_name(v->known), "anchor", anchor);
}

/* SPDX-License-Identifier: MIT */
/* Looks for damage of every kind that can be seen from inside a database. */
#include "store/inspect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/audit_verify.h"
#include "store/db.h"
#include "store/migrate.h"
#include "util/buf.h"

enum { DETAIL_MAX = 4000, PROBLEMS_MAX = 20, WAL_RESET_FIXED = 3051003 };

struct look {
    struct db *db;
    const struct inspect *inspect;
    enum inspect_state worst;
};

int inspect_open(const char *path, bool immutable, struct db **db, struct err *e)
{
    const struct db_options options = {.path = path, .read_only = true,
                                       .immutable = immutable};

    return db_open(&options, db, e);
}

void inspect_close(struct db **db)
{
    db_close(db);
}

int inspect_version(struct db *db, int64_t *version, struct err *e)
{
    return db_number(db, "PRAGMA user_version", 0, version, e);
}

const char *inspect_sqlite(bool *race)
{
    *race = sqlite3_libversion_number() < WAL_RESET_FIXED;
    return sqlite3_libversion();
}

int inspect_time(struct db *db, int64_t *time, struct err *e)
{
    return db_number(db, "SELECT value FROM meta WHERE name = 'time'", 0, time, e);
}

static void tell(struct look *l, const char *name, enum inspect_state state,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

static void tell(struct look *l, const char *name, enum inspect_state state,
                 const char *format, ...)
{
    char detail[DETAIL_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    if (state > l->worst)
        l->worst = state;
    l->inspect->found(l->inspect->arg, name, state, detail);
}

static void check_mode(struct look *l)
{
    struct err e = {0};

    if (db_require_wal(l->db, &e) == 0)
        tell(l, "journal mode", INSPECT_OK, "wal");
    else
        tell(l, "journal mode", INSPECT_FAILED, "%s", e.message);
}

/* The version when the rest can be looked at, -1 otherwise. */
static int64_t check_version(struct look *l)
{
    int64_t version;
    struct err e = {0};

    if (inspect_version(l->db, &version, &e) != 0) {
        tell(l, "schema version", INSPECT_FAILED, "%s", e.message);
        return -1;
    }
    if (version > migrate_newest())
        tell(l, "schema version", INSPECT_FAILED,
             "%lld, this program knows %d at most: it was written by a newer agent-gateway",
             (long long)version, migrate_newest());
    else if (version < 1)
        tell(l, "schema version", INSPECT_FAILED, "none: this is no database of the gateway");
    else if (version < migrate_newest())
        tell(l, "schema version", INSPECT_WARNING,
             "%lld, this program needs %d: agwctl db migrate brings it there",
             (long long)version, migrate_newest());
    else
        tell(l, "schema version", INSPECT_OK, "%lld", (long long)version);
    return version > migrate_newest() || version < 1 ? -1 : version;
}

/* The rows of a statement that lists problems, as one text. Returns how many there are, also
 * when the database is too broken to be asked. */
static int list_problems(struct look *l, const char *sql, struct buf *text)
{
    struct err e = {0};
    sqlite3_stmt *statement = db_statement(l->db, sql, &e);
    int count = 0, status = statement == NULL ? AGW_ESTORE : 1;

    while (status == 1 && (status = db_step(l->db, statement, &e)) == 1) {
        const char *problem = (const char *)sqlite3_column_text(statement, 0);

        buf_printf(text, "%s%s", count == 0 ? "" : "; ", problem == NULL ? "?" : problem);
        if (++count == PROBLEMS_MAX)
            break;
    }
    if (statement != NULL)
        sqlite3_reset(statement);
    if (status >= 0)
        return count;
    buf_printf(text, "%s%s", count == 0 ? "" : "; ", e.message);
    return count + 1;
}

static void check_pages(struct look *l)
{
    struct buf text;

    buf_init(&text, DETAIL_MAX);
    list_problems(l, l->inspect->depth == INSPECT_QUICK ? "PRAGMA quick_check(20)" : "PRAGMA integrity_check(20)",
                  &text);
    if (strcmp(buf_text(&text), "ok") == 0)
        tell(l, "integrity", INSPECT_OK, "%s",
             l->inspect->depth == INSPECT_QUICK ? "the pages are sound (quick check)"
                                                : "pages and indexes are sound");
    else
        tell(l, "integrity", INSPECT_FAILED, "%s", buf_text(&text));
    buf_free(&text);
}

static void check_references(struct look *l)
{
    struct buf text;

    buf_init(&text, DETAIL_MAX);
    if (list_problems(l, "SELECT \"table\" || ' row ' || coalesce(rowid, '?') || ' refers to a"
                         " row of ' || parent || ' that is not there'"
                         " FROM pragma_foreign_key_check LIMIT 20", &text) == 0)
        tell(l, "foreign keys", INSPECT_OK, "every reference leads to a row");
    else
        tell(l, "foreign keys", INSPECT_FAILED, "%s", buf_text(&text));
    buf_free(&text);
}

/* The schema as this program makes it, up to a version, in memory. */
static int make_fresh(int64_t version, struct db **fresh, struct err *e)
{
    const struct db_options options = {.path = ":memory:"};
    int status = db_open(&options, fresh, e);

    if (status == 0)
        status = migrate_to(*fresh, (int)version, e);
    if (status != 0)
        db_close(fresh);
    return status;
}

/* One entry of a schema; NULL texts at its end. */
struct entry {
    const char *type, *name, *sql;
};

static int next_entry(struct db *db, sqlite3_stmt *statement, struct entry *entry, struct err *e)
{
    int status = db_step(db, statement, e);

    *entry = (struct entry){0};
    if (status != 1)
        return status;
    entry->type = (const char *)sqlite3_column_text(statement, 0);
    entry->name = (const char *)sqlite3_column_text(statement, 1);
    entry->sql = (const char *)sqlite3_column_text(statement, 2);
    return entry->type == NULL || entry->name == NULL || entry->sql == NULL ? AGW_ENOMEM : 0;
}

static int order(const struct entry *a, const struct entry *b)
{
    int by_type;

    if (a->type == NULL || b->type == NULL)
        return (a->type == NULL) - (b->type == NULL);
    by_type = strcmp(a->type, b->type);
    return by_type != 0 ? by_type : strcmp(a->name, b->name);
}

static void add_problem(struct buf *text, const struct entry *entry, const char *what)
{
    buf_printf(text, "%s%s %s %s", text->length == 0 ? "" : "; ", entry->type, entry->name, what);
}

/* Both schemas side by side. What is missing or other than it was made is damage; what was
 * added may be the operator's own. */
static int compare_schemas(struct db *fresh, struct db *db, struct buf *damage,
                           struct buf *additions, struct err *e)
{
    static const char sql[] = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
                              " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1, 2";
    sqlite3_stmt *made = db_statement(fresh, sql, e), *found = db_statement(db, sql, e);
    struct entry ours, theirs;
    int status;

    if (made == NULL || found == NULL)
        return AGW_ESTORE;
    status = next_entry(fresh, made, &ours, e);
    if (status == 0)
        status = next_entry(db, found, &theirs, e);
    while (status == 0 && (ours.type != NULL || theirs.type != NULL)) {
        int side = order(&ours, &theirs);

        if (side < 0)
            add_problem(damage, &ours, "is missing");
        else if (side > 0)
            add_problem(strcmp(theirs.type, "trigger") == 0 ? damage : additions, &theirs,
                        "is not the gateway's");
        else if (strcmp(ours.sql, theirs.sql) != 0)
            add_problem(damage, &ours, "was changed");
        if (side <= 0)
            status = next_entry(fresh, made, &ours, e);
        if (side >= 0 && status == 0)
            status = next_entry(db, found, &theirs, e);
    }
    sqlite3_reset(made);
    sqlite3_reset(found);
    return status;
}

static int check_schema(struct look *l, int64_t version, struct err *e)
{
    struct db *fresh = NULL;
    struct buf damage, additions;
    int status = make_fresh(version, &fresh, e);

    if (status != 0)
        return status;
    buf_init(&damage, DETAIL_MAX / 2);
    buf_init(&additions, DETAIL_MAX / 2);
    if (compare_schemas(fresh, l->db, &damage, &additions, e) != 0)
        tell(l, "schema", INSPECT_FAILED, "%s", e->message);
    else if (damage.length > 0)
        tell(l, "schema", INSPECT_FAILED, "%s", buf_text(&damage));
    else if (additions.length > 0)
        tell(l, "schema", INSPECT_WARNING, "%s", buf_text(&additions));
    else
        tell(l, "schema", INSPECT_OK, "tables, indexes, views and triggers are as made");
    buf_free(&damage);
    buf_free(&additions);
    db_close(&fresh);
    return 0;
}

static void check_chain(struct look *l)
{
    const struct audit_check check = {.progress = l->inspect->progress,
                                      .arg = l->inspect->arg};
    struct audit_verdict verdict;
    struct err e = {0};

    if (audit_verify(l->db, &check, &verdict, &e) != 0)
        tell(l, "audit chain", INSPECT_FAILED, "%s", e.message);
    else if (!audit_verdict_ok(&verdict))
        tell(l, "audit chain", INSPECT_FAILED, "row %lld: %s", (long long)verdict.bad_seq,
             verdict.problem);
    else
        tell(l, "audit chain", INSPECT_OK, "%lld rows, head %lld %.16s",
             (long long)verdict.checked, (long long)verdict.head.seq, verdict.head.hash);
}

int inspect_database(struct db *db, const struct inspect *inspect, enum inspect_state *worst,
                     struct err *e)
{
    struct look l = {.db = db, .inspect = inspect, .worst = INSPECT_OK};
    int64_t version;
    int status = 0;

    if (!inspect->copy)
        check_mode(&l);
    version = check_version(&l);
    if (inspect->depth >= INSPECT_QUICK)
        check_pages(&l);
    if (version > 0) {
        if (inspect->depth >= INSPECT_QUICK)
            check_references(&l);
        status = check_schema(&l, version, e);
        if (inspect->depth == INSPECT_FULL)
            check_chain(&l);
    }
    *worst = l.worst;
    return status;
}

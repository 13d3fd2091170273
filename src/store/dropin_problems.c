/* SPDX-License-Identifier: MIT */
/* Remembers which problems of drop-in agents were told. */
#include "store/dropin_problems.h"

#include "store/db.h"

struct update {
    struct store *store;
    struct db *db;
    const struct dropin_list *list;
    int64_t look;
    struct err *e;
};

/* 1: it has been, or a newer one. *look: how often lists of this runner were. */
static int was_looked_at(struct update *u)
{
    sqlite3_stmt *statement = db_statement(
        u->db, "SELECT started_at, generation, looks FROM dropin_list WHERE runner = ?", u->e);
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, u->list->runner);
    status = db_step(u->db, statement, u->e);
    if (status != 1)
        return status;
    u->look = sqlite3_column_int64(statement, 2);
    status = sqlite3_column_int64(statement, 0) == u->list->started_at &&
             sqlite3_column_int64(statement, 1) >= u->list->generation;
    sqlite3_reset(statement);
    return status;
}

static int note_list(const struct update *u)
{
    sqlite3_stmt *statement = db_statement(
        u->db, "INSERT OR REPLACE INTO dropin_list (runner, started_at, generation, looks)"
               " VALUES (?, ?, ?, ?)", u->e);

    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, u->list->runner);
    sqlite3_bind_int64(statement, 2, u->list->started_at);
    sqlite3_bind_int64(statement, 3, u->list->generation);
    sqlite3_bind_int64(statement, 4, u->look);
    return db_step(u->db, statement, u->e);
}

/* Runs a statement with the look, the runner and a hash. */
static int step(const struct update *u, sqlite3_stmt *statement, const char *hash)
{
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, u->look);
    db_bind_text(statement, 2, u->list->runner);
    if (hash != NULL)
        db_bind_text(statement, 3, hash);
    return db_step(u->db, statement, u->e);
}

static int note_problem(const struct update *u, struct dropin_problem *problem)
{
    int status = step(u, db_statement(u->db, "UPDATE dropin_problem SET look = ?"
                                             " WHERE runner = ? AND hash = ?", u->e),
                      problem->hash);

    if (status != 0 || sqlite3_changes(db_handle(u->db)) > 0)
        return status;
    problem->is_new = true;
    status = step(u, db_statement(u->db, "INSERT INTO dropin_problem (look, runner, hash)"
                                         " VALUES (?, ?, ?)", u->e), problem->hash);
    if (status == 0 && problem->row != NULL)
        status = audit_rows_append(u->store, u->db, problem->row, 1, NULL, u->e);
    return status;
}

static int update(struct update *u, struct dropin_problem *problems, size_t count)
{
    int status = was_looked_at(u);

    if (status != 0)
        return status < 0 ? status : 0;
    u->look++;
    status = note_list(u);
    for (size_t i = 0; i < count && status == 0; i++)
        status = note_problem(u, &problems[i]);
    if (status == 0 && u->list->is_complete)
        status = step(u, db_statement(u->db, "DELETE FROM dropin_problem"
                                             " WHERE look <> ? AND runner = ?", u->e), NULL);
    return status;
}

int dropin_problems_update(struct store *store, const struct dropin_list *list,
                           struct dropin_problem *problems, size_t count, struct err *e)
{
    struct update u = {.store = store, .db = store_acquire(store, e), .list = list, .e = e};
    int status;

    for (size_t i = 0; i < count; i++)
        problems[i].is_new = false;
    if (u.db == NULL)
        return AGW_ESTORE;
    status = store_write_begin(store, u.db, e);
    if (status == 0)
        status = store_write_end(store, u.db, update(&u, problems, count), e);
    store_release(store, u.db);
    for (size_t i = 0; i < count && status != 0; i++)
        problems[i].is_new = false;
    return status;
}

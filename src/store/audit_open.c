/* SPDX-License-Identifier: MIT */
/* Knows which requests are open, and ends those whose process died. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/audit_rows.h"
#include "store/db.h"
#include "util/clock.h"
#include "util/proc.h"

enum { HOST_SIZE = 256, PROCESS_SIZE = 320 };

int audit_rows_note_open(struct store *store, struct db *db, const char *process,
                         int64_t oldest_open_seq, struct err *e)
{
    char boot[PROC_BOOT_SIZE];
    sqlite3_stmt *statement = db_statement(
        db,
        "INSERT INTO process VALUES (?1, ?2, ?3, ?4) ON CONFLICT (process) DO UPDATE"
        " SET oldest_open_seq = ?3, noted_at = ?4", e);

    (void)store;
    if (statement == NULL)
        return AGW_ESTORE;
    proc_boot_id(boot);
    db_bind_text(statement, 1, process);
    db_bind_text(statement, 2, boot);
    sqlite3_bind_int64(statement, 3, oldest_open_seq);
    sqlite3_bind_int64(statement, 4, clock_wall_ms());
    return db_step(db, statement, e);
}

struct dead {
    char process[PROCESS_SIZE];
    int64_t oldest_open_seq;
};

/* Whether the process behind "host:pid:starttime" is surely gone. Another boot id: start
 * times are of another kernel, and a database in WAL mode has one kernel at a time. Another
 * host name under the same boot id is another container, into which we cannot see. A boot id
 * that could not be read (no descriptor was left, say) says nothing. */
static bool is_dead(const char *process, const char *boot, const char *our_boot)
{
    char host[HOST_SIZE] = "";
    const char *start = strrchr(process, ':'), *pid = start;
    unsigned long long start_time;
    long number;

    if (boot[0] != '\0' && our_boot[0] != '\0' && strcmp(boot, our_boot) != 0)
        return true;
    while (pid != NULL && pid > process && pid[-1] != ':')
        pid--;
    if (start == NULL || pid == process || gethostname(host, sizeof host - 1) != 0 ||
        strlen(host) != (size_t)(pid - 1 - process) ||
        strncmp(process, host, strlen(host)) != 0)
        return false;
    number = strtol(pid, NULL, 10);
    start_time = strtoull(start + 1, NULL, 10);
    return !proc_is_alive((pid_t)number, start_time);
}

#define OPEN_OF_PROCESS                                                                        \
    " FROM audit_event AS d WHERE seq >= ?1 AND process = ?2 AND outcome IS NULL"              \
    " AND kind IN ('decision', 'access', 'preview')"                                           \
    " AND NOT EXISTS (SELECT 1 FROM audit_event AS e WHERE e.kind = 'end'"                     \
    " AND e.request_uid = d.request_uid)"

static int count_of_process(struct db *db, const char *process, int64_t from, int64_t *count,
                            struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, "SELECT count(*)" OPEN_OF_PROCESS, e);
    int64_t more;
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, from);
    db_bind_text(statement, 2, process);
    status = db_row_number(db, statement, 0, &more, e);
    *count += more;
    return status;
}

int audit_rows_count_open(struct db *db, int64_t *running, int64_t *cut_off, struct err *e)
{
    char our_boot[PROC_BOOT_SIZE];
    sqlite3_stmt *statement = db_statement(
        db, "SELECT process, boot, oldest_open_seq FROM process WHERE oldest_open_seq > 0", e);
    int status;

    *running = *cut_off = 0;
    if (statement == NULL)
        return AGW_ESTORE;
    proc_boot_id(our_boot);
    while ((status = db_step(db, statement, e)) == 1) {
        const char *process = (const char *)sqlite3_column_text(statement, 0);
        const char *boot = (const char *)sqlite3_column_text(statement, 1);

        status = process == NULL || boot == NULL
                     ? err_set(e, AGW_ENOMEM, "counting open requests")
                     : count_of_process(db, process, sqlite3_column_int64(statement, 2),
                                        is_dead(process, boot, our_boot) ? cut_off : running, e);
        if (status != 0)
            break;
    }
    sqlite3_reset(statement);
    return status;
}

/* A first dead process: 1 and *dead, 0 when all live. */
static int find_dead(struct db *db, struct dead *dead, struct err *e)
{
    char our_boot[PROC_BOOT_SIZE];
    sqlite3_stmt *statement =
        db_statement(db, "SELECT process, boot, oldest_open_seq FROM process", e);
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    proc_boot_id(our_boot);
    while ((status = db_step(db, statement, e)) == 1) {
        const char *process = (const char *)sqlite3_column_text(statement, 0);
        const char *boot = (const char *)sqlite3_column_text(statement, 1);

        if (process == NULL || boot == NULL || !is_dead(process, boot, our_boot))
            continue;
        snprintf(dead->process, sizeof dead->process, "%s", process);
        dead->oldest_open_seq = sqlite3_column_int64(statement, 2);
        sqlite3_reset(statement);
        return 1;
    }
    return status;
}

struct closing {
    struct store *store;
    struct db *db;
    void (*ended)(void *arg, const struct audit_row *end);
    void *arg;
    int count;
};

static const char *column(sqlite3_stmt *statement, int index)
{
    return (const char *)sqlite3_column_text(statement, index);
}

static int close_one(struct closing *c, sqlite3_stmt *found, struct err *e)
{
    struct audit_row end = audit_row_new(clock_wall_ms(), "end");
    int status;

    end.request_id = column(found, 1);
    end.request_uid = column(found, 2);
    end.process = column(found, 3);
    end.route = column(found, 4);
    end.key_id = column(found, 5);
    end.agent = column(found, 6);
    end.ns = column(found, 7);
    end.generation = sqlite3_column_int64(found, 8);
    if (sqlite3_column_type(found, 9) != SQLITE_NULL)
        end.streaming = sqlite3_column_int64(found, 9);
    end.outcome = "internal";
    end.detail = "{\"unfinished\":true}";
    status = audit_rows_append(c->store, c->db, &end, 1, NULL, e);
    if (status == 0 && c->ended != NULL)
        c->ended(c->arg, &end);
    c->count += status == 0;
    return status;
}

static int close_requests(struct closing *c, const struct dead *dead, struct err *e)
{
    sqlite3_stmt *found = db_statement(
        c->db,
        "SELECT seq, request_id, request_uid, process, route, key_id, agent, namespace,"
        " coalesce(generation, -1), streaming" OPEN_OF_PROCESS " ORDER BY seq", e);
    int status;

    if (found == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(found, 1, dead->oldest_open_seq);
    sqlite3_bind_text(found, 2, dead->process, -1, SQLITE_TRANSIENT);
    while ((status = db_step(c->db, found, e)) == 1)
        if ((status = close_one(c, found, e)) != 0)
            break;
    sqlite3_reset(found);
    return status;
}

static int forget(struct db *db, const char *process, struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, "DELETE FROM process WHERE process = ?", e);

    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, process);
    return db_step(db, statement, e);
}

static int close_all_dead(struct closing *c, struct err *e)
{
    struct dead dead;
    int status;

    while ((status = find_dead(c->db, &dead, e)) == 1) {
        status = dead.oldest_open_seq == 0 ? 0 : close_requests(c, &dead, e);
        if (status == 0)
            status = forget(c->db, dead.process, e);
        if (status != 0)
            break;
    }
    return status;
}

int audit_rows_close_unfinished(struct store *store,
                                void (*ended)(void *arg, const struct audit_row *end),
                                void *arg, int *count, struct err *e)
{
    struct closing c = {.store = store, .ended = ended, .arg = arg};
    struct dead dead;
    int status;

    *count = 0;
    c.db = store_acquire(store, e);
    if (c.db == NULL)
        return AGW_ESTORE;
    status = find_dead(c.db, &dead, e);
    if (status == 1)
        status = store_write_begin(store, c.db, e);
    else
        goto out;
    if (status != 0)
        goto out;
    status = store_write_end(store, c.db, close_all_dead(&c, e), e);
    if (status == 0)
        *count = c.count;
out:
    store_release(store, c.db);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* Copies databases page by page, and lets one take another's place. */
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/audit_rows.h"
#include "store/db.h"
#include "util/clock.h"

enum { PAGES_A_STEP = 1024, NAME_SIZE = 4096 };

/* SQLite's own: in WAL mode each process that has a database open holds a shared lock on this
 * byte of its "-shm" file (the "dead man switch" of its wal-index format). */
enum { OPEN_LOCK_BYTE = 128 };

static int fail(struct err *e, const char *what, const char *path)
{
    return err_set(e, AGW_ESTORE, "%s %s: %s", what, path, strerror(errno));
}

static int sync_file(const char *path, int flags, struct err *e)
{
    int fd = open(path, flags | O_CLOEXEC), status = 0;

    if (fd < 0 || fsync(fd) != 0)
        status = fail(e, "cannot write", path);
    if (fd >= 0)
        close(fd);
    return status;
}

static int sync_folder(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char folder[NAME_SIZE];

    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
             slash == NULL ? "." : path);
    return sync_file(folder, O_RDONLY | O_DIRECTORY, e);
}

/* The read transaction of `from` keeps its moment while the steps go on, so none of them has to
 * be done again because somebody wrote. */
static int copy_pages(struct db *from, struct db *to, const struct backup *b, struct err *e)
{
    sqlite3_backup *copy;
    int64_t tables;
    int result, status = db_exec(from, "BEGIN", e);

    if (status == 0)
        status = db_number(from, "SELECT count(*) FROM sqlite_schema", 0, &tables, e);
    if (status != 0)
        return status;
    copy = sqlite3_backup_init(db_handle(to), "main", db_handle(from), "main");
    if (copy == NULL)
        return db_error(to, e, "copying");
    do {
        result = sqlite3_backup_step(copy, PAGES_A_STEP);
        if (b->progress != NULL)
            b->progress(b->arg, sqlite3_backup_pagecount(copy) - sqlite3_backup_remaining(copy),
                        sqlite3_backup_pagecount(copy));
    } while (result == SQLITE_OK);
    sqlite3_backup_finish(copy);
    if (result == SQLITE_DONE)
        return 0;
    return err_set(e, AGW_ESTORE, "copying %s to %s: %s", b->source, b->target,
                   sqlite3_errstr(result));
}

int backup_copy(const struct backup *b, struct err *e)
{
    const struct db_options reading = {.path = b->source, .read_only = true,
                                       .immutable = b->immutable};
    const struct db_options writing = {.path = b->target};
    struct db *from = NULL, *to = NULL;
    int status = db_open(&reading, &from, e);

    if (status == 0)
        status = db_open(&writing, &to, e);
    /* The file is nobody's before it is whole: it needs no journal on disk (a defensive
     * connection does not do without), and one sync at the end. */
    if (status == 0)
        status = db_exec(to, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF", e);
    if (status == 0)
        status = copy_pages(from, to, b, e);
    db_close(&to);
    db_close(&from);
    return status == 0 ? sync_file(b->target, O_RDWR, e) : status;
}

int backup_publish(const char *file, const char *name, struct err *e)
{
    int status = sync_file(file, O_RDWR, e);

    if (status == 0 && rename(file, name) != 0)
        status = fail(e, "cannot make", name);
    return status == 0 ? sync_folder(name, e) : status;
}

static void read_numbers(struct db *db, struct backup_legacy *legacy, struct err *e)
{
    int64_t revision, high;
    struct audit_head head;

    if (db_number(db, "SELECT value FROM meta WHERE name = 'revision'", 0, &revision, e) == 0 &&
        (uint64_t)revision > legacy->revision)
        legacy->revision = (uint64_t)revision;
    if (db_number(db, "SELECT value FROM meta WHERE name = 'time'", 0, &high, e) == 0 &&
        high > legacy->time)
        legacy->time = high;
    if (audit_rows_head(db, &head, e) == 0)
        legacy->head_seq = head.seq;
}

int backup_read_legacy(const char *path, struct backup_legacy *legacy, struct err *e)
{
    const struct db_options options = {.path = path, .read_only = true};
    struct db *db = NULL;
    struct stat info;
    int status;

    *legacy = (struct backup_legacy){.time = clock_wall_ms()};
    status = store_shared_numbers(path, &legacy->revision, &legacy->time, e);
    if (status != 0 || stat(path, &info) != 0)
        return status;
    if (db_open(&options, &db, e) == 0) {
        read_numbers(db, legacy, e);
        legacy->readable = overrides_list(db, legacy->time, 0, &legacy->grants, e) == 0 &&
                           overrides_count_uses(db, &legacy->grants, e) == 0 &&
                           keys_live(db, legacy->time, &legacy->keys, e) == 0;
    }
    db_close(&db);
    return 0;
}

void backup_legacy_clear(struct backup_legacy *legacy)
{
    override_list_clear(&legacy->grants);
    key_list_clear(&legacy->keys);
}

bool backup_in_use(const char *path, pid_t *pid)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = OPEN_LOCK_BYTE,
                         .l_len = 1};
    char name[NAME_SIZE];
    int fd;

    *pid = 0;
    snprintf(name, sizeof name, "%s-shm", path);
    fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT;
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK) {
        close(fd);
        return false;
    }
    *pid = lock.l_pid > 0 ? lock.l_pid : 0;
    close(fd);
    return true;
}

static int raise_number(struct db *db, const char *name, int64_t number, struct err *e)
{
    return db_mark(db, "UPDATE meta SET value = max(value, ?1) WHERE name = ?2", number, name, e);
}

int backup_adopt(struct store *store, const struct backup_legacy *legacy, struct err *e)
{
    struct db *db = store_acquire(store, e);
    int status = db == NULL ? AGW_ESTORE : store_write_begin(store, db, e);

    if (status == 0) {
        status = raise_number(db, "revision", (int64_t)legacy->revision + 1, e);
        if (status == 0)
            status = raise_number(db, "time", legacy->time, e);
        if (status == 0)
            status = store_revision_bump(store, db, e);
        status = store_write_end(store, db, status, e);
    }
    store_release(store, db);
    return status;
}

int backup_settle(const char *path, struct err *e)
{
    const struct db_options options = {.path = path, .synchronous_full = true};
    struct db *db = NULL;
    int status = db_open(&options, &db, e), result = SQLITE_OK;

    if (status == 0)
        result = sqlite3_wal_checkpoint_v2(db_handle(db), "main", SQLITE_CHECKPOINT_TRUNCATE,
                                           NULL, NULL);
    if (status == 0 && result != SQLITE_OK)
        status = err_set(e, AGW_ESTORE, "%s: %s", path, sqlite3_errstr(result));
    db_close(&db);
    return status;
}

/* The log keeps its place behind the name of its database; an empty one goes. */
static int move_log(const char *path, const char *aside, struct err *e)
{
    char from[NAME_SIZE], to[NAME_SIZE];
    struct stat info;

    snprintf(from, sizeof from, "%s-wal", path);
    snprintf(to, sizeof to, "%s-wal", aside);
    if (stat(from, &info) == 0) {
        if (info.st_size > 0 ? rename(from, to) != 0 : unlink(from) != 0)
            return fail(e, "cannot move", from);
    }
    snprintf(from, sizeof from, "%s-shm", path);
    if (unlink(from) != 0 && errno != ENOENT)
        return fail(e, "cannot remove", from);
    return 0;
}

int backup_swap(const char *path, const char *fresh, const char *aside, struct err *e)
{
    struct err ignored;
    struct stat info;
    int status = 0;

    if (stat(path, &info) == 0) {
        /* A crash between the next steps must not leave the database without its log: so the
         * log is emptied first. One that is too broken for that is kept with its log. */
        backup_settle(path, &ignored);
        if (link(path, aside) != 0)
            status = fail(e, "cannot make", aside);
        if (status == 0)
            status = move_log(path, aside, e);
        if (status == 0)
            status = sync_folder(path, e);
    }
    return status == 0 ? backup_publish(fresh, path, e) : status;
}

/* SPDX-License-Identifier: MIT */
/* Opens the database for a process and leads its write transactions through the gate. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/db.h"
#include "store/gate.h"
#include "store/migrate.h"
#include "store/now.h"
#include "store/owner.h"
#include "util/clock.h"
#include "util/log.h"

enum { POOL_IDLE_MAX = 32, CHECKPOINT_PAGES = 2048, AGAIN_PAGES = 16, PERSIST_TIME_MS = 1000 };

/* What all processes of the database share without asking it. Lies in a region with room
 * for later members, since a region cannot change its size. */
enum { SHARED_SIZE = 4096 };

struct shared {
    _Atomic uint64_t revision;
    struct now_clock clock;
    _Atomic int32_t checkpointed; /* pages of the log at the last checkpoint */
    _Atomic int64_t trouble_ms;   /* clock_mono_ms() */
    _Atomic uint64_t log_number;  /* of the log that was checkpointed */
};

struct store {
    struct store_options options;
    char *path;
    struct gate *gate; /* NULL when read-only, as is shm */
    struct shm *shm;
    struct shared *shared; /* in shm, or `own` */
    struct shared own;
    pthread_mutex_t pool_lock;
    struct db *idle[POOL_IDLE_MAX];
    int idle_count;
    void (*checkpointed)(void *arg, struct db *db);
    void *checkpointed_arg;
};

static int open_connection(struct store *store, struct db **db, struct err *e)
{
    const struct db_options options = {
        .path = store->path,
        .read_only = store->options.read_only,
        .synchronous_full = store->options.synchronous_full,
    };

    return db_open(&options, db, e);
}

/* Made here with its mode, since SQLite's own files take theirs from it: the group reads. */
static int create_file(const char *path, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0)
        return err_set(e, AGW_ESTORE, "cannot open %s: %s", path, strerror(errno));
    close(fd);
    return 0;
}

static int open_shared(const char *database, struct shm **shm, struct shared **shared,
                       struct err *e)
{
    char path[4096];
    void *region;
    int status;

    if (snprintf(path, sizeof path, "%s.shared", database) >= (int)sizeof path)
        return err_set(e, AGW_ESTORE, "%s: the name is too long", database);
    status = shm_open_file(path, shm, e);
    if (status == 0)
        status = shm_region(*shm, "state", SHARED_SIZE, &region, e);
    if (status == 0)
        *shared = region;
    return status;
}

/* When root was first (agwctl, say), the gateway's user must still be able to open it. SQLite
 * does the same with its own files. */
static int share_owner(const struct store *store, const char *path, struct err *e)
{
    return geteuid() == 0 ? owner_copy(store->path, path, 0, e) : 0;
}

static int open_beside(struct store *store, struct err *e)
{
    char path[4096];
    int status = open_shared(store->path, &store->shm, &store->shared, e);

    if (status != 0)
        return status;
    snprintf(path, sizeof path, "%s.shared", store->path);
    status = share_owner(store, path, e);
    snprintf(path, sizeof path, "%s.gate", store->path);
    if (status == 0)
        status = gate_open(path, &store->gate, e);
    return status == 0 ? share_owner(store, path, e) : status;
}

int store_shared_numbers(const char *path, uint64_t *revision, int64_t *now, struct err *e)
{
    struct shm *shm = NULL;
    struct shared *shared = NULL;
    struct stat info;
    char name[4096];
    int status;

    snprintf(name, sizeof name, "%s.shared", path);
    if (stat(name, &info) != 0)
        return 0;
    status = open_shared(path, &shm, &shared, e);
    if (status == 0) {
        uint64_t seen = atomic_load(&shared->revision);
        int64_t time = now_read(&shared->clock, clock_wall_ms(), clock_mono_ms());

        *revision = seen > *revision ? seen : *revision;
        *now = time > *now ? time : *now;
    }
    shm_close(&shm);
    return status;
}

/* A restore swaps the file under the gate: who had opened the old one meanwhile must not go on
 * with it. */
static int refuse_replaced(struct db *db, struct err *e)
{
    int moved = 0;

    if (sqlite3_file_control(db_handle(db), "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
            SQLITE_OK && moved != 0)
        return err_set(e, AGW_ESTORE, "was replaced while it was being opened");
    return 0;
}

/* Mode, schema and the shared numbers, before anybody else uses this store. */
static int prepare(struct store *store, struct db *db, struct err *e)
{
    int64_t high;
    int status;

    if (store->options.read_only) {
        status = db_require_wal(db, e);
        if (status == 0)
            status = migrate_check(db, e);
    } else {
        status = gate_acquire(store->gate, store->options.gate_wait_ms, e);
        if (status != 0)
            return status;
        status = refuse_replaced(db, e);
        if (status == 0)
            status = db_require_wal(db, e);
        if (status == 0)
            status = migrate_run(db, e);
        gate_release(store->gate);
    }
    if (status == 0)
        status = db_number(db, "SELECT value FROM meta WHERE name = 'time'", 0, &high, e);
    if (status == 0) {
        now_raise(&store->shared->clock, high, clock_mono_ms());
        status = store_revision_sync(store, e);
    }
    return status;
}

static void configure_sqlite(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* saves a global lock per allocation */
}

/* One database has one gate and one set of shared numbers, whatever link leads to it; SQLite
 * names its own files so too. */
static int resolve_links(struct store *store, struct err *e)
{
    char *path = realpath(store->path, NULL);

    if (path == NULL)
        return err_set(e, AGW_ESTORE, "cannot open %s: %s", store->path, strerror(errno));
    free(store->path);
    store->path = path;
    return 0;
}

static int open_all(struct store *store, struct err *e)
{
    struct db *db = NULL;
    struct err detail;
    int status = store->options.read_only ? 0 : create_file(store->path, e);

    if (status == 0)
        status = resolve_links(store, e);
    if (status == 0 && !store->options.read_only)
        status = open_beside(store, e);
    if (status != 0)
        return status;
    status = open_connection(store, &db, &detail);
    if (status == 0)
        status = prepare(store, db, &detail);
    store_release(store, db);
    if (status != 0)
        return err_set(e, status, "%s: %s", store->path, detail.message);
    return 0;
}

int store_open(const struct store_options *options, struct store **out, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct store *store = calloc(1, sizeof *store);
    int status;

    pthread_once(&once, configure_sqlite);
    *out = NULL;
    if (store == NULL)
        return err_set(e, AGW_ENOMEM, "opening %s", options->path);
    store->options = *options;
    store->shared = &store->own;
    pthread_mutex_init(&store->pool_lock, NULL);
    store->path = strdup(options->path);
    status = store->path == NULL ? err_set(e, AGW_ENOMEM, "opening %s", options->path)
                                 : open_all(store, e);
    if (status != 0)
        store_close(&store);
    else
        log_message(LOG_DEBUG, "store.opened", "%s with SQLite %s", options->path,
                    sqlite3_libversion());
    *out = store;
    return status;
}

void store_close(struct store **store)
{
    if (*store == NULL)
        return;
    while ((*store)->idle_count > 0)
        db_close(&(*store)->idle[--(*store)->idle_count]);
    gate_close(&(*store)->gate);
    shm_close(&(*store)->shm);
    pthread_mutex_destroy(&(*store)->pool_lock);
    free((*store)->path);
    free(*store);
    *store = NULL;
}

struct db *store_acquire(struct store *store, struct err *e)
{
    struct db *db = NULL;

    pthread_mutex_lock(&store->pool_lock);
    if (store->idle_count > 0)
        db = store->idle[--store->idle_count];
    pthread_mutex_unlock(&store->pool_lock);
    if (db == NULL)
        open_connection(store, &db, e);
    return db;
}

static int step_and_reset(struct db *db, const char *sql, struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, sql, e);

    return statement == NULL ? AGW_ESTORE : db_step(db, statement, e);
}

void store_release(struct store *store, struct db *db)
{
    bool usable;

    if (db == NULL)
        return;
    usable = db_roll_back(db);
    pthread_mutex_lock(&store->pool_lock);
    if (usable && store->idle_count < POOL_IDLE_MAX) {
        store->idle[store->idle_count++] = db;
        db = NULL;
    }
    pthread_mutex_unlock(&store->pool_lock);
    db_close(&db);
}

struct shm *store_shm(struct store *store)
{
    return store->shm;
}

void store_on_checkpoint(struct store *store, void (*fn)(void *arg, struct db *db), void *arg)
{
    store->checkpointed_arg = arg;
    store->checkpointed = fn;
}

/* A writer outside the gate (a sqlite3 shell) can hold SQLite's own lock: what is left of
 * the bound is spent waiting for it. */
int store_write_begin(struct store *store, struct db *db, struct err *e)
{
    int64_t started = clock_mono_ms();
    int status;

    if (store->gate == NULL)
        return err_set(e, AGW_ESTORE, "%s: is open for reading only", store->path);
    /* Before the wait: who has the gate may wait for the lock of what a rollback has left. */
    if (!sqlite3_get_autocommit(db_handle(db)) && !db_roll_back(db))
        return err_set(e, AGW_ESTORE, "a transaction cannot be rolled back");
    status = gate_acquire(store->gate, store->options.gate_wait_ms, e);
    if (status != 0)
        return status;
    db_set_pending_revision(db, 0);
    db_set_busy_timeout(db, store->options.gate_wait_ms - (clock_mono_ms() - started));
    status = step_and_reset(db, "BEGIN IMMEDIATE", e);
    if (status != 0) {
        db_roll_back(db); /* half a BEGIN is none */
        gate_release(store->gate);
    }
    return status;
}

/* At most once a second: losing less than that with the machine un-expires nothing that was
 * marked expired, and a row per commit would cost a page each. */
static int persist_time(struct store *store, struct db *db, int64_t *persisted, struct err *e)
{
    int64_t now = store_now(store);
    sqlite3_stmt *statement;

    *persisted = 0;
    if (now - atomic_load(&store->shared->clock.persisted) < PERSIST_TIME_MS)
        return 0;
    statement = db_statement(
        db, "UPDATE meta SET value = max(value, ?1) WHERE name = 'time'", e);
    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, now);
    *persisted = now;
    return db_step(db, statement, e);
}

static void raise_revision(struct store *store, uint64_t revision)
{
    uint64_t seen = atomic_load(&store->shared->revision);

    while (revision > seen &&
           !atomic_compare_exchange_weak(&store->shared->revision, &seen, revision))
        ;
}

/* PASSIVE waits for nobody. While a reader holds the log's end it cannot be begun anew and
 * keeps growing: the next attempt is due only after as many new pages again. One that failed is
 * due soon: on a full disk the log must not take the room that was made. */
static void checkpoint(struct store *store, struct db *db)
{
    int pages = db_log_pages(db), last = atomic_load(&store->shared->checkpointed);
    uint64_t log;
    int in_log, moved, result;

    if (pages < CHECKPOINT_PAGES)
        return;
    log = db_log_number(db);
    if (log != atomic_load(&store->shared->log_number) || pages < last)
        last = 0;
    if (pages - last < CHECKPOINT_PAGES)
        return;
    result = sqlite3_wal_checkpoint_v2(db_handle(db), "main", SQLITE_CHECKPOINT_PASSIVE,
                                       &in_log, &moved);
    atomic_store(&store->shared->checkpointed,
                 result == SQLITE_OK ? pages : pages - CHECKPOINT_PAGES + AGAIN_PAGES);
    atomic_store(&store->shared->log_number, log);
    if (result != SQLITE_OK)
        log_message(LOG_WARN, "store.checkpoint", "%s", sqlite3_errstr(result));
    else if (store->checkpointed != NULL)
        store->checkpointed(store->checkpointed_arg, db);
}

int store_write_commit(struct store *store, struct db *db, struct err *e)
{
    return store_write_commit_then(store, db, NULL, NULL, e);
}

int store_write_commit_then(struct store *store, struct db *db, void (*done)(void *arg),
                            void *arg, struct err *e)
{
    int64_t persisted;
    int status = persist_time(store, db, &persisted, e);

    if (status == 0)
        status = step_and_reset(db, "COMMIT", e);
    if (status == 0) {
        if (persisted != 0)
            now_raise(&store->shared->clock, persisted, clock_mono_ms());
        raise_revision(store, db_pending_revision(db));
        if (done != NULL)
            done(arg);
        checkpoint(store, db);
    } else {
        /* Should the log itself have filled the disk: moved into the database, it can be
         * written from its beginning again without growing. */
        db_roll_back(db);
        sqlite3_wal_checkpoint_v2(db_handle(db), "main", SQLITE_CHECKPOINT_PASSIVE, NULL,
                                  NULL);
    }
    db_set_pending_revision(db, 0);
    gate_release(store->gate);
    return status;
}

void store_write_rollback(struct store *store, struct db *db)
{
    db_roll_back(db);
    db_set_pending_revision(db, 0);
    gate_release(store->gate);
}

int store_write_end(struct store *store, struct db *db, int status, struct err *e)
{
    if (status == 0)
        return store_write_commit(store, db, e);
    store_write_rollback(store, db);
    return status;
}

uint64_t store_revision(struct store *store)
{
    return atomic_load_explicit(&store->shared->revision, memory_order_acquire);
}

/* Past both: a database restored from a backup may be behind what this host has seen. */
int store_revision_bump(struct store *store, struct db *db, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        db, "UPDATE meta SET value = max(value, ?1) + 1 WHERE name = 'revision'"
            " RETURNING value", e);
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, (int64_t)store_revision(store));
    status = db_step(db, statement, e);
    if (status == 1)
        db_set_pending_revision(db, (uint64_t)sqlite3_column_int64(statement, 0));
    sqlite3_reset(statement);
    return status < 0 ? status : 0;
}

int store_revision_sync(struct store *store, struct err *e)
{
    struct db *db = store_acquire(store, e);
    int64_t revision;
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = db_number(db, "SELECT value FROM meta WHERE name = 'revision'", 0, &revision, e);
    store_release(store, db);
    if (status == 0)
        raise_revision(store, (uint64_t)revision);
    return status;
}

void store_trouble_note(struct store *store)
{
    atomic_store(&store->shared->trouble_ms, clock_mono_ms());
}

int64_t store_trouble_age(const struct store *store)
{
    int64_t at = atomic_load(&store->shared->trouble_ms), now = clock_mono_ms();

    return at == 0 || at > now ? -1 : now - at; /* a later one is of another boot */
}

int64_t store_now(struct store *store)
{
    return now_read(&store->shared->clock, clock_wall_ms(), clock_mono_ms());
}

/* SPDX-License-Identifier: MIT */
/* Walks a database through the numbered steps it has not seen. */
#include "store/migrate.h"

#include <stdio.h>

#include "store/db.h"
#include "util/log.h"

int migrate_newest(void)
{
    return migrations[migration_count - 1].version;
}

static int read_version(struct db *db, int64_t *version, struct err *e)
{
    int status = db_number(db, "PRAGMA user_version", 0, version, e);

    if (status == 0 && *version > migrate_newest())
        return err_set(e, AGW_ESTORE,
                       "has schema %lld, this program knows %d at most; it was written by "
                       "a newer agent-gateway and is left alone",
                       (long long)*version, migrate_newest());
    return status;
}

static int run_one(struct db *db, const struct migration *migration, struct err *e)
{
    char pragma[48];
    struct err detail;
    int status = db_exec(db, "BEGIN IMMEDIATE", &detail);

    if (status == 0)
        status = db_exec(db, migration->sql, &detail);
    if (status == 0) {
        snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", migration->version);
        status = db_exec(db, pragma, &detail);
    }
    if (status == 0)
        status = db_exec(db, "COMMIT", &detail);
    if (status == 0) {
        log_message(LOG_INFO, "store.migrated", "%s", migration->name);
        return 0;
    }
    if (!sqlite3_get_autocommit(db_handle(db)))
        db_exec(db, "ROLLBACK", NULL);
    return err_set(e, status, "migration %s: %s", migration->name, detail.message);
}

int migrate_run(struct db *db, struct err *e)
{
    return migrate_to(db, migrate_newest(), e);
}

int migrate_to(struct db *db, int wanted, struct err *e)
{
    int64_t version;
    int status = read_version(db, &version, e);

    for (size_t i = 0; status == 0 && i < migration_count; i++)
        if (migrations[i].version > version && migrations[i].version <= wanted)
            status = run_one(db, &migrations[i], e);
    return status;
}

int migrate_check(struct db *db, struct err *e)
{
    int64_t version;
    int status = read_version(db, &version, e);

    if (status == 0 && version < migrate_newest())
        return err_set(e, AGW_ESTORE, "has schema %lld, this program needs %d; agwctl db migrate brings it there",
                       (long long)version, migrate_newest());
    return status;
}

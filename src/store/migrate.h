/* SPDX-License-Identifier: MIT */
/* Brings a database to this program's schema: the files sql/NNNN_name.sql, built in. Each
 * is one transaction that ends in its `PRAGMA user_version`, so a death at any statement
 * leaves the old schema or the new one.
 */
#ifndef AGW_STORE_MIGRATE_H
#define AGW_STORE_MIGRATE_H

#include <stddef.h>

#include "store/store.h"

struct migration {
    int version;
    const char *name; /* "0001_initial" */
    const char *sql;
};

/* Generated from sql/ at build, in order. */
extern const struct migration migrations[];
extern const size_t migration_count;

/* The newest version this program knows. */
int migrate_newest(void);

/* Runs what is missing; the caller holds the gate. A database of a newer program is left
 * alone with AGW_ESTORE. */
int migrate_run(struct db *db, struct err *e);

/* The same up to `version` only. */
int migrate_to(struct db *db, int version, struct err *e);

/* AGW_ESTORE unless the database has exactly this program's schema. */
int migrate_check(struct db *db, struct err *e);

#endif

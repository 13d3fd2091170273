/* SPDX-License-Identifier: MIT */
/* Whether a database is sound: its pages, references, schema and audit chain. Reads only, and
 * also what the gateway itself would refuse to open.
 */
#ifndef AGW_STORE_INSPECT_H
#define AGW_STORE_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "store/audit_rows.h"
#include "store/store.h"

enum inspect_state { INSPECT_OK, INSPECT_WARNING, INSPECT_FAILED };

enum inspect_depth {
    INSPECT_BRIEF, /* what takes no longer for a large database: journal, version, schema */
    INSPECT_QUICK, /* and pages and references */
    INSPECT_INDEXES, /* and indexes against their tables */
    INSPECT_FULL,  /* and the audit chain */
};

struct inspect {
    enum inspect_depth depth;
    bool copy;  /* it was opened as immutable, which hides the journal mode */
    /* Each check as it ends: its name and what was seen. */
    void (*found)(void *arg, const char *name, enum inspect_state state, const char *detail);
    void (*progress)(void *arg, int64_t done, int64_t of); /* rows of the chain; may be NULL */
    void *arg;
};

/* Opens for reading whatever the journal mode and schema are. `immutable`: nobody else writes
 * to the file, so nothing is made beside it, and a log beside it is not looked at. */
int inspect_open(const char *path, bool immutable, struct db **db, struct err *e);
void inspect_close(struct db **db);

/* The checks "journal mode", "schema version", "integrity", "foreign keys", "schema",
 * "audit chain". *worst is the worst state; a database that cannot be read is INSPECT_FAILED,
 * not an error. */
int inspect_database(struct db *db, const struct inspect *inspect, enum inspect_state *worst,
                     struct err *e);

/* The SQLite that this program runs with. *race: it can lose commits when a checkpoint overlaps
 * one, which the writer gate prevents. Static. */
const char *inspect_sqlite(bool *race);

/* The highest time (UTC ms) that is on record in the database. */
int inspect_time(struct db *db, int64_t *time, struct err *e);

/* 0 = no schema of ours. */
int inspect_version(struct db *db, int64_t *version, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/* Copies a database, in use or not, and puts a copy in a database's place. */
#ifndef AGW_STORE_BACKUP_H
#define AGW_STORE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/gate.h"
#include "store/keys.h"
#include "store/overrides.h"
#include "store/store.h"

struct backup {
    const char *source, *target; /* target: a file that exists and is empty */
    bool immutable;              /* nobody writes to the source, see inspect_open() */
    void (*progress)(void *arg, int64_t pages, int64_t of); /* may be NULL */
    void *arg;
};

/* One moment of the source, whatever is written meanwhile; writers do not wait. The copy is on
 * disk when this returns. It has the source's journal mode, so it is a database as it is. */
int backup_copy(const struct backup *backup, struct err *e);

/* Gives a finished file its name, in one step, and makes that last. */
int backup_publish(const char *file, const char *name, struct err *e);

/* What a database that is to be replaced leaves to the one that follows. */
struct backup_legacy {
    bool readable;        /* grants and keys are known */
    uint64_t revision;    /* the highest that was seen, here or in shared memory */
    int64_t time;         /* the highest time, UTC ms */
    int64_t head_seq;     /* of the audit trail */
    struct override_list grants; /* active ones, with their uses */
    struct key_list keys;        /* live ones that were made at run time */
};

/* Never fails because the database is broken: then it is not readable. Frees nothing. */
int backup_read_legacy(const char *path, struct backup_legacy *legacy, struct err *e);
void backup_legacy_clear(struct backup_legacy *legacy);

/* Whether any process has the database open; *pid may be 0 when it cannot be told which. Hold
 * the gate: then none can open it for writing meanwhile. Not while this process has it open. */
bool backup_in_use(const char *path, pid_t *pid);

/* Raises revision and time of a restored database past those of its predecessor. */
int backup_adopt(struct store *store, const struct backup_legacy *legacy, struct err *e);

/* Moves everything from the log into the database file, so that the file alone is the whole
 * database. Nobody else may have it open. */
int backup_settle(const char *path, struct err *e);

/* Puts the database `fresh` in the place of `path`, whose file (with its log) gets the name
 * `aside`. Hold the gate of `path`, and nobody may have it open. A crash leaves the old one or
 * the new one. `path` need not exist. */
int backup_swap(const char *path, const char *fresh, const char *aside, struct err *e);

#endif

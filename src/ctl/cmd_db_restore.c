/* SPDX-License-Identifier: MIT */
/* agwctl db restore: a backup becomes the database, without bringing back what has ended. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/db.h"
#include "ctl/output.h"
#include "ctl/scratch.h"
#include "policy/audit.h"
#include "store/backup.h"
#include "store/overrides.h"
#include "store/owner.h"
#include "util/clock.h"
#include "util/json_memory.h"

enum { GATE_WAIT_MS = 5000, NAME_SIZE = 4096 };

struct restore {
    const char *path, *file;
    char aside[NAME_SIZE]; /* "" when there was no database */
    struct audit_head head; /* of the backup */
    struct backup_legacy legacy;
    bool keep_grants;
    size_t kept, revoked, keys_kept, keys_revoked;
};

static struct audit_row new_row(struct store *store, const char *kind)
{
    struct audit_row row = audit_row_new(store_now(store), kind);

    row.process = audit_process();
    return row;
}

/* A grant of the backup goes on if it was active up to now, and has not been used since if its
 * uses are counted: those are in the trail, which goes back to the backup's. When that cannot be known, a
 * revocation may be among what was lost, so that it ends. */
static bool goes_on(const struct restore *r, const struct override *grant)
{
    if (!r->legacy.readable)
        return r->keep_grants;
    for (size_t i = 0; i < r->legacy.grants.count; i++)
        if (strcmp(r->legacy.grants.items[i].id, grant->id) == 0)
            return grant->max_uses == 0 || r->legacy.grants.items[i].uses == grant->uses;
    return false;
}

static int end_grants(struct restore *r, struct store *store, struct err *e)
{
    struct override_list list = {0};
    struct db *db = store_acquire(store, e);
    int rc = db == NULL ? AGW_ESTORE : overrides_list(db, store_now(store), 0, &list, e);

    if (rc == 0)
        rc = overrides_count_uses(db, &list, e);
    store_release(store, db);
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        struct audit_row row = new_row(store, "override.revoked");

        if (list.items[i].used_up_at != 0) /* it has ended */
            continue;
        if (goes_on(r, &list.items[i])) {
            r->kept++;
            continue;
        }
        rc = overrides_revoke(store, list.items[i].id, context_actor(), &row, NULL, e);
        r->revoked += rc == 0;
    }
    override_list_clear(&list);
    return rc;
}

/* The same key: another of that name, made since, has rights of its own. */
static const struct key_record *find_key(const struct key_list *list,
                                         const struct key_record *key)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].created_at == key->created_at &&
            strcmp(list->items[i].row.id, key->row.id) == 0)
            return &list->items[i];
    return NULL;
}

static bool same_hash(const unsigned char *a, const unsigned char *b)
{
    return memcmp(a, b, SHA_SIZE) == 0;
}

/* A key that was rotated since the backup has the newer secret; the backup's is valid for as
 * long as the overlap, if it is that rotation's, would have lasted. */
static int carry_rotation(struct store *store, const struct key_record *backup,
                          const struct key_record *now, struct err *e)
{
    const struct audit_row row = new_row(store, "key.rotated");
    int64_t left = 0;

    if (same_hash(backup->row.hash, now->row.hash))
        return 0;
    if (same_hash(backup->row.hash, now->previous_hash) &&
        now->previous_until > store_now(store))
        left = now->previous_until - store_now(store);
    return keys_rotate(store, backup->row.id, now->row.hash, left, context_actor(), &row, NULL,
                       e);
}

/* The same as end_grants() for keys that were made at run time. */
static int end_keys(struct restore *r, struct store *store, struct err *e)
{
    struct key_list list = {0};
    struct db *db = store_acquire(store, e);
    int rc = db == NULL ? AGW_ESTORE : keys_live(db, store_now(store), &list, e);

    store_release(store, db);
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        const struct key_record *now = find_key(&r->legacy.keys, &list.items[i]);
        const struct audit_row row = new_row(store, "key.revoked");

        if (r->legacy.readable ? now == NULL : !r->keep_grants) {
            rc = keys_revoke(store, list.items[i].row.id, context_actor(), &row, NULL, e);
            r->keys_revoked += rc == 0;
        } else {
            rc = now == NULL ? 0 : carry_rotation(store, &list.items[i], now, e);
            r->keys_kept++;
        }
    }
    key_list_clear(&list);
    return rc;
}

/* The gap in the trail has a reason, which stands at its end. */
static int record(const struct restore *r, struct store *store, struct err *e)
{
    struct audit_row row = new_row(store, "database.restored");
    json_t *detail = json_pack("{s:s, s:o, s:I, s:I}", "by", context_actor(), "file",
                               output_json_text(r->file), "backup_head",
                               (json_int_t)r->head.seq, "replaced_head",
                               (json_int_t)r->legacy.head_seq);
    char *text = json_dumps(detail, JSON_COMPACT);
    struct db *db = store_acquire(store, e);
    int rc = db == NULL ? AGW_ESTORE : store_write_begin(store, db, e);

    row.detail = text;
    if (rc == 0)
        rc = store_write_end(store, db, audit_rows_append(store, db, &row, 1, NULL, e), e);
    store_release(store, db);
    json_memory_free(text);
    json_decref(detail);
    return rc;
}

/* Everything that must be true of it before anybody sees it. Also brings it to this program's
 * schema. */
static int prepare(struct restore *r, const char *scratch, struct err *e)
{
    const struct store_options options = {.path = scratch, .gate_wait_ms = GATE_WAIT_MS,
                                          .synchronous_full = true};
    struct store *store = NULL;
    int rc = store_open(&options, &store, e);

    if (rc == 0)
        rc = backup_adopt(store, &r->legacy, e);
    if (rc == 0)
        rc = end_grants(r, store, e);
    if (rc == 0)
        rc = end_keys(r, store, e);
    if (rc == 0)
        rc = record(r, store, e);
    store_close(&store);
    if (rc == 0)
        rc = backup_settle(scratch, e);
    scratch_alone();
    return rc;
}

/* Owner and mode of the one it replaces; otherwise the folder's owner. */
static int take_owner(const char *path, const char *file, struct err *e)
{
    char folder[NAME_SIZE];
    const char *slash = strrchr(path, '/');
    struct stat info;

    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
             slash == NULL ? "." : path);
    if (stat(path, &info) == 0)
        return owner_copy(path, file, info.st_mode & 07777, e);
    return owner_copy(folder, file, 0640, e);
}

/* A name that is free: two restores may be of one second. */
static void name_aside(struct restore *r)
{
    int64_t second = clock_wall_ms() / 1000;
    struct stat info;

    do
        snprintf(r->aside, sizeof r->aside, "%s.before-%lld", r->path, (long long)second++);
    while (lstat(r->aside, &info) == 0);
}

/* Under the gate. */
static int replace(struct restore *r, const char *scratch, struct err *e)
{
    struct stat info;
    pid_t pid;
    int rc;

    if (backup_in_use(r->path, &pid))
        return pid == 0 ? err_set(e, AGW_ESTORE, "%s is in use; stop the gateway first", r->path)
                        : err_set(e, AGW_ESTORE,
                                  "%s is in use by process %ld; stop the gateway first", r->path,
                                  (long)pid);
    if (stat(r->path, &info) == 0)
        name_aside(r);
    rc = backup_read_legacy(r->path, &r->legacy, e);
    if (rc == 0)
        rc = prepare(r, scratch, e);
    if (rc == 0)
        rc = take_owner(r->path, scratch, e);
    return rc == 0 ? backup_swap(r->path, scratch, r->aside, e) : rc;
}

static int replace_under_gate(struct restore *r, const char *scratch, struct err *e)
{
    char name[NAME_SIZE + 8];
    struct gate *gate = NULL;
    struct stat info;
    bool fresh;
    int rc;

    snprintf(name, sizeof name, "%s.gate", r->path);
    fresh = stat(name, &info) != 0;
    rc = gate_open(name, &gate, e);
    if (rc == 0 && fresh && geteuid() == 0)
        rc = take_owner(r->path, name, e);
    if (rc == 0)
        rc = gate_acquire(gate, GATE_WAIT_MS, e);
    if (rc == 0) {
        rc = replace(r, scratch, e);
        gate_release(gate);
    }
    gate_close(&gate);
    return rc;
}

/* A log beside the backup belongs to it: then it was not made by db backup, but copied. */
static bool has_log(const char *file)
{
    char name[NAME_SIZE];
    struct stat info;

    snprintf(name, sizeof name, "%s-wal", file);
    return stat(name, &info) == 0 && info.st_size > 0;
}

static int check_file(const char *path, const char *file)
{
    struct stat backup, database;

    if (stat(file, &backup) != 0)
        return call_fail("%s: %s", file, strerror(errno));
    if (!S_ISREG(backup.st_mode))
        return call_fail("%s is not a file", file);
    if (stat(path, &database) != 0)
        return CTL_FINE;
    if (!S_ISREG(database.st_mode))
        return call_fail("%s is not a file", path);
    if (backup.st_dev == database.st_dev && backup.st_ino == database.st_ino)
        return call_fail("%s is the database itself", file);
    return CTL_FINE;
}

static int report(const struct call *call, const struct restore *r)
{
    const char *aside = r->aside[0] == '\0' ? NULL : r->aside;

    if (call->json)
        return call_json(json_pack("{s:o, s:o, s:o, s:{s:I, s:s}, s:I, s:I, s:I, s:I, s:b}", "database",
                                   output_json_text(r->path), "file", output_json_text(r->file),
                                   "aside", output_json_text(aside), "head", "seq",
                                   (json_int_t)r->head.seq, "hash", r->head.hash,
                                   "overrides_kept", (json_int_t)r->kept, "overrides_revoked",
                                   (json_int_t)r->revoked, "keys_kept",
                                   (json_int_t)r->keys_kept, "keys_revoked",
                                   (json_int_t)r->keys_revoked, "replaced_readable",
                                   r->legacy.readable),
                         CTL_FINE);
    output_line("%s is restored from %s, whose audit ends with row %lld %.16s.", r->path, r->file,
                (long long)r->head.seq, r->head.hash);
    if (aside != NULL)
        output_line("The database before is kept as %s.", aside);
    if (!r->legacy.readable && aside != NULL)
        output_line("It cannot be read, so it is not known what was revoked since the backup.");
    output_line("Overrides: %zu go on, %zu are revoked. Run-time keys: %zu go on, %zu are"
                " revoked.", r->kept, r->revoked, r->keys_kept, r->keys_revoked);
    return CTL_FINE;
}

static int restore(struct call *call, struct restore *r)
{
    const char *scratch;
    struct err e = {0};
    int rc;

    scratch = scratch_make(r->path, &e);
    if (scratch == NULL)
        return call_fail("%s", e.message);
    rc = db_copy(r->file, scratch, !has_log(r->file), &e);
    if (rc == 0)
        rc = db_verify_copy(scratch, false, &r->head, &e);
    if (rc != 0)
        err_set(&e, rc, "the backup is not sound: %s", e.message);
    else
        rc = replace_under_gate(r, scratch, &e);
    if (rc != 0) {
        scratch_drop();
        return call_fail("%s; nothing was restored", e.message);
    }
    scratch_done();
    return report(call, r);
}

static int run(struct call *call)
{
    struct restore r = {.file = call_argument(call, 0),
                        .keep_grants = call_flag(call, "keep-grants")};
    int status = context_database(call, &r.path);

    if (status == CTL_FINE)
        status = check_file(r.path, r.file);
    if (status == CTL_FINE)
        status = restore(call, &r);
    backup_legacy_clear(&r.legacy);
    return status;
}

static const struct command_option options[] = {
    {"keep-grants", VALUE_NONE, NULL,
     "keep the backup's overrides and keys when the database before cannot be read", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_argument arguments[] = {
    {"FILE", VALUE_FILE, "the backup", false},
    {NULL, VALUE_NONE, NULL, false},
};

const struct command cmd_db_restore = {
    .group = "db",
    .name = "restore",
    .summary = "Put a backup in the place of the database, while no gateway runs",
    .options = options,
    .arguments = arguments,
    .run = run,
};

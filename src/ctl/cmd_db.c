/* SPDX-License-Identifier: MIT */
/* agwctl db check, migrate and backup. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/db.h"
#include "ctl/findings.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/scratch.h"
#include "store/backup.h"
#include "store/inspect.h"
#include "store/migrate.h"
#include "util/clock.h"

/* ---- what several of them need ---- */

int db_existing(struct call *call, const char **path)
{
    struct stat info;
    int status = context_database(call, path);

    if (status == CTL_FINE && stat(*path, &info) != 0)
        status = call_fail("%s: %s", *path, strerror(errno));
    else if (status == CTL_FINE && !S_ISREG(info.st_mode))
        status = call_fail("%s is not a file", *path);
    return status;
}

static void take_progress(void *arg, int64_t done, int64_t of)
{
    struct progress *progress = arg;

    progress->total = of;
    progress_step(progress, done);
}

int db_copy(const char *source, const char *target, bool immutable, struct err *e)
{
    struct progress progress;
    const struct backup backup = {.source = source, .target = target, .immutable = immutable,
                                  .progress = take_progress, .arg = &progress};
    int rc;

    progress_begin(&progress, "copying pages", 0);
    rc = backup_copy(&backup, e);
    progress_end(&progress);
    return rc;
}

struct looking {
    struct findings *findings; /* NULL: only the first failure is wanted */
    struct progress progress;
    char problem[600];
};

static void take_found(void *arg, const char *name, enum inspect_state state, const char *detail)
{
    static const enum finding_state states[] = {
        [INSPECT_OK] = FINDING_OK, [INSPECT_WARNING] = FINDING_WARNING,
        [INSPECT_FAILED] = FINDING_FAILED};
    struct looking *looking = arg;

    if (state == INSPECT_FAILED && looking->problem[0] == '\0')
        snprintf(looking->problem, sizeof looking->problem, "%s: %.500s", name, detail);
    if (looking->findings != NULL)
        findings_add(looking->findings, name, states[state], NULL, "%s", detail);
}

static void step_progress(void *arg, int64_t done, int64_t of)
{
    struct looking *looking = arg;

    take_progress(&looking->progress, done, of);
}

static int look(struct looking *looking, struct db *db, bool quick, bool copy, struct err *e)
{
    const struct inspect inspect = {.depth = quick ? INSPECT_QUICK : INSPECT_FULL, .copy = copy, .found = take_found,
                                    .progress = step_progress, .arg = looking};
    enum inspect_state worst;
    int rc;

    progress_begin(&looking->progress, "verifying rows", 0);
    rc = inspect_database(db, &inspect, &worst, e);
    progress_end(&looking->progress);
    return rc;
}

int db_verify_copy(const char *path, bool quick, struct audit_head *head, struct err *e)
{
    struct looking looking = {0};
    struct db *db = NULL;
    int rc = inspect_open(path, true, &db, e);

    if (rc == 0)
        rc = look(&looking, db, quick, true, e);
    if (rc == 0 && looking.problem[0] != '\0')
        rc = err_set(e, AGW_ESTORE, "%s", looking.problem);
    if (rc == 0)
        rc = audit_rows_head(db, head, e);
    inspect_close(&db);
    return rc;
}

/* ---- db check ---- */

static int run_check(struct call *call)
{
    struct findings findings;
    struct looking looking = {.findings = &findings};
    struct db *db = NULL;
    const char *path;
    struct err e = {0};
    int status = db_existing(call, &path);

    if (status != CTL_FINE)
        return status;
    findings_begin(&findings);
    if (inspect_open(path, false, &db, &e) != 0 ||
        look(&looking, db, call_flag(call, "quick"), false, &e) != 0)
        findings_add(&findings, "access", FINDING_FAILED, NULL, "%s", e.message);
    inspect_close(&db);
    return findings_end(&findings, call);
}

static const struct command_option check_options[] = {
    {"quick", VALUE_NONE, NULL, "leave out what takes long: indexes and the audit chain", false,
     0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_db_check = {
    .group = "db",
    .name = "check",
    .summary = "Check the database: pages, references, schema, audit chain",
    .options = check_options,
    .run = run_check,
};

/* ---- db migrate ---- */

/* The version before, 0 for what is not there yet. */
static int version_before(const char *path, int64_t *version, struct err *e)
{
    struct db *db = NULL;
    struct stat info;
    int rc;

    *version = 0;
    if (stat(path, &info) != 0)
        return 0;
    rc = inspect_open(path, false, &db, e);
    if (rc == 0)
        rc = inspect_version(db, version, e);
    inspect_close(&db);
    return rc;
}

static int report_migration(const struct call *call, const char *path, int64_t before)
{
    json_t *applied = json_array();
    int newest = migrate_newest();

    for (size_t i = 0; i < migration_count; i++)
        if (migrations[i].version > before)
            json_array_append_new(applied, json_string(migrations[i].name));
    if (call->json)
        return call_json(json_pack("{s:o, s:I, s:i, s:o}", "database", output_json_text(path),
                                   "before", (json_int_t)before, "after", newest, "applied",
                                   applied),
                         CTL_FINE);
    if (before == newest)
        output_line("%s has schema %d already, the newest.", path, newest);
    else
        output_line("%s: schema %lld -> %d, %zu migrations.", path, (long long)before, newest,
                    json_array_size(applied));
    json_decref(applied);
    return CTL_FINE;
}

static int run_migrate(struct call *call)
{
    struct store_options options = {.gate_wait_ms = 5000, .synchronous_full = true};
    struct store *store = NULL;
    const char *path;
    struct err e = {0};
    int64_t before;
    int status = call_flag(call, "create") ? context_database(call, &path)
                                           : db_existing(call, &path);

    if (status != CTL_FINE)
        return status;
    if (version_before(path, &before, &e) != 0)
        return call_fail("%s: %s", path, e.message);
    options.path = path;
    if (store_open(&options, &store, &e) != 0)
        return call_fail("%s", e.message);
    store_close(&store);
    return report_migration(call, path, before);
}

static const struct command_option migrate_options[] = {
    {"create", VALUE_NONE, NULL, "make the database if it does not exist", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_db_migrate = {
    .group = "db",
    .name = "migrate",
    .summary = "Bring the database to this program's schema",
    .options = migrate_options,
    .run = run_migrate,
};

/* ---- db backup ---- */

static bool is_same_file(const char *a, const char *b)
{
    struct stat left, right;

    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev &&
           left.st_ino == right.st_ino;
}

/* Whether a backup there would destroy the database that it is of. */
static bool belongs_to(const char *database, const char *target)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".gate", ".shared"};
    char name[4096];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(name, sizeof name, "%s%s", database, ends[i]);
        if (is_same_file(name, target))
            return true;
    }
    return false;
}

static int check_target(const struct call *call, const char *database, const char *target)
{
    struct stat info;

    if (belongs_to(database, target))
        return call_fail("%s is the database itself, or a file of it", target);
    if (lstat(target, &info) != 0)
        return CTL_FINE;
    if (!S_ISREG(info.st_mode))
        return call_fail("%s exists and is not a file", target);
    if (!call_flag(call, "force"))
        return call_fail("%s exists; --force replaces it", target);
    return CTL_FINE;
}

static int report_backup(const struct call *call, const char *target,
                         const struct audit_head *head, int64_t ms)
{
    struct stat info = {0};
    bool quick = call_flag(call, "quick");

    stat(target, &info);
    if (call->json)
        return call_json(json_pack("{s:o, s:I, s:s, s:{s:I, s:s}, s:I}", "file",
                                   output_json_text(target), "bytes", (json_int_t)info.st_size,
                                   "verified", quick ? "quick" : "full", "head", "seq",
                                   (json_int_t)head->seq, "hash", head->hash, "duration_ms",
                                   (json_int_t)ms),
                         CTL_FINE);
    output_line("%s: %lld bytes in %lld.%01lld s, %s; the audit ends with row %lld %.16s", target,
                (long long)info.st_size, (long long)(ms / 1000), (long long)(ms % 1000 / 100),
                quick ? "pages verified" : "pages and audit chain verified",
                (long long)head->seq, head->hash);
    return CTL_FINE;
}

static int run_backup(struct call *call)
{
    const char *path, *scratch, *target = call_argument(call, 0);
    int64_t began = clock_mono_ms();
    struct audit_head head;
    struct err e = {0};
    int status = db_existing(call, &path), rc;

    if (status == CTL_FINE)
        status = check_target(call, path, target);
    if (status != CTL_FINE)
        return status;
    scratch = scratch_make(target, &e);
    if (scratch == NULL)
        return call_fail("%s", e.message);
    rc = db_copy(path, scratch, false, &e);
    if (rc == 0)
        rc = db_verify_copy(scratch, call_flag(call, "quick"), &head, &e);
    if (rc == 0)
        rc = backup_publish(scratch, target, &e);
    if (rc != 0) {
        scratch_drop();
        return call_fail("%s; no backup was made", e.message);
    }
    scratch_done();
    return report_backup(call, target, &head, clock_mono_ms() - began);
}

static const struct command_option backup_options[] = {
    {"force", VALUE_NONE, NULL, "replace FILE if it exists", false, 0, 0},
    {"quick", VALUE_NONE, NULL, "verify without indexes and audit chain", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_argument backup_arguments[] = {
    {"FILE", VALUE_FILE, "the backup; it appears when it is whole and verified", false},
    {NULL, VALUE_NONE, NULL, false},
};

const struct command cmd_db_backup = {
    .group = "db",
    .name = "backup",
    .summary = "Copy the database to a file, also while the gateway serves",
    .options = backup_options,
    .arguments = backup_arguments,
    .run = run_backup,
};

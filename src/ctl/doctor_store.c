/* SPDX-License-Identifier: MIT */
/* The database as the gateway meets it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "store/audit_rows.h"
#include "store/errors_ring.h"
#include "store/gate.h"
#include "store/inspect.h"
#include "util/clock.h"

enum { GATE_MS = 2000, GATE_SLOW_MS = 500, CLOCK_MS = 2000, ERRORS_MS = 86400000 };

static void found(void *arg, const char *name, enum inspect_state state, const char *detail)
{
    struct doctor *d = arg;

    if (state != INSPECT_OK || strcmp(name, "schema version") == 0 ||
        strcmp(name, "journal mode") == 0)
        findings_add(d->findings, name,
                     state == INSPECT_OK        ? FINDING_OK
                     : state == INSPECT_WARNING ? FINDING_WARNING
                                                : FINDING_FAILED,
                     state == INSPECT_FAILED ? "agwctl db check tells more; agwctl db restore puts "
                                               "a backup in its place"
                                             : NULL,
                     "%s", detail);
}

static void check_sqlite(struct doctor *d)
{
    bool race;
    const char *version = inspect_sqlite(&race);

    findings_add(d->findings, "SQLite", FINDING_OK,
                 race ? "write to the database with agwctl only, never with a sqlite3 shell" : NULL,
                 race ? "%s, which has the WAL-reset race (fixed in 3.51.3); the writer gate "
                        "prevents it" : "%s", version);
}

static void name_process(pid_t pid, char name[64])
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
    file = fopen(path, "re");
    if (file == NULL || fgets(name, 64, file) == NULL)
        snprintf(name, 64, "unknown");
    name[strcspn(name, "\n")] = '\0';
    if (file != NULL)
        (void)fclose(file);
}

/* A gate that is not there yet is made by the gateway, for its own user. */
static void check_gate(struct doctor *d)
{
    char path[4096], holder[64] = "";
    int64_t began = clock_mono_ms(), waited;
    struct gate *gate = NULL;
    struct err e = {0};
    pid_t pid;
    int rc;

    snprintf(path, sizeof path, "%s.gate", d->database);
    if (access(path, R_OK | W_OK) != 0) {
        findings_add(d->findings, "gate", errno == ENOENT ? FINDING_OK : FINDING_WARNING,
                     errno == ENOENT ? NULL : "ask as root or as the gateway's user", "%s: %s",
                     path, strerror(errno));
        return;
    }
    rc = gate_open(path, &gate, &e);
    if (rc == 0)
        rc = gate_acquire(gate, GATE_MS, &e);
    waited = clock_mono_ms() - began;
    pid = rc == 0 ? 0 : gate_holder(path);
    if (rc == 0)
        gate_release(gate);
    gate_close(&gate);
    if (pid != 0)
        name_process(pid, holder);
    if (rc == 0)
        findings_add(d->findings, "gate", waited > GATE_SLOW_MS ? FINDING_WARNING : FINDING_OK,
                     waited > GATE_SLOW_MS ? "the disk may be slow: see its load" : NULL,
                     "taken after %lld ms", (long long)waited);
    else if (pid != 0)
        findings_add(d->findings, "gate", FINDING_FAILED,
                     "nothing can be recorded while it is held; if it stays so, end that process",
                     "held for more than %d ms by process %ld (%s)", GATE_MS, (long)pid, holder);
    else
        findings_add(d->findings, "gate", FINDING_FAILED, NULL, "%s", e.message);
}

static void check_clock(struct doctor *d, struct db *db)
{
    int64_t high, behind;
    char text[CLOCK_TEXT_SIZE];
    struct err e = {0};

    if (inspect_time(db, &high, &e) != 0) {
        findings_add(d->findings, "clock", FINDING_FAILED, NULL, "%s", e.message);
        return;
    }
    behind = high - clock_wall_ms();
    if (behind > CLOCK_MS)
        findings_add(d->findings, "clock", FINDING_WARNING,
                     "set the clock right; expiry follows the later of the two",
                     "it is %lld s behind the highest time on record, %s",
                     (long long)(behind / 1000), clock_format(high, text));
    else
        findings_add(d->findings, "clock", FINDING_OK, NULL,
                     "not behind the highest time on record");
}

static void check_audit(struct doctor *d, struct db *db)
{
    struct audit_head head;
    int64_t running, cut_off;
    struct err e = {0};

    if (audit_rows_head(db, &head, &e) != 0)
        findings_add(d->findings, "audit head", FINDING_FAILED, NULL, "%s", e.message);
    else if (head.seq == 0)
        findings_add(d->findings, "audit head", FINDING_OK, NULL, "no rows yet");
    else
        findings_add(d->findings, "audit head", FINDING_OK, NULL, "row %lld %s",
                     (long long)head.seq, head.hash);
    if (audit_rows_count_open(db, &running, &cut_off, &e) != 0)
        findings_add(d->findings, "requests", FINDING_FAILED, NULL, "%s", e.message);
    else
        findings_add(d->findings, "requests", cut_off > 0 ? FINDING_WARNING : FINDING_OK,
                     cut_off > 0 ? "the next start of a worker closes them; the log says why it died"
                                 : NULL,
                     "%lld run, %lld were cut off by the death of their process",
                     (long long)running, (long long)cut_off);
}

static void check_errors(struct doctor *d, struct db *db)
{
    json_t *list = NULL, *entry;
    size_t i, recent = 0;
    const char *latest = NULL;
    struct err e = {0};

    if (errors_ring_list(db, ERRORS_RING_MAX, &list, &e) != 0) {
        findings_add(d->findings, "recent errors", FINDING_FAILED, NULL, "%s", e.message);
        return;
    }
    json_array_foreach(list, i, entry) {
        int64_t at;

        if (clock_parse(json_string_value(json_object_get(entry, "ts")), &at) != 0 ||
            at < d->call->now - ERRORS_MS)
            continue;
        if (recent++ == 0)
            latest = json_string_value(json_object_get(entry, "message"));
    }
    if (recent == 0)
        findings_add(d->findings, "recent errors", FINDING_OK, NULL, "none in the last 24 hours");
    else
        findings_add(d->findings, "recent errors", FINDING_WARNING,
                     "GET /admin/agents/errors, or the view recent_error, lists them",
                     "%zu in the last 24 hours, the latest: %.300s", recent,
                     latest == NULL ? "" : latest);
    json_decref(list);
}

void doctor_store(struct doctor *d)
{
    const struct inspect inspect = {.depth = INSPECT_BRIEF, .found = found, .arg = d};
    enum inspect_state worst = INSPECT_FAILED;
    struct db *db = NULL;
    struct err e = {0};
    struct stat info;

    check_sqlite(d);
    if (stat(d->database, &info) != 0) {
        findings_add(d->findings, "database", FINDING_FAILED,
                     "agent-gateway makes it at its first start", "%s: %s", d->database,
                     strerror(errno));
        return;
    }
    check_gate(d);
    if (inspect_open(d->database, false, &db, &e) != 0 ||
        inspect_database(db, &inspect, &worst, &e) != 0) {
        findings_add(d->findings, "database", FINDING_FAILED, "agwctl db check tells more", "%s",
                     e.message);
    } else if (worst != INSPECT_FAILED) {
        findings_add(d->findings, "database", FINDING_OK, NULL, "%s can be read",
                     d->database);
        check_clock(d, db);
        check_audit(d, db);
        check_errors(d, db);
    }
    inspect_close(&db);
}

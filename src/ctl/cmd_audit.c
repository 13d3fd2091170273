/* SPDX-License-Identifier: MIT */
/* agwctl audit verify, agwctl audit head: proves the trail, and takes its head away. */
#include <inttypes.h>
#include <string.h>

#include "ctl/audit.h"
#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/output.h"
#include "store/audit_head.h"
#include "store/audit_verify.h"
#include "util/clock.h"

int audit_open(struct call *call, enum context_access access, struct store **store,
               struct db **db)
{
    struct err e;
    int status = context_store(call, access, store);

    if (status != CTL_FINE)
        return status;
    *db = store_acquire(*store, &e);
    return *db == NULL ? call_fail("the database: %s", e.message) : CTL_FINE;
}

void audit_show_progress(void *arg, int64_t done, int64_t of)
{
    struct progress *progress = arg;

    progress->total = of;
    progress_step(progress, done);
}

/* FILE or SEQ:HASH */
static int read_head(const char *text, struct audit_head *head)
{
    struct err e;

    if (audit_head_parse(text, head) == 0 || audit_head_read(text, head, &e) == 0)
        return CTL_FINE;
    return call_fail("%s", e.message);
}

static int read_check(struct call *call, struct audit_check *check, struct audit_head *known)
{
    const char *head = call_text(call, "head"), *since = call_text(call, "since-head");

    if (since != NULL && (head != NULL || call_text(call, "from") != NULL))
        return call_usage(call, "--since-head stands alone: it is --head and --from in one");
    check->from_seq = call_number(call, "from", 0);
    check->from_known = since != NULL;
    if (head == NULL && since == NULL)
        return CTL_FINE;
    check->known = known;
    return read_head(since != NULL ? since : head, known);
}

static int64_t rate(int64_t rows, int64_t us)
{
    return us <= 0 ? 0 : (int64_t)((double)rows * 1e6 / (double)us);
}

static void show_verdict(const struct call *call, const struct audit_verdict *v)
{
    char at[CLOCK_TEXT_SIZE];

    if (v->broken)
        output_styled(call->colour, STYLE_BAD, "Row %" PRId64 " does not hold: %s.", v->bad_seq,
                      v->problem);
    else if (v->checked == 0)
        output_line("There were no rows to check.");
    else
        output_styled(call->colour, STYLE_GOOD, "Rows %" PRId64 " to %" PRId64 " hold.",
                      v->first_seq, v->head.seq);
    if (!v->broken && v->known == AUDIT_KNOWN_PRESENT)
        output_line("The exported head is among them or before them, unchanged.");
    if (v->known == AUDIT_KNOWN_PRUNED)
        output_styled(call->colour, STYLE_BAD, "Nothing is proved by it: %s.", v->problem);
    if (v->anchor.seq > 0)
        output_line("Rows up to %" PRId64 " were removed in the open (announced %s).",
                    v->anchor.seq, clock_format(v->anchor.at, at));
    if (!v->broken && v->head.seq > 0)
        output_line("Head: %" PRId64 ":%s", v->head.seq, v->head.hash);
}

static int report(const struct call *call, const struct audit_verdict *v, int64_t us)
{
    int status = audit_verdict_ok(v) ? CTL_FINE : CTL_FINDING;
    json_t *document;

    if (!call->json) {
        show_verdict(call, v);
        return status;
    }
    document = audit_verdict_json(v);
    if (document != NULL &&
        (json_object_set_new(document, "elapsed_ms", json_integer(us / 1000)) != 0 ||
         json_object_set_new(document, "rows_per_second",
                             json_integer(rate(v->checked, us))) != 0)) {
        json_decref(document);
        document = NULL;
    }
    return call_json(document, status);
}

static int run_verify(struct call *call)
{
    struct progress progress;
    struct audit_check check = {.progress = audit_show_progress, .arg = &progress};
    struct audit_verdict verdict;
    struct audit_head known;
    struct store *store;
    struct db *db;
    struct err e;
    int64_t began;
    int status = read_check(call, &check, &known);

    if (status == CTL_FINE)
        status = audit_open(call, CONTEXT_READ, &store, &db);
    if (status != CTL_FINE)
        return status;
    began = clock_mono_us();
    progress_begin(&progress, "verifying", 0);
    status = audit_verify(db, &check, &verdict, &e);
    progress_end(&progress);
    store_release(store, db);
    if (status != 0)
        return call_fail("the trail cannot be read: %s", e.message);
    return report(call, &verdict, clock_mono_us() - began);
}

static int run_head(struct call *call)
{
    const char *path = call_text(call, "output");
    struct audit_head head;
    struct store *store;
    struct db *db;
    struct err e;
    char at[CLOCK_TEXT_SIZE];
    int status = audit_open(call, CONTEXT_READ, &store, &db);

    if (status != CTL_FINE)
        return status;
    status = audit_rows_head(db, &head, &e);
    store_release(store, db);
    if (status != 0)
        return call_fail("the trail cannot be read: %s", e.message);
    if (head.seq == 0) {
        call_warn("the trail is empty");
        return CTL_FINDING;
    }
    if (path != NULL && audit_head_write(path, &head, call->now, NULL, &e) != 0)
        return call_fail("%s", e.message);
    if (call->json)
        return call_json(json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)head.seq, "hash",
                                   head.hash, "at", clock_format(call->now, at)),
                         CTL_FINE);
    output_line("%" PRId64 " %s %s", head.seq, head.hash, clock_format(call->now, at));
    return CTL_FINE;
}

static const struct command_option verify_options[] = {
    {"from", VALUE_NUMBER, "SEQ", "begin with the row SEQ", false, 1, INT64_MAX},
    {"head", VALUE_FILE, "HEAD", "the exported head HEAD (a file, or SEQ:HASH) must be in it",
     false, 0, 0},
    {"since-head", VALUE_FILE, "HEAD", "the same, and begin with that row", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_audit_verify = {
    .group = "audit",
    .name = "verify",
    .summary = "Walk the hash chain and name the first row that does not hold",
    .options = verify_options,
    .run = run_verify,
};

static const struct command_option head_options[] = {
    {"output", VALUE_FILE, "FILE", "write it to FILE too, whole or not at all", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_audit_head = {
    .group = "audit",
    .name = "head",
    .summary = "Print seq and hash of the newest row, to be kept elsewhere",
    .options = head_options,
    .run = run_head,
};

/* SPDX-License-Identifier: MIT */
/* agwctl audit prune: takes old rows off the trail's beginning, in the open. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/audit.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "ctl/when.h"
#include "store/audit_prune.h"
#include "util/clock.h"

enum { ANSWER_SIZE = 16, AGE_SIZE = 64 };

/* --before TIME, or --keep AGE ("90d"): what is older than now - AGE. */
static int read_before(const struct call *call, int64_t *before)
{
    const char *keep = call_text(call, "keep");
    char age[AGE_SIZE];

    if ((keep == NULL) == (call_text(call, "before") == NULL))
        return call_usage(call, "either --before TIME or --keep AGE says what is old");
    *before = call_time(call, "before", 0);
    if (keep == NULL)
        return CTL_FINE;
    if (keep[0] < '0' || keep[0] > '9' ||
        snprintf(age, sizeof age, "-%s", keep) >= (int)sizeof age ||
        when_parse(age, call->now, before) != 0)
        return call_usage(call, "--keep takes an age like 90d or 12w, not '%.100s'", keep);
    return CTL_FINE;
}

static void show_plan(const struct audit_pruned *p, int64_t before, const char *verb)
{
    char at[CLOCK_TEXT_SIZE];

    if (p->rows == 0)
        output_line("No row at the beginning of the trail is older than %s.",
                    clock_format(before, at));
    else
        output_line("%s %" PRId64 " rows: %" PRId64 " to %" PRId64 ", older than %s.", verb,
                    p->rows, p->first_seq, p->through.seq, clock_format(before, at));
    if (p->kept_for != NULL)
        output_line("Rows from %" PRId64 " on stay: that is %s.",
                    p->through.seq == 0 ? p->first_seq : p->through.seq + 1, p->kept_for);
}

static int report(const struct call *call, const struct audit_pruned *p, int64_t before,
                  bool dry_run)
{
    char at[CLOCK_TEXT_SIZE];

    if (call->json)
        return call_json(
            json_pack("{s:s, s:b, s:I, s:I, s:o, s:o, s:s?, s:I}", "before",
                      clock_format(before, at), "dry_run", dry_run, "rows",
                      (json_int_t)p->rows, "removed", (json_int_t)p->removed, "first_seq",
                      p->rows == 0 ? json_null() : json_integer(p->first_seq), "anchor",
                      p->rows == 0 ? json_null()
                                   : json_pack("{s:I, s:s}", "seq", (json_int_t)p->through.seq,
                                               "hash", p->through.hash),
                      "kept_for", p->kept_for, "longest_gate_ms", (json_int_t)p->longest_ms),
            CTL_FINE);
    show_plan(p, before, dry_run ? "Would remove" : "Removed");
    if (!dry_run && p->rows > 0)
        output_line("The chain now begins behind %" PRId64 ":%s", p->through.seq,
                    p->through.hash);
    return CTL_FINE;
}

static int prune(struct store *store, const struct audit_prune *order,
                 struct audit_pruned *result)
{
    struct err e;
    int status = audit_prune(store, order, result, &e);

    if (status == 0)
        return CTL_FINE;
    call_fail("%s%s", result->removed > 0 ? "not all was removed; run it again: " : "",
              e.message);
    return result->verdict.broken ? CTL_FINDING : status == AGW_EINVALID ? CTL_USAGE : CTL_FAILED;
}

/* On a terminal the question shows the plan first; elsewhere --yes must be given. */
static int confirm(struct call *call, struct store *store, struct audit_prune order)
{
    char answer[ANSWER_SIZE] = "";
    struct audit_pruned plan;
    int status;

    if (call_flag(call, "yes"))
        return CTL_FINE;
    if (isatty(STDIN_FILENO) != 1)
        return call_usage(call, "removing rows needs --yes (--dry-run shows what would go)");
    order.dry_run = true;
    order.verified = NULL;
    status = prune(store, &order, &plan);
    if (status != CTL_FINE)
        return status;
    show_plan(&plan, order.before, "This removes");
    if (plan.rows == 0)
        return CTL_FINE;
    fputs("They cannot be brought back. Remove them? [y/N] ", stderr);
    if (fgets(answer, sizeof answer, stdin) != NULL &&
        (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
        return CTL_FINE;
    call_warn("nothing was removed");
    return CTL_FINDING;
}

static int run(struct call *call)
{
    struct progress verifying, removing;
    struct audit_prune order = {.by = context_actor(), .dry_run = call_flag(call, "dry-run"),
                                .verified = audit_show_progress,
                                .removed = audit_show_progress};
    struct audit_pruned result;
    struct store *store;
    int status = read_before(call, &order.before);

    if (status == CTL_FINE)
        status = context_store(call, order.dry_run ? CONTEXT_READ : CONTEXT_WRITE, &store);
    if (status == CTL_FINE && !order.dry_run)
        status = confirm(call, store, order);
    if (status != CTL_FINE)
        return status;
    progress_begin(&verifying, "verifying", 0);
    progress_begin(&removing, "removing", 0);
    order.verified_arg = &verifying;
    order.removed_arg = &removing;
    status = prune(store, &order, &result);
    progress_end(&verifying);
    progress_end(&removing);
    return status == CTL_FINE ? report(call, &result, order.before, order.dry_run) : status;
}

static const struct command_option options[] = {
    {"before", VALUE_TIME, "TIME", "remove what is older than TIME", false, 0, 0},
    {"keep", VALUE_TEXT, "AGE", "remove what is older than AGE, as in 90d", false, 0, 0},
    {"dry-run", VALUE_NONE, NULL, "only show what would be removed", false, 0, 0},
    {"yes", VALUE_NONE, NULL, "do not ask", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_audit_prune = {
    .group = "audit",
    .name = "prune",
    .summary = "Remove the oldest rows of the trail, so that it still verifies",
    .options = options,
    .run = run,
};

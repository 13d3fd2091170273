/* SPDX-License-Identifier: MIT */
/* agwctl audit nightly: the report that cron, a timer or CI asks for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/audit.h"
#include "ctl/commands.h"
#include "ctl/hook.h"
#include "ctl/nightly_text.h"
#include "ctl/output.h"
#include "ctl/nightly.h"
#include "store/metrics.h"
#include "util/json_memory.h"

enum { DAY_MS = 86400000, PATH_SIZE = 4096, REPORT_MAX = 64 << 20 };

/* What it looks at; each may be missing, which is a finding. */
static void open_configuration(struct call *call, struct nightly_order *order)
{
    if (context_config(call, &order->config, &order->sources) != CTL_FINE) {
        order->config = NULL;
        order->sources = NULL;
        order->config_problem = "agwctl config check shows its errors.";
    }
}

/* For writing where that is allowed: the counters can then be read, too. */
static void open_database(struct call *call, struct nightly_order *order)
{
    struct err e;
    bool writes;

    if (context_database(call, &order->database) != CTL_FINE) {
        order->database = NULL;
        order->database_problem = "it is not known which one it is.";
        return;
    }
    if (access(order->database, F_OK) != 0)
        return;
    writes = access(order->database, W_OK) == 0;
    if (context_store(call, writes ? CONTEXT_WRITE : CONTEXT_READ, &order->store) != CTL_FINE) {
        order->store = NULL;
        order->database_problem = "it cannot be opened: standard error has said why.";
        return;
    }
    order->counters = writes && metrics_open(order->store, &e) == 0;
}

/* DATABASE.nightly unless it is said; "" when there is neither. */
static int find_state(const struct call *call, const struct nightly_order *order,
                      char path[PATH_SIZE])
{
    const char *given = call_text(call, "state");
    int n = given != NULL ? snprintf(path, PATH_SIZE, "%s", given)
            : order->database != NULL ? snprintf(path, PATH_SIZE, "%s.nightly", order->database)
                                      : snprintf(path, PATH_SIZE, "%s", "");

    return n < PATH_SIZE ? CTL_FINE : call_fail("the name of the state file is too long");
}

static int read_state(const char *path, struct nightly_state *state,
                      struct nightly_order *order)
{
    struct err e;
    int status = path[0] == '\0' ? AGW_ENOTFOUND : nightly_state_read(path, state, &e);

    if (status == 0)
        order->last = state;
    return status == 0 || status == AGW_ENOTFOUND
               ? CTL_FINE
               : call_fail("%s; move it away to begin anew", e.message);
}

static int give_to_hook(struct call *call, const struct nightly_result *result)
{
    const char *command = call_text(call, "hook");
    struct buf text;
    char *json;
    int status;

    if (command == NULL || (result->healthy && !call_flag(call, "hook-always")))
        return CTL_FINE;
    buf_init(&text, REPORT_MAX);
    if (call_flag(call, "hook-text")) {
        nightly_text(result->report, false, &text);
    } else {
        json = json_dumps(result->report, JSON_INDENT(2));
        buf_puts(&text, json == NULL ? "" : json);
        buf_puts(&text, "\n");
        text.failed |= json == NULL;
        json_memory_free(json);
    }
    status = text.failed ? call_fail("out of memory") : hook_run(command, buf_text(&text));
    buf_free(&text);
    return status;
}

static int show(struct call *call, const struct nightly_result *result)
{
    struct buf text;
    int status = CTL_FINE;

    if (!call_flag(call, "text"))
        return call_json(json_incref(result->report), CTL_FINE);
    buf_init(&text, REPORT_MAX);
    nightly_text(result->report, call->colour, &text);
    if (text.failed)
        status = call_fail("out of memory");
    else
        fputs(buf_text(&text), stdout);
    buf_free(&text);
    return status;
}

/* The report goes out first: what fails afterwards must not hide it. */
static int deliver(struct call *call, const struct nightly_order *order,
                   const struct nightly_result *result, const char *state)
{
    struct err e;
    int status = show(call, result), hook;

    (void)fflush(stdout); /* main() asks at the end how it went */
    hook = give_to_hook(call, result);
    if (status == CTL_FINE)
        status = hook;
    if (result->proved && state[0] != '\0' && !call_flag(call, "keep-state") &&
        nightly_state_write(state, &result->next, order->now, &e) != 0)
        status = call_fail("%s", e.message);
    if (status != CTL_FINE)
        return status;
    return result->healthy ? CTL_FINE : CTL_FINDING;
}

static int run(struct call *call)
{
    struct progress progress;
    struct nightly_order order = {.full = call_flag(call, "full"), .now = call->now,
                                  .since = call_time(call, "since", call->now - DAY_MS),
                                  .progress = audit_show_progress, .arg = &progress};
    struct nightly_result result;
    struct nightly_state last;
    char state[PATH_SIZE];
    struct err e;
    int status;

    if (call->json && call_flag(call, "text"))
        return call_usage(call, "either --json or --text");
    open_configuration(call, &order);
    open_database(call, &order);
    status = find_state(call, &order, state);
    if (status == CTL_FINE)
        status = read_state(state, &last, &order);
    if (status == CTL_FINE) {
        progress_begin(&progress, "verifying", 0);
        status = nightly_audit(&order, &result, &e);
        progress_end(&progress);
        status = status != 0 ? call_fail("%s", e.message)
                             : deliver(call, &order, &result, state);
        json_decref(result.report);
    }
    if (order.counters)
        metrics_close();
    return status;
}

static const struct command_option options[] = {
    {"since", VALUE_TIME, "TIME", "report denials, overrides and crashes since TIME (default -24h)",
     false, 0, 0},
    {"full", VALUE_NONE, NULL, "verify the whole chain, and every index of the database", false, 0,
     0},
    {"state", VALUE_FILE, "FILE", "where the verified head is kept (default DATABASE.nightly)",
     false, 0, 0},
    {"keep-state", VALUE_NONE, NULL, "do not change that file", false, 0, 0},
    {"text", VALUE_NONE, NULL, "print a summary to read instead of JSON", false, 0, 0},
    {"hook", VALUE_TEXT, "COMMAND", "give the report to COMMAND if something was found", false, 0,
     0},
    {"hook-text", VALUE_NONE, NULL, "give it the summary instead of JSON", false, 0, 0},
    {"hook-always", VALUE_NONE, NULL, "run the hook even if nothing was found", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_audit_nightly = {
    .group = "audit",
    .name = "nightly",
    .summary = "Look at keys, grants, denials, the trail and the database; report findings",
    .options = options,
    .run = run,
};

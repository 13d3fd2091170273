/* SPDX-License-Identifier: MIT */
/* agwctl audit query: the trail's rows, newest first. */
#include <inttypes.h>
#include <string.h>

#include "ctl/audit.h"
#include "ctl/commands.h"
#include "ctl/table.h"
#include "store/audit_rows.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MOST = 10000000, PAGE_ROWS = 1000 };

static const struct table_column columns[] = {
    {"SEQ", true},     {"TIME", false},    {"KIND", false},   {"KEY", false},
    {"AGENT", false},  {"DECISION", false}, {"RULE", false},  {"OUTCOME", false},
    {"STATUS", true},  {"MS", true},        {"REQUEST", false}, {NULL, false},
};

static void read_query(const struct call *call, struct audit_query *q)
{
    *q = (struct audit_query){
        .since = call_time(call, "since", 0), .until = call_time(call, "until", 0),
        .key_id = call_text(call, "key"), .agent = call_text(call, "agent"),
        .kind = call_text(call, "kind"), .decision = call_text(call, "decision"),
        .outcome = call_text(call, "outcome"), .request_id = call_text(call, "request"),
        .before_seq = call_number(call, "before", 0)};
}

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static void number_cell(struct table *table, const json_t *row, const char *name)
{
    const json_t *number = json_object_get(row, name);

    if (json_is_integer(number))
        table_number(table, json_integer_value(number));
    else
        table_text(table, STYLE_FAINT, NULL);
}

static enum output_style style_of(const char *decision, const char *outcome)
{
    if (outcome != NULL)
        return strcmp(outcome, "completed") == 0 ? STYLE_GOOD : STYLE_WARNING;
    return decision != NULL && strcmp(decision, "deny") == 0 ? STYLE_WARNING : STYLE_PLAIN;
}

static void add_row(struct table *table, const json_t *row)
{
    const char *decision = text_of(row, "decision"), *outcome = text_of(row, "outcome");
    const char *source = text_of(row, "source"), *pattern = text_of(row, "pattern");

    number_cell(table, row, "seq");
    table_text(table, STYLE_PLAIN, text_of(row, "ts"));
    table_text(table, STYLE_PLAIN, text_of(row, "kind"));
    table_text(table, STYLE_PLAIN, text_of(row, "key_id"));
    table_text(table, STYLE_PLAIN, text_of(row, "agent"));
    table_text(table, style_of(decision, NULL), decision);
    if (source != NULL || pattern != NULL)
        table_cell(table, STYLE_PLAIN, "%s%s%s", source == NULL ? "" : source,
                   source == NULL || pattern == NULL ? "" : " ", pattern == NULL ? "" : pattern);
    else
        table_text(table, STYLE_PLAIN, NULL);
    table_text(table, style_of(NULL, outcome), outcome);
    number_cell(table, row, "status");
    number_cell(table, row, "duration_ms");
    table_text(table, STYLE_FAINT, text_of(row, "request_id"));
}

/* The rows of one page go to the table, or out as lines. */
static int show_page(json_t *rows, struct table *table)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row) {
        if (table != NULL)
            add_row(table, row);
        else if (output_json_line(json_incref(row)) != 0)
            return CTL_FAILED;
    }
    return CTL_FINE;
}

static int show_all(struct db *db, struct audit_query *q, int64_t limit, struct table *table)
{
    int status = CTL_FINE;

    while (limit > 0 && status == CTL_FINE) {
        json_t *rows;
        struct err e;
        size_t count;

        q->limit = limit < PAGE_ROWS ? (int)limit : PAGE_ROWS;
        if (audit_rows_query(db, q, &rows, &e) != 0)
            return call_fail("the trail cannot be read: %s", e.message);
        count = json_array_size(rows);
        status = show_page(rows, table);
        if (count > 0)
            q->before_seq = json_integer_value(
                json_object_get(json_array_get(rows, count - 1), "seq"));
        json_decref(rows);
        if (count < (size_t)q->limit)
            break;
        limit -= (int64_t)count;
    }
    return status;
}

static int run(struct call *call)
{
    int64_t limit = call_number(call, "limit", LIMIT_DEFAULT);
    struct table *table = NULL;
    struct audit_query query;
    struct store *store;
    struct db *db;
    size_t rows;
    int status = audit_open(call, CONTEXT_READ, &store, &db);

    if (status != CTL_FINE)
        return status;
    read_query(call, &query);
    if (!call->json)
        table = table_new(columns);
    status = show_all(db, &query, limit, call->json ? NULL : table);
    store_release(store, db);
    if (status != CTL_FINE || call->json) {
        table_free(&table);
        return status;
    }
    rows = table_rows(table);
    if (table_print(&table, call->colour, "No rows.") != 0)
        return call_fail("out of memory");
    if ((int64_t)rows == limit)
        output_line("There may be more: --before %" PRId64 " shows the next.", query.before_seq);
    return CTL_FINE;
}

static const struct command_option options[] = {
    COMMAND_SINCE,
    COMMAND_UNTIL,
    COMMAND_KEY,
    COMMAND_AGENT,
    {"kind", VALUE_TEXT, "KIND", "only rows of this kind, as decision, end or refusal", false, 0, 0},
    {"decision", VALUE_TEXT, "DECISION", "only allow, or only deny", false, 0, 0},
    {"outcome", VALUE_TEXT, "OUTCOME", "only this outcome, as completed, denied or timeout", false,
     0, 0},
    {"request", VALUE_TEXT, "ID", "only the request with this x-request-id", false, 0, 0},
    {"before", VALUE_NUMBER, "SEQ", "only what comes behind the row SEQ: the next page", false, 1,
     INT64_MAX},
    COMMAND_LIMIT(LIMIT_MOST),
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_audit_query = {
    .group = "audit",
    .name = "query",
    .summary = "Show rows of the audit trail, newest first; with --json a row a line",
    .options = options,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/* Makes an audited decision again, and says whether it comes out the same. */
#include <string.h>

#include "ctl/explain.h"
#include "store/audit_rows.h"
#include "util/clock.h"

enum { ROWS_MAX = 1000, SLACK_MS = 5 };

static const char *text_of(const json_t *row, const char *column)
{
    return json_string_value(json_object_get(row, column));
}

static int64_t number_of(const json_t *row, const char *column)
{
    return json_integer_value(json_object_get(row, column));
}

static bool same(const json_t *a, const char *name, const json_t *b, const char *other)
{
    const char *left = text_of(a, name), *right = text_of(b, other);

    return (left == NULL) == (right == NULL) && (left == NULL || strcmp(left, right) == 0);
}

/* The newest decision about a request; previews ask, and decide nothing. */
static const json_t *find_decision(const json_t *rows)
{
    size_t i;
    json_t *row;

    json_array_foreach((json_t *)rows, i, row)
    {
        const char *kind = text_of(row, "kind");

        if (kind != NULL && text_of(row, "decision") != NULL && text_of(row, "key_id") != NULL &&
            text_of(row, "agent") != NULL &&
            (strcmp(kind, "decision") == 0 || strcmp(kind, "refusal") == 0))
            return row;
    }
    return NULL;
}

static int64_t time_of(const json_t *row)
{
    int64_t ms = 0;

    (void)clock_parse(text_of(row, "ts") == NULL ? "" : text_of(row, "ts"), &ms);
    return ms;
}

/* When the request began, at the earliest: from then on it held on to one policy. */
static int64_t begin_of(const json_t *rows, const json_t *decision)
{
    int64_t begin = time_of(decision);
    size_t i;
    json_t *row;

    json_array_foreach((json_t *)rows, i, row)
        if (text_of(row, "outcome") != NULL && same(row, "request_uid", decision, "request_uid") &&
            time_of(row) - number_of(row, "duration_ms") - SLACK_MS < begin)
            begin = time_of(row) - number_of(row, "duration_ms") - SLACK_MS;
    return begin;
}

static bool is_reproduced(const json_t *document, const json_t *row)
{
    return same(document, "decision", row, "decision") && same(document, "source", row, "source") &&
           same(document, "pattern", row, "pattern") && same(document, "rule", row, "place");
}

/* A change while the request was under way: what was it decided by right before it? 1 = by the
 * same, *document is that; 0 = otherwise. */
static int try_before(struct past *past, const struct explain_question *question, int64_t begin,
                      int64_t change, const json_t *row, json_t **document)
{
    struct explain_question q = *question;
    json_t *other;

    q.moment.at = change - 1;
    if (change <= begin || change > question->moment.at)
        return 0;
    if (explain_document(past, &q, &other) != CTL_FINE)
        return 0;
    if (!is_reproduced(other, row)) {
        json_decref(other);
        return 0;
    }
    json_object_set_new(other, "note",
                        json_string("grants or keys changed while the request was under way; it "
                                    "was decided by those of its beginning"));
    json_decref(*document);
    *document = other;
    return 1;
}

/* A request holds on to the policy of its beginning, whatever changes until it is decided. */
static void try_changes(struct past *past, const struct explain_question *q, int64_t begin,
                        const json_t *row, json_t **document)
{
    const struct override_list *overrides = history_overrides(past->history);
    const struct key_list *keys = history_keys(past->history);
    int found = 0;

    for (size_t i = 0; i < overrides->count && found == 0; i++) {
        const struct override *o = &overrides->items[i];

        found = try_before(past, q, begin, o->created_at, row, document) ||
                try_before(past, q, begin, o->revoked_at, row, document) ||
                try_before(past, q, begin, o->used_up_at, row, document);
    }
    for (size_t i = 0; i < keys->count && found == 0; i++) {
        const struct key_record *k = &keys->items[i];

        found = try_before(past, q, begin, k->revoked_at, row, document) ||
                try_before(past, q, begin, k->row.expires_at, row, document);
    }
}

static json_t *recorded_json(const json_t *row)
{
    static const char *const columns[] = {"seq", "ts", "kind", "request_id", "request_uid",
                                          "decision", "source", "pattern", "place",
                                          "override_id", "generation"};
    json_t *recorded = json_object();

    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        json_object_set(recorded, columns[i], json_object_get(row, columns[i]));
    return recorded;
}

static int make_again(struct past *past, const json_t *rows, const json_t *row,
                      json_t **document)
{
    const char *text = text_of(row, "detail");
    json_t *detail = text == NULL ? NULL : json_loads(text, 0, NULL);
    struct explain_question q = {
        .key_id = text_of(row, "key_id"),
        .agent = text_of(row, "agent"),
        .moment = {time_of(row), number_of(row, "generation"), number_of(row, "seq"),
                   json_object_get(detail, "used_up")}};
    bool reproduced;
    int status = explain_document(past, &q, document);

    if (status == CTL_FINE && !is_reproduced(*document, row))
        try_changes(past, &q, begin_of(rows, row), row, document);
    json_decref(detail);
    if (status != CTL_FINE)
        return status;
    reproduced = is_reproduced(*document, row);
    json_object_set_new(*document, "recorded", recorded_json(row));
    json_object_set_new(*document, "reproduced", json_boolean(reproduced));
    return reproduced ? CTL_FINE : CTL_FINDING;
}

int explain_audited(struct past *past, const char *request_id, json_t **document)
{
    struct audit_query query = {.request_id = request_id, .limit = ROWS_MAX};
    const json_t *row;
    json_t *rows;
    struct err e;
    int status;

    *document = NULL;
    if (past->db == NULL)
        return call_fail("there is no database, so no request is on record");
    if (audit_rows_query(past->db, &query, &rows, &e) != 0)
        return call_fail("%s", e.message);
    row = find_decision(rows);
    status = row == NULL ? call_fail("the audit trail has no decision about a request '%s'",
                                     request_id)
                         : make_again(past, rows, row, document);
    json_decref(rows);
    return status;
}

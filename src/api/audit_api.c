/* SPDX-License-Identifier: MIT */
/* Lets auditors read the trail and prove it whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "store/audit_head.h"
#include "store/audit_verify.h"
#include "util/clock.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

static int query_time(struct exchange *x, const char *name, int64_t *ms)
{
    const char *text = request_query(&x->request, name);

    *ms = 0;
    if (text == NULL || clock_parse(text, ms) == 0)
        return 0;
    return err_set_public(&x->err, AGW_EINVALID, name,
                          "'%s' must be a time like 2026-01-31T12:00:00Z.", name);
}

static int query_integer(struct exchange *x, const char *name, int64_t min, int64_t max,
                         int64_t fallback, int64_t *number)
{
    const char *text = request_query(&x->request, name);
    char *end;

    *number = fallback;
    if (text == NULL)
        return 0;
    errno = 0;
    *number = strtoll(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && *number >= min && *number <= max)
        return 0;
    return err_set_public(&x->err, AGW_EINVALID, name, "'%s' must be between %lld and %lld.",
                          name, (long long)min, (long long)max);
}

static int read_query(struct exchange *x, struct audit_query *q)
{
    int64_t limit;

    if (query_time(x, "since", &q->since) != 0 || query_time(x, "until", &q->until) != 0 ||
        query_integer(x, "before", 1, INT64_MAX, 0, &q->before_seq) != 0 ||
        query_integer(x, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit) != 0)
        return AGW_EINVALID;
    q->limit = (int)limit;
    q->key_id = request_query(&x->request, "key_id");
    q->agent = request_query(&x->request, "agent");
    q->kind = request_query(&x->request, "kind");
    q->decision = request_query(&x->request, "decision");
    q->outcome = request_query(&x->request, "outcome");
    q->request_id = request_query(&x->request, "request_id");
    return 0;
}

int audit_api_query(struct exchange *x)
{
    struct audit_query query = {0};
    json_t *rows = NULL;
    struct db *db;
    int status = read_query(x, &query);

    if (status != 0)
        return status;
    db = store_acquire(x->api->store, &x->err);
    if (db == NULL)
        return AGW_ESTORE;
    status = audit_rows_query(db, &query, &rows, &x->err);
    store_release(x->api->store, db);
    if (status != 0)
        return status;
    x->answer.json = json_pack("{s:o}", "events", rows);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "audit") : 0;
}

/* ?from=SEQ begins there; ?head=SEQ:HASH must be in the trail; ?since_head=SEQ:HASH too, and
 * it begins there. */
static int read_check(struct exchange *x, struct audit_check *check, struct audit_head *known)
{
    const char *head = request_query(&x->request, "head");
    const char *since = request_query(&x->request, "since_head");
    int status = query_integer(x, "from", 1, INT64_MAX, 0, &check->from_seq);

    if (status != 0 || (head == NULL && since == NULL))
        return status;
    if (audit_head_parse(since == NULL ? head : since, known) != 0)
        return err_set_public(&x->err, AGW_EINVALID, since == NULL ? "head" : "since_head",
                              "A head is written 'seq:hash', as in 17:9f86d081...");
    check->known = known;
    check->from_known = since != NULL;
    return 0;
}

int audit_api_verify(struct exchange *x)
{
    struct audit_verdict verdict = {0};
    struct audit_check check = {0};
    struct audit_head known;
    struct db *db;
    int status = read_check(x, &check, &known);

    if (status != 0)
        return status;
    db = store_acquire(x->api->store, &x->err);
    if (db == NULL)
        return AGW_ESTORE;
    status = audit_verify(db, &check, &verdict, &x->err);
    store_release(x->api->store, db);
    if (status != 0)
        return status;
    x->answer.json = audit_verdict_json(&verdict);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "verdict") : 0;
}

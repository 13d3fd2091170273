/* SPDX-License-Identifier: MIT */
/* Grants access for a while, shows such grants, takes them back. */
#include <string.h>

#include "api/derive.h"
#include "api/handlers.h"
#include "api/json_values.h"
#include "api/outcome.h"
#include "api/override_terms.h"
#include "policy/budget.h"
#include "util/log.h"

static void log_override(const struct exchange *x, const char *event, const struct override *o)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, event);
    log_str(&line, "request_id", x->request.id);
    override_terms_log(&line, o);
    log_str(&line, "by", x->key->id);
    log_end(&line);
}

int overrides_api_create(struct exchange *x)
{
    int64_t now = store_now(x->api->store);
    struct override o;
    struct audit_row row;
    int status = override_terms_read(x->body, x->policy, context_catalog(x), now, &o,
                                     &x->err);

    if (status != 0)
        return status;
    o.created_by = (char *)x->key->id;
    outcome_row(x, "override.created", &row);
    row.agent = o.pattern;
    row.reason = o.reason;
    status = overrides_create(x->api->store, &o, &row, &x->err);
    if (status != 0)
        return status;
    log_override(x, "agent.security.override.created", &o);
    x->answer.json = json_values_override(&o, now);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "override") : 0;
}

/* Uses that were taken just now are not in the trail yet. */
static void count_uses(struct exchange *x, struct override *o)
{
    int64_t taken = budget_uses(x->api->tally, o);

    if (taken > o->uses)
        o->uses = taken;
}

int overrides_api_list(struct exchange *x)
{
    struct override_list list = {0};
    struct db *db = store_acquire(x->api->store, &x->err);
    const char *all = request_query(&x->request, "all");
    int64_t now = store_now(x->api->store);
    json_t *overrides = json_array();
    int status = AGW_ESTORE;

    if (db != NULL) {
        status = overrides_list(db, now, all != NULL && strcmp(all, "true") == 0, &list,
                                &x->err);
        if (status == 0)
            status = overrides_count_uses(db, &list, &x->err);
        store_release(x->api->store, db);
    }
    for (size_t i = 0; i < list.count; i++) {
        count_uses(x, &list.items[i]);
        json_array_append_new(overrides, json_values_override(&list.items[i], now));
    }
    override_list_clear(&list);
    x->answer.json = json_pack("{s:o}", "overrides", overrides);
    return status;
}

int overrides_api_revoke(struct exchange *x)
{
    struct override revoked = {0};
    struct audit_row row;
    int status;

    if (x->object_id == NULL)
        return err_set_public(&x->err, AGW_ENOTFOUND, NULL, "Name the override to revoke.");
    outcome_row(x, "override.revoked", &row);
    status = overrides_revoke(x->api->store, x->object_id, x->key->id, &row, &revoked, &x->err);
    if (status == AGW_ENOTFOUND)
        return err_set_public(&x->err, status, NULL, "There is no active override '%.40s'.",
                              x->object_id);
    if (status != 0)
        return status;
    count_uses(x, &revoked);
    log_override(x, "agent.security.override.revoked", &revoked);
    x->answer.json = json_values_override(&revoked, store_now(x->api->store));
    override_clear(&revoked);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "override") : 0;
}

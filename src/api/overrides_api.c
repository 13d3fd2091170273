/* SPDX-License-Identifier: MIT */
/* Grants access for a while, shows such grants, takes them back. */
#include <string.h>

#include "api/derive.h"
#include "api/fields.h"
#include "api/handlers.h"
#include "api/json_values.h"
#include "api/outcome.h"
#include "policy/budget.h"
#include "util/clock.h"
#include "util/glob.h"
#include "util/log.h"
#include "util/secret.h"

enum { REASON_MAX = 500, TICKET_MAX = 100, USES_MAX = 1000000 };

static const struct field create_fields[] = {
    {"agent", FIELD_TEXT, true, 1, GLOB_MAX},
    {"ttl_seconds", FIELD_INTEGER, true, 0, 0},
    {"reason", FIELD_TEXT, false, 0, REASON_MAX},
    {"key_id", FIELD_TEXT, false, 1, 128},
    {"ticket", FIELD_TEXT, false, 1, TICKET_MAX},
    {"max_uses", FIELD_INTEGER, false, 1, USES_MAX},
};

static bool is_glob(const char *pattern)
{
    return strpbrk(pattern, "*?[") != NULL;
}

/* A bare agent name is spelled out, so that the stored pattern matches its full id. */
static int resolve_pattern(struct exchange *x, const char **pattern)
{
    const char *given = fields_text(x->body, "agent");
    const char *problem = glob_problem(given);
    const struct catalog_agent *agent;

    *pattern = given;
    if (problem != NULL)
        return err_set_public(&x->err, AGW_EINVALID, "agent", "'agent': %s.", problem);
    if (is_glob(given) || strchr(given, '/') != NULL)
        return 0;
    agent = catalog_find(derive_catalog(x->policy), given);
    if (agent == NULL)
        return err_set_public(&x->err, AGW_EINVALID, "agent",
                              "There is no single agent '%.100s'; write namespace/name.", given);
    *pattern = agent->spec->id;
    return 0;
}

static int check_create(struct exchange *x, struct override *o)
{
    const struct config_security *security = &x->policy->config->security;
    int64_t ttl;

    if (fields_check(x->body, create_fields, sizeof create_fields / sizeof create_fields[0],
                     true, &x->err) != 0 ||
        resolve_pattern(x, (const char **)&o->pattern) != 0)
        return AGW_EINVALID;
    ttl = fields_integer(x->body, "ttl_seconds", 0);
    if (ttl < 1 || ttl > security->override_max_ttl_s)
        return err_set_public(&x->err, AGW_EINVALID, "ttl_seconds",
                              "'ttl_seconds' must be between 1 and %lld.",
                              (long long)security->override_max_ttl_s);
    o->reason = (char *)fields_text(x->body, "reason");
    if (security->override_require_reason && (o->reason == NULL || o->reason[0] == '\0'))
        return err_set_public(&x->err, AGW_EINVALID, "reason", "'reason' is required.");
    o->key_id = (char *)fields_text(x->body, "key_id");
    if (o->key_id != NULL && policy_find_key(x->policy, o->key_id) == NULL)
        return err_set_public(&x->err, AGW_EINVALID, "key_id", "There is no key '%.100s'.",
                              o->key_id);
    o->ticket = (char *)fields_text(x->body, "ticket");
    o->max_uses = fields_integer(x->body, "max_uses", 0);
    o->created_by = (char *)x->key->id;
    o->created_at = store_now(x->api->store);
    o->expires_at = o->created_at + ttl * 1000;
    return 0;
}

static void log_override(const struct exchange *x, const char *event, const struct override *o)
{
    char expires[CLOCK_TEXT_SIZE];
    struct log_line line;

    log_begin(&line, LOG_INFO, event);
    log_str(&line, "request_id", x->request.id);
    log_str(&line, "override_id", o->id);
    log_str(&line, "agent", o->pattern);
    log_str(&line, "key_id", o->key_id);
    log_str(&line, "reason", o->reason);
    log_str(&line, "ticket", o->ticket);
    if (o->max_uses > 0)
        log_int(&line, "max_uses", o->max_uses);
    log_str(&line, "expires_at", clock_format(o->expires_at, expires));
    log_str(&line, "by", x->key->id);
    log_end(&line);
}

int overrides_api_create(struct exchange *x)
{
    struct override o = {0};
    struct audit_row row;
    char hex[17];
    int status = check_create(x, &o);

    if (status != 0)
        return status;
    if (secret_random_hex(hex, 8) != 0)
        return err_set(&x->err, AGW_EINTERNAL, "no randomness");
    snprintf(o.id, sizeof o.id, "ovr_%s", hex);
    outcome_row(x, "override.created", &row);
    row.agent = o.pattern;
    row.reason = o.reason;
    status = overrides_create(x->api->store, &o, &row, &x->err);
    if (status != 0)
        return status;
    log_override(x, "agent.security.override.created", &o);
    x->answer.json = json_values_override(&o, store_now(x->api->store));
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

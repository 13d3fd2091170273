/* SPDX-License-Identifier: MIT */
/* Does the chores between requests. */
#include "api/housekeeping.h"

#include <malloc.h>

#include "api/derive.h"
#include "api/override_terms.h"
#include "store/keys.h"
#include "policy/budget.h"
#include "util/clock.h"
#include "util/log.h"

enum { HEALTH_EVERY_MS = 1000, USES_EVERY_MS = 5000, TRIM_EVERY_MS = 60000 };
static const int64_t day_ms = 86400000, warn_ms = CONFIG_EXPIRING_DAYS * 86400000LL;

static void complain(const char *what, const struct err *e)
{
    log_message(LOG_ERROR, "store.failed", "%s: %s", what, e->message);
}

static void log_ended(const char *event, const struct override *o)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, event);
    override_terms_log(&line, o);
    log_end(&line);
}

static struct audit_row plain_row(struct api *api, const char *kind)
{
    struct audit_row row = audit_row_new(store_now(api->store), kind);

    row.process = audit_process();
    return row;
}

/* A trail that failed proves itself with its next row. Without traffic (a load balancer may
 * have believed /ready) there would be none, so we write one; it marks the gap's end. */
static void revive_audit(struct api *api)
{
    struct audit_row row = plain_row(api, "audit.resumed");
    struct audit_ticket *ticket = NULL; /* so that one that fails is not kept: the next will do */
    struct err problem;

    if (!audit_healthy(api->audit) && audit_close(api->audit, &row, &ticket, &problem) != 0)
        complain("audit", &problem);
    audit_release(&ticket);
}

static void expire_overrides(struct api *api)
{
    struct override_list expired = {0};
    struct audit_row row = plain_row(api, "override.expired");
    struct err problem;

    if (overrides_expire(api->store, &row, &expired, &problem) != 0)
        complain("expiring overrides", &problem);
    for (size_t i = 0; i < expired.count; i++)
        log_ended("agent.security.override.expired", &expired.items[i]);
    override_list_clear(&expired);
}

/* That they are spent is known without a mark; the mark tells people, and later starts. */
static void mark_used_up(struct api *api, const struct policy *policy)
{
    struct audit_row row = plain_row(api, "override.used_up");
    struct err problem;

    for (size_t i = 0; i < policy->overrides.count; i++) {
        const struct override *o = &policy->overrides.items[i];
        bool marked = false;

        if (o->max_uses == 0 || o->used_up_at != 0 || budget_uses(api->tally, o) < o->max_uses)
            continue;
        if (overrides_use_up(api->store, o, &row, &marked, &problem) != 0)
            complain("marking an override", &problem);
        else if (marked)
            log_ended("agent.security.override.used_up", o);
    }
}

static void warn_key(const struct config_key *key, int64_t now)
{
    char when[CLOCK_TEXT_SIZE];
    struct log_line line;

    if (key->expires_at == 0 || key->expires_at - now > warn_ms)
        return;
    log_begin(&line, LOG_WARN,
              key->expires_at <= now ? "api_key.expired" : "api_key.expiring");
    log_str(&line, "key_id", key->id);
    log_str(&line, "expires_at", clock_format(key->expires_at, when));
    log_end(&line);
}

/* Once at start, once a day, and after each new configuration. */
static void warn_keys(struct housekeeping *h, const struct policy *policy)
{
    const struct config_security *security = &policy->config->security;
    const struct key_set *runtime = policy->runtime;
    int64_t now = store_now(h->api->store);
    struct err problem;

    if (!h->warns || (h->warned_day == now / day_ms &&
                      h->warned_generation == policy->config->generation))
        return;
    h->warned_day = now / day_ms;
    h->warned_generation = policy->config->generation;
    for (size_t i = 0; i < security->key_count; i++)
        warn_key(&security->keys[i], now);
    if (keys_retire(h->api->store, &problem) != 0)
        complain("expired keys", &problem);
    for (size_t i = 0; i < runtime->count; i++)
        if (runtime->keys[i].expires_at == 0 || runtime->keys[i].expires_at > now - day_ms)
            warn_key(&runtime->keys[i], now); /* nobody removes them: once is enough */
}

static bool is_due(int64_t *at, int64_t now, int64_t every)
{
    if (now < *at)
        return false;
    *at = now + every;
    return true;
}

void housekeeping_tick(struct housekeeping *h)
{
    int64_t now = clock_mono_ms();
    struct policy *policy;
    struct err problem;

    if (store_revision_sync(h->api->store, &problem) != 0)
        complain("revision", &problem);
    revive_audit(h->api);
    expire_overrides(h->api);
    if (policy_acquire(h->api->policy, &policy, &problem) != 0) {
        complain("policy", &problem);
        return;
    }
    warn_keys(h, policy);
    mark_used_up(h->api, policy);
    if (is_due(&h->uses_at, now, USES_EVERY_MS) &&
        derive_flush_used(h->api->store, policy, &problem) != 0)
        complain("key uses", &problem);
    policy_release(&policy);
    toolset_tick(h->api->toolset);
    if (is_due(&h->health_at, now, HEALTH_EVERY_MS))
        upstreams_check_health(h->api->upstreams);
    /* Each burst of threads leaves free pages between what lives on in their heaps. */
    if (is_due(&h->trim_at, now, TRIM_EVERY_MS))
        malloc_trim(0);
}

void housekeeping_flush(struct housekeeping *h)
{
    struct policy *policy;
    struct err problem;

    if (policy_acquire(h->api->policy, &policy, &problem) != 0)
        return;
    if (derive_flush_used(h->api->store, policy, &problem) != 0)
        complain("key uses", &problem);
    policy_release(&policy);
}

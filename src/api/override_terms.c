/* SPDX-License-Identifier: MIT */
/* Says whether somebody may ask for such a grant, makes it, and tells the log of it. */
#include "api/override_terms.h"

#include <stdio.h>
#include <string.h>

#include "api/fields.h"
#include "util/clock.h"
#include "util/glob.h"
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

const struct field_set override_terms_fields = {
    create_fields, sizeof create_fields / sizeof create_fields[0], true};

static bool is_glob(const char *pattern)
{
    return strpbrk(pattern, "*?[") != NULL;
}

/* A bare agent name is spelled out, so that the stored pattern matches its full id. */
static int resolve_pattern(const char *given, const struct catalog *catalog,
                           const char **pattern, struct err *e)
{
    const char *problem = glob_problem(given);
    const struct catalog_agent *agent;

    *pattern = given;
    if (problem != NULL)
        return err_set_public(e, AGW_EINVALID, "agent", "'agent': %s.", problem);
    if (is_glob(given) || strchr(given, '/') != NULL)
        return 0;
    agent = catalog_find(catalog, given);
    if (agent == NULL)
        return err_set_public(e, AGW_EINVALID, "agent",
                              "There is no single agent '%.100s'; write namespace/name.", given);
    *pattern = agent->spec->id;
    return 0;
}

static int check_terms(const json_t *body, const struct policy *policy, struct err *e)
{
    const struct config_security *security = &policy->config->security;
    const char *reason = fields_text(body, "reason"), *key_id = fields_text(body, "key_id");
    int64_t ttl = fields_integer(body, "ttl_seconds", 0);

    if (ttl < 1 || ttl > security->override_max_ttl_s)
        return err_set_public(e, AGW_EINVALID, "ttl_seconds",
                              "'ttl_seconds' must be between 1 and %lld.",
                              (long long)security->override_max_ttl_s);
    if (security->override_require_reason && (reason == NULL || reason[0] == '\0'))
        return err_set_public(e, AGW_EINVALID, "reason", "'reason' is required.");
    if (key_id != NULL && policy_find_key(policy, key_id) == NULL)
        return err_set_public(e, AGW_EINVALID, "key_id", "There is no key '%.100s'.", key_id);
    return 0;
}

int override_terms_read(const json_t *body, const struct policy *policy,
                        const struct catalog *catalog, int64_t now, struct override *o,
                        struct err *e)
{
    char hex[17];

    *o = (struct override){.created_at = now};
    if (fields_check(body, create_fields, sizeof create_fields / sizeof create_fields[0], true,
                     e) != 0 ||
        resolve_pattern(fields_text(body, "agent"), catalog, (const char **)&o->pattern, e) != 0 ||
        check_terms(body, policy, e) != 0)
        return AGW_EINVALID;
    o->expires_at = now + fields_integer(body, "ttl_seconds", 0) * 1000;
    o->reason = (char *)fields_text(body, "reason");
    o->key_id = (char *)fields_text(body, "key_id");
    o->ticket = (char *)fields_text(body, "ticket");
    o->max_uses = fields_integer(body, "max_uses", 0);
    if (secret_random_hex(hex, 8) != 0)
        return err_set(e, AGW_EINTERNAL, "no randomness");
    snprintf(o->id, sizeof o->id, "ovr_%s", hex);
    return 0;
}

void override_terms_log(struct log_line *line, const struct override *o)
{
    char expires[CLOCK_TEXT_SIZE];

    log_str(line, "override_id", o->id);
    log_str(line, "agent", o->pattern);
    log_str(line, "key_id", o->key_id);
    log_str(line, "reason", o->reason);
    log_str(line, "ticket", o->ticket);
    if (o->max_uses > 0)
        log_int(line, "max_uses", o->max_uses);
    log_str(line, "expires_at", clock_format(o->expires_at, expires));
}

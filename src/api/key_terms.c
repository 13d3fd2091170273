/* SPDX-License-Identifier: MIT */
/* Checks what a new key may be, and spells keys in answers. */
#include "api/key_terms.h"

#include <string.h>

#include "api/fields.h"
#include "api/json_values.h"
#include "policy/key_set.h"
#include "util/clock.h"
#include "util/glob.h"
#include "util/json_memory.h"
#include "util/secret.h"

enum { PATTERNS_MAX = 256, DESCRIPTION_MAX = 500, TTL_MAX_S = 315360000, RATE_MAX = 1000000,
       REQUESTS_MAX = 1000000000 };
#define TOKENS_MAX INT64_C(1000000000000)

static const struct field create_fields[] = {
    {"id", FIELD_TEXT, true, 1, 100},
    {"description", FIELD_TEXT, false, 0, DESCRIPTION_MAX},
    {"roles", FIELD_ARRAY, false, 1, 3},
    {"allow_agents", FIELD_ARRAY, false, 0, PATTERNS_MAX},
    {"deny_agents", FIELD_ARRAY, false, 0, PATTERNS_MAX},
    {"allow_tools", FIELD_ARRAY, false, 0, PATTERNS_MAX},
    {"deny_tools", FIELD_ARRAY, false, 0, PATTERNS_MAX},
    {"rate_limit", FIELD_OBJECT, false, 0, 0},
    {"budget", FIELD_OBJECT, false, 0, 0},
    {"expires_at", FIELD_TEXT, false, 1, 40},
    {"ttl_seconds", FIELD_INTEGER, false, 1, TTL_MAX_S},
};
enum { CREATE_FIELDS = sizeof create_fields / sizeof create_fields[0] };

const struct field_set key_terms_fields = {create_fields, CREATE_FIELDS, true};

static const struct field rate_fields[] = {
    {"per_minute", FIELD_INTEGER, true, 0, RATE_MAX},
};

static const struct field budget_fields[] = {
    {"requests_per_day", FIELD_INTEGER, false, 0, REQUESTS_MAX},
    {"tokens_per_day", FIELD_INTEGER, false, 0, TOKENS_MAX},
};

static bool has_control(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return true;
    return false;
}

static int read_names(const json_t *body, struct key_row *row, struct err *e)
{
    const char *problem;

    row->id = fields_text(body, "id");
    problem = config_name_problem(row->id);
    if (problem != NULL)
        return err_set_public(e, AGW_EINVALID, "id", "'id' %s.", problem);
    row->description = fields_text(body, "description");
    if (row->description != NULL && has_control(row->description))
        return err_set_public(e, AGW_EINVALID, "description",
                              "'description' must not contain line ends or control "
                              "characters.");
    return 0;
}

static int read_roles(const json_t *body, struct key_row *row, struct err *e)
{
    const json_t *roles = json_object_get(body, "roles"), *item;
    unsigned mask = json_is_array(roles) ? 0 : ROLE_CLIENT;
    size_t i;

    json_array_foreach(roles, i, item)
    {
        const char *name = json_string_value(item);
        unsigned role = name == NULL ? 0 : key_set_role(name);

        if (role == 0)
            return err_set_public(e, AGW_EINVALID, "roles",
                                  "'roles' may hold client, auditor and admin.");
        if (mask & role)
            return err_set_public(e, AGW_EINVALID, "roles", "'roles' has '%s' twice.", name);
        mask |= role;
    }
    row->roles = key_set_roles_text(mask);
    return 0;
}

static int read_patterns(const json_t *body, const char *name, struct arena *arena,
                         const char **text, struct err *e)
{
    const json_t *list = json_object_get(body, name), *item;
    char *dump;
    size_t i;

    *text = NULL;
    if (!json_is_array(list))
        return 0;
    json_array_foreach(list, i, item)
    {
        const char *pattern = json_string_value(item), *problem;

        if (pattern == NULL)
            return err_set_public(e, AGW_EINVALID, name, "'%s' may hold texts only.", name);
        problem = glob_problem(pattern);
        if (problem == NULL && has_control(pattern))
            problem = "must not contain line ends or control characters";
        if (problem != NULL)
            return err_set_public(e, AGW_EINVALID, name, "'%s': pattern %zu: %s.", name, i + 1,
                                  problem);
    }
    dump = json_dumps(list, JSON_COMPACT);
    if (dump != NULL)
        *text = arena_strdup(arena, dump);
    json_memory_free(dump);
    return *text == NULL ? err_set(e, AGW_ENOMEM, "patterns") : 0;
}

static int read_rate(const json_t *body, struct key_row *row, struct err *e)
{
    const json_t *rate = json_object_get(body, "rate_limit");

    row->rate_per_minute = -1;
    if (!json_is_object(rate))
        return 0;
    if (fields_check(rate, rate_fields, 1, true, e) != 0)
        return AGW_EINVALID;
    row->rate_per_minute = fields_integer(rate, "per_minute", -1);
    return 0;
}

static int read_budget(const json_t *body, struct key_row *row, struct err *e)
{
    const json_t *budget = json_object_get(body, "budget");

    row->requests_per_day = row->tokens_per_day = -1;
    if (!json_is_object(budget))
        return 0;
    if (fields_check(budget, budget_fields, 2, true, e) != 0)
        return AGW_EINVALID;
    row->requests_per_day = fields_integer(budget, "requests_per_day", -1);
    row->tokens_per_day = fields_integer(budget, "tokens_per_day", -1);
    return 0;
}

static int read_expiry(const json_t *body, int64_t now, struct key_row *row, struct err *e)
{
    const char *at = fields_text(body, "expires_at");
    int64_t ttl = fields_integer(body, "ttl_seconds", 0);

    row->expires_at = ttl == 0 ? 0 : now + ttl * 1000;
    if (at == NULL)
        return 0;
    if (ttl != 0)
        return err_set_public(e, AGW_EINVALID, "ttl_seconds",
                              "'expires_at' and 'ttl_seconds' exclude each other.");
    if (clock_parse(at, &row->expires_at) != 0)
        return err_set_public(e, AGW_EINVALID, "expires_at",
                              "'expires_at' must be a time like 2027-01-31T00:00:00Z.");
    if (row->expires_at <= now)
        return err_set_public(e, AGW_EINVALID, "expires_at",
                              "'expires_at' must be in the future.");
    return 0;
}

int key_terms_read(const json_t *body, int64_t now, struct arena *arena, struct key_row *row,
                   struct err *e)
{
    int status;

    memset(row, 0, sizeof *row);
    if (fields_check(body, create_fields, CREATE_FIELDS, true, e) != 0 ||
        read_names(body, row, e) != 0 || read_roles(body, row, e) != 0 ||
        read_rate(body, row, e) != 0 || read_budget(body, row, e) != 0 ||
        read_expiry(body, now, row, e) != 0)
        return AGW_EINVALID;
    status = read_patterns(body, "allow_agents", arena, &row->allow_agents, e);
    if (status == 0)
        status = read_patterns(body, "deny_agents", arena, &row->deny_agents, e);
    if (status == 0)
        status = read_patterns(body, "allow_tools", arena, &row->allow_tools, e);
    if (status == 0)
        status = read_patterns(body, "deny_tools", arena, &row->deny_tools, e);
    return status;
}

static json_t *list_json(const char *text)
{
    return text == NULL ? json_null() : json_loads(text, JSON_REJECT_DUPLICATES, NULL);
}

static json_t *number_json(int64_t number)
{
    return number == -1 ? json_null() : json_integer(number);
}

static json_t *roles_json(const char *roles)
{
    json_t *list = json_array();

    while (*roles != '\0') {
        size_t length = strcspn(roles, ",");

        json_array_append_new(list, json_stringn(roles, length));
        roles += length + (roles[length] == ',');
    }
    return list;
}

json_t *key_terms_json(const struct key_record *key, const char *secret)
{
    const struct key_row *row = &key->row;
    json_t *json = json_pack(
        "{s:s,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o},s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", row->id,
        "description", json_values_text(row->description), "origin", "database", "roles",
        roles_json(row->roles), "allow_agents", list_json(row->allow_agents), "deny_agents",
        list_json(row->deny_agents), "allow_tools", list_json(row->allow_tools), "deny_tools",
        list_json(row->deny_tools), "rate_limit_per_minute",
        number_json(row->rate_per_minute), "budget", "requests_per_day",
        number_json(row->requests_per_day), "tokens_per_day", number_json(row->tokens_per_day),
        "created_at",
        json_values_time(key->created_at), "created_by", json_values_text(key->created_by),
        "expires_at", json_values_time(row->expires_at), "rotated_at",
        json_values_time(key->rotated_at), "rotated_by", json_values_text(key->rotated_by),
        "overlap_ends_at", json_values_time(key->previous_until), "revoked_at",
        json_values_time(key->revoked_at), "revoked_by", json_values_text(key->revoked_by));

    if (json == NULL || secret == NULL ||
        json_object_set_new(json, "secret", json_string(secret)) == 0)
        return json;
    json_decref(json);
    return NULL;
}

void key_terms_wipe(json_t *answer)
{
    json_t *secret = json_object_get(answer, "secret");

    if (json_is_string(secret))
        secret_wipe((char *)json_string_value(secret), json_string_length(secret));
}

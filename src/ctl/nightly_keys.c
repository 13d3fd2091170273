/* SPDX-License-Identifier: MIT */
/* Looks at the health of API keys for the nightly audit. */
#include <string.h>

#include "ctl/nightly_report.h"
#include "store/keys.h"
#include "store/nightly_facts.h"
#include "util/clock.h"

static const int64_t day_ms = 86400000;

/* SHA-256 of the secrets that the samples of conf/ print. */
static const char *const published[] = {
    "298754db2dbab6ec62605ceb0379eb7ee376580359449efe0caa3aa06cd56736",
    "fdce8e4a65b70d186bd77cba2e0c580dcf1c6497da9f1b70eed849497e1f8ba2",
    "a0e0c9b193eef8f255d6349f6db6e24ccfd2f547fcb0a1b76a4370d03e64c473",
};

/* A key, wherever it is from. */
struct key {
    const char *id;
    bool plaintext, published, admin, wildcard;
    int64_t expires;  /* 0 = never */
    int64_t used;     /* last used, or else made; 0 = not known */
};

struct figures {
    json_int_t total, hashed, no_expiry, expiring, expired, unused, wildcard;
};

static bool is_wildcard(const char *pattern)
{
    return strspn(pattern, "*") == strlen(pattern) || strcmp(pattern, "*/*") == 0;
}

static bool list_is_wildcard(const struct config_patterns *list)
{
    for (size_t i = 0; list != NULL && i < list->count; i++)
        if (is_wildcard(list->patterns[i]))
            return true;
    return false;
}

static bool text_is_wildcard(const char *text)
{
    json_t *list = json_loads(text, 0, NULL), *entry;
    bool found = false;
    size_t i;

    json_array_foreach(list, i, entry)
        found = found || (json_is_string(entry) && is_wildcard(json_string_value(entry)));
    json_decref(list);
    return found;
}

static void judge_expiry(struct nightly *n, const struct key *key, struct figures *f)
{
    int64_t left = key->expires - n->order->now;
    char when[CLOCK_TEXT_SIZE];

    clock_format(key->expires, when);
    if (key->expires == 0) {
        f->no_expiry++;
        nightly_find(n, NIGHTLY_WARNING, "key.no_expiry", key->id, "It never expires.");
    } else if (left <= 0) {
        f->expired++;
        nightly_find(n, NIGHTLY_WARNING, "key.expired", key->id,
                     "It expired at %s: take it out.", when);
    } else if (left <= CONFIG_EXPIRING_DAYS * day_ms) {
        f->expiring++;
        nightly_find(n, NIGHTLY_WARNING, "key.expiring", key->id, "It expires at %s.", when);
    }
}

static void judge(struct nightly *n, const struct key *key, struct figures *f)
{
    int64_t idle = key->used == 0 ? 0 : n->order->now - key->used;

    f->total++;
    f->hashed += !key->plaintext;
    if (key->plaintext)
        nightly_find(n, NIGHTLY_WARNING, "key.plaintext", key->id,
                     "Its secret is written in plain text: agwctl hash-key makes a hashed_key.");
    if (key->published)
        nightly_find(n, NIGHTLY_CRITICAL, "key.published", key->id,
                     "Its secret is printed in the sample configuration: everybody knows it.");
    judge_expiry(n, key, f);
    if (idle > NIGHTLY_UNUSED_DAYS * day_ms) {
        f->unused++;
        nightly_find(n, NIGHTLY_WARNING, "key.unused", key->id,
                     "It was not used for %lld days: is it still needed?",
                     (long long)(idle / day_ms));
    }
    if (key->admin && key->wildcard) {
        f->wildcard++;
        nightly_find(n, NIGHTLY_WARNING, "key.wildcard_admin", key->id,
                     "An administrator's key may call every agent: give it a list of its own.");
    }
}

static int64_t number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static int64_t last_use(const json_t *row)
{
    return number(row, "used") != 0 ? number(row, "used") : number(row, "since");
}

static bool is_published(const struct config_key *key)
{
    char hex[SHA_HEX_SIZE];

    sha_hex(key->hash, sizeof key->hash, hex);
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        if (strcmp(hex, published[i]) == 0)
            return true;
    return false;
}

/* `row` is the key's mirror, or NULL: the gateway has not seen the key yet. */
static void judge_configured(struct nightly *n, const struct config_key *key, const json_t *row,
                             struct figures *f)
{
    const struct config_security *security = &n->order->config->security;
    const struct key seen = {
        .id = key->id, .plaintext = key->was_plaintext, .published = is_published(key),
        .admin = (key->roles & ROLE_ADMIN) != 0,
        .wildcard = list_is_wildcard(key->allow_agents.present ? &key->allow_agents
                                                               : &security->allow_agents),
        .expires = key->expires_at, .used = last_use(row)};

    judge(n, &seen, f);
}

static void judge_row(struct nightly *n, const json_t *row, struct figures *f)
{
    const struct config *config = n->order->config;
    const char *roles = json_string_value(json_object_get(row, "roles"));
    const char *list = json_string_value(json_object_get(row, "allow_agents"));
    const struct key seen = {
        .id = json_string_value(json_object_get(row, "id")),
        .plaintext = number(row, "was_plaintext") != 0,
        .admin = roles != NULL && strstr(roles, "admin") != NULL,
        .wildcard = list != NULL
                        ? text_is_wildcard(list)
                        : config != NULL && list_is_wildcard(&config->security.allow_agents),
        .expires = number(row, "expires"), .used = last_use(row)};

    judge(n, &seen, f);
}

static bool is_of_file(const json_t *row)
{
    const char *origin = json_string_value(json_object_get(row, "origin"));

    return origin != NULL && strcmp(origin, "file") == 0;
}

/* Keys of the file as the file has them now, those made at run time as the database does.
 * Without a configuration that can be read, all as the database does. */
static void judge_all(struct nightly *n, const json_t *rows, struct figures *f)
{
    const struct config *config = n->order->config;
    json_t *mirror = json_object(), *row;
    size_t i;

    n->failed |= mirror == NULL;
    json_array_foreach(rows, i, row) {
        if (config != NULL && is_of_file(row))
            json_object_set(mirror, json_string_value(json_object_get(row, "id")), row);
        else
            judge_row(n, row, f);
    }
    for (i = 0; config != NULL && i < config->security.key_count; i++) {
        const struct config_key *key = &config->security.keys[i];

        judge_configured(n, key, json_object_get(mirror, key->id), f);
    }
    json_decref(mirror);
}

/* A key in the table that the trail does not know was put there by somebody else. */
static void look_for_forged(struct nightly *n)
{
    const struct key_filter filter = {.origin = "database", .health = "unrecorded"};
    json_t *rows = NULL, *row;
    struct err e;
    size_t i;

    if (keys_list(n->db, &filter, &rows, &e) != 0)
        nightly_find(n, NIGHTLY_CRITICAL, "database.unreadable", "api_key", "%s", e.message);
    json_array_foreach(rows, i, row)
        nightly_find(n, NIGHTLY_CRITICAL, "key.unrecorded",
                     json_string_value(json_object_get(row, "id")),
                     "It is not as the audit trail has it: it opens nothing, but somebody has"
                     " changed the database.");
    json_decref(rows);
}

void nightly_keys(struct nightly *n)
{
    struct figures f = {0};
    json_t *rows = NULL;
    struct err e;

    if (n->db != NULL && (rows = nightly_facts(n->db, FACT_KEYS, 0, 0, &e)) == NULL)
        nightly_find(n, NIGHTLY_CRITICAL, "database.unreadable", "api_key", "%s", e.message);
    judge_all(n, rows, &f);
    json_decref(rows);
    if (n->db != NULL)
        look_for_forged(n);
    nightly_say(n, "total_api_keys", json_integer(f.total));
    nightly_say(n, "hashed_api_keys", json_integer(f.hashed));
    nightly_say(n, "plaintext_api_keys", json_integer(f.total - f.hashed));
    nightly_say(n, "api_keys_without_expiry", json_integer(f.no_expiry));
    nightly_say(n, "api_keys_expiring", json_integer(f.expiring));
    nightly_say(n, "api_keys_expired", json_integer(f.expired));
    nightly_say(n, "api_keys_unused", json_integer(f.unused));
    nightly_say(n, "wildcard_admin_keys", json_integer(f.wildcard));
}

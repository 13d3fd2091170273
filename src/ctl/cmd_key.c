/* SPDX-License-Identifier: MIT */
/* agwctl key: lists all keys; makes, rotates and revokes those that do not stand in a file. */
#include <stdio.h>
#include <string.h>

#include "api/key_terms.h"
#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "policy/audit.h"
#include "policy/key_admin.h"
#include "util/clock.h"
#include "util/secret.h"

enum { TERMS_MAX = 1 << 20, OVERLAP_DEFAULT_S = 86400 };

/* -- list ---------------------------------------------------------------------------------- */

static const char *text_of(const json_t *key, const char *name)
{
    return json_string_value(json_object_get(key, name));
}

static enum output_style style_of(const char *health)
{
    if (strcmp(health, "ok") == 0)
        return STYLE_GOOD;
    if (strcmp(health, "expired") == 0 || strcmp(health, "unrecorded") == 0)
        return STYLE_BAD;
    return strcmp(health, "revoked") == 0 || strcmp(health, "removed") == 0 ? STYLE_FAINT
                                                                          : STYLE_WARNING;
}

static void add_roles(struct table *table, const json_t *key)
{
    const json_t *roles = json_object_get(key, "roles"), *role;
    struct buf text;
    size_t i;

    buf_init(&text, TERMS_MAX);
    json_array_foreach(roles, i, role)
        buf_printf(&text, "%s%s", i == 0 ? "" : ",", json_string_value(role));
    table_text(table, STYLE_PLAIN, buf_text(&text));
    buf_free(&text);
}

static int show_list(const struct call *call, const json_t *keys)
{
    static const struct table_column columns[] = {
        {"ID", false}, {"ORIGIN", false}, {"ROLES", false}, {"HEALTH", false},
        {"LAST USED", false}, {"EXPIRES", false}, {"OLD SECRET UNTIL", false},
        {"CREATED BY", false}, {"DESCRIPTION", false}, {NULL, false}};
    struct table *table = table_new(columns);
    const json_t *key;
    size_t i;

    json_array_foreach(keys, i, key)
    {
        const char *health = text_of(key, "health");

        table_text(table, STYLE_BOLD, text_of(key, "id"));
        table_text(table, STYLE_PLAIN, text_of(key, "origin"));
        add_roles(table, key);
        table_text(table, style_of(health), health);
        table_text(table, STYLE_PLAIN, text_of(key, "last_used_at"));
        table_text(table, STYLE_PLAIN, text_of(key, "expires_at"));
        table_text(table, STYLE_PLAIN, text_of(key, "overlap_ends_at"));
        table_text(table, STYLE_PLAIN, text_of(key, "created_by"));
        table_text(table, STYLE_PLAIN, text_of(key, "description"));
    }
    return table_print(&table, call->colour, "There is no such key.") == 0 ? CTL_FINE
                                                                           : CTL_FAILED;
}

static int run_list(struct call *call)
{
    const struct key_filter filter = {
        .id = call_text(call, "key"), .origin = call_text(call, "origin"),
        .health = call_text(call, "health"), .ended = call_flag(call, "all")};
    struct store *store;
    json_t *keys = NULL;
    struct db *db;
    struct err e;
    int status = context_store(call, CONTEXT_READ, &store), rc = AGW_ESTORE;

    if (status != CTL_FINE)
        return status;
    db = store_acquire(store, &e);
    if (db != NULL) {
        rc = keys_list(db, &filter, &keys, &e);
        store_release(store, db);
    }
    if (rc != 0)
        return call_fail("%s", e.message);
    if (call->json)
        return call_json(json_pack("{s:o}", "keys", keys), CTL_FINE);
    status = show_list(call, keys);
    json_decref(keys);
    return status;
}

/* -- changes ------------------------------------------------------------------------------- */

/* What a change needs. The configuration only names the lines of the file's keys and how long
 * an overlap is: a key must be revocable while a file is broken, so what is wrong in it is not
 * said here. */
struct change {
    struct store *store;
    struct config *config; /* NULL: it cannot be read */
    struct audit_row audit;
    struct key_admin admin;
};

static void read_config(const struct call *call, struct config **config)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};

    *config = NULL;
    if ((call->database == NULL || call->config != NULL) &&
        config_sources_read(context_config_file(call), &sources, &errors) == 0 &&
        config_build_policy(&sources, config, &errors) != 0)
        *config = NULL;
    config_errors_free(&errors);
    config_sources_free(&sources);
}

static int begin(struct call *call, struct change *c)
{
    int status = context_store(call, CONTEXT_WRITE, &c->store);

    c->config = NULL;
    if (status != CTL_FINE)
        return status;
    read_config(call, &c->config);
    c->audit = audit_row_new(store_now(c->store), NULL);
    c->audit.process = audit_process();
    c->audit.key_id = context_actor();
    c->admin = (struct key_admin){
        .store = c->store, .security = c->config == NULL ? NULL : &c->config->security,
        .by = context_actor(), .audit = &c->audit};
    return CTL_FINE;
}

/* Whoever called wrongly hears so by the exit status, too. */
static int failed(int rc, const struct err *e)
{
    int status = call_fail("%s", e->message);

    return rc == AGW_EINVALID ? CTL_USAGE
           : rc == AGW_ECONFLICT || rc == AGW_ENOTFOUND ? CTL_FINDING : status;
}

/* The secret alone goes to standard output, so that a script can take it from there. */
static int finish(const struct call *call, struct change *c, int rc, const struct err *e,
                  struct key_list *done, char *secret, const char *what)
{
    int status = CTL_FINE;

    if (rc != 0) {
        status = failed(rc, e);
    } else if (call->json) {
        status = call_json(key_terms_json(done->items, secret), CTL_FINE); /* ends with us */
    } else if (secret != NULL) {
        output_text(stderr, what);
        printf("%s\n", secret);
    } else {
        output_line("%s", what);
    }
    if (secret != NULL)
        secret_wipe(secret, KEY_SECRET_SIZE);
    key_list_clear(done);
    config_release(&c->config);
    return status;
}

/* "a,b" as a JSON array of texts; "" is the empty list. */
static json_t *list_of(const char *text)
{
    json_t *list = json_array();

    while (text[0] != '\0') {
        size_t length = strcspn(text, ",");

        json_array_append_new(list, json_stringn(text, length));
        text += length + (text[length] == ',');
    }
    return list;
}

static void set_text(json_t *body, const char *name, const char *text)
{
    if (text != NULL)
        json_object_set_new(body, name, output_json_text(text));
}

static void set_list(json_t *body, const char *name, const char *text)
{
    if (text != NULL)
        json_object_set_new(body, name, list_of(text));
}

static void set_number(json_t *body, const char *section, const char *name, int64_t number)
{
    json_t *object = json_object_get(body, section);

    if (number == -1)
        return;
    if (object == NULL) {
        object = json_object();
        json_object_set_new(body, section, object);
    }
    json_object_set_new(object, name, json_integer(number));
}

/* The options as a request body, so that one set of rules judges both. */
static json_t *body_of(const struct call *call)
{
    char expires[CLOCK_TEXT_SIZE];
    json_t *body = json_object();

    set_text(body, "id", call_argument(call, 0));
    set_text(body, "description", call_text(call, "description"));
    set_list(body, "roles", call_text(call, "roles"));
    set_list(body, "allow_agents", call_text(call, "allow"));
    set_list(body, "deny_agents", call_text(call, "deny"));
    set_list(body, "allow_tools", call_text(call, "allow-tools"));
    set_list(body, "deny_tools", call_text(call, "deny-tools"));
    set_number(body, "rate_limit", "per_minute", call_number(call, "rate", -1));
    set_number(body, "budget", "requests_per_day", call_number(call, "requests-per-day", -1));
    set_number(body, "budget", "tokens_per_day", call_number(call, "tokens-per-day", -1));
    if (call_text(call, "expires") != NULL)
        set_text(body, "expires_at", clock_format(call_time(call, "expires", 0), expires));
    return body;
}

static int run_create(struct call *call)
{
    struct arena *arena = arena_new(TERMS_MAX);
    char secret[KEY_SECRET_SIZE];
    struct key_list done = {0};
    json_t *body = body_of(call);
    struct key_row row;
    struct change c;
    struct err e;
    int status = begin(call, &c), rc;

    if (status == CTL_FINE) {
        rc = arena == NULL ? err_set(&e, AGW_ENOMEM, "out of memory")
                           : key_terms_read(body, c.audit.ts, arena, &row, &e);
        if (rc == 0)
            rc = key_admin_create(&c.admin, &row, secret, &done, &e);
        status = finish(call, &c, rc, &e, &done, secret,
                        "The secret is shown only this once:\n");
    }
    json_decref(body);
    arena_free(&arena);
    return status;
}

static int run_rotate(struct call *call)
{
    char secret[KEY_SECRET_SIZE], what[128];
    struct key_list done = {0};
    struct change c;
    struct err e;
    int64_t overlap;
    int status = begin(call, &c), rc;

    if (status != CTL_FINE)
        return status;
    overlap = c.config == NULL ? OVERLAP_DEFAULT_S : c.config->security.key_rotation_overlap_s;
    overlap = call_number(call, "overlap", overlap);
    rc = key_admin_rotate(&c.admin, call_argument(call, 0), overlap, secret, &done, &e);
    if (overlap == 0)
        snprintf(what, sizeof what, "The old secret has ended. The new one is shown only this "
                 "once:\n");
    else
        snprintf(what, sizeof what, "The old secret ends in %lld s. The new one is shown only "
                 "this once:\n", (long long)overlap);
    return finish(call, &c, rc, &e, &done, secret, what);
}

static int run_revoke(struct call *call)
{
    struct key_list done = {0};
    struct change c;
    struct err e;
    char what[256];
    int status = begin(call, &c), rc;

    if (status != CTL_FINE)
        return status;
    rc = key_admin_revoke(&c.admin, call_argument(call, 0), &done, &e);
    snprintf(what, sizeof what, "%.100s is revoked.", call_argument(call, 0));
    return finish(call, &c, rc, &e, &done, NULL, what);
}

/* -- rows ---------------------------------------------------------------------------------- */

static const struct command_option list_options[] = {
    COMMAND_KEY,
    {"origin", VALUE_TEXT, "ORIGIN", "only keys of the 'file' or of the 'database'", false, 0, 0},
    {"health", VALUE_TEXT, "HEALTH", "only keys whose health is so, as 'expiring'", false, 0, 0},
    {"all", VALUE_NONE, NULL, "also keys that were revoked or removed", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_option create_options[] = {
    {"description", VALUE_TEXT, "TEXT", "whose it is", false, 0, 0},
    {"roles", VALUE_TEXT, "LIST", "of client, auditor, admin; without it client", false, 0, 0},
    {"allow", VALUE_TEXT, "LIST", "patterns of agents it may call; without it those of default",
     false, 0, 0},
    {"deny", VALUE_TEXT, "LIST", "patterns of agents it may not call", false, 0, 0},
    {"allow-tools", VALUE_TEXT, "LIST", "patterns of tools its agents may call; without it those "
                                        "of default", false, 0, 0},
    {"deny-tools", VALUE_TEXT, "LIST", "patterns of tools they may not call", false, 0, 0},
    {"rate", VALUE_NUMBER, "N", "requests a minute; 0 = unlimited", false, 0, 1000000},
    {"requests-per-day", VALUE_NUMBER, "N", "its budget; 0 = unlimited", false, 0, 1000000000},
    {"tokens-per-day", VALUE_NUMBER, "N", "its budget; 0 = unlimited", false, 0,
     1000000000000},
    {"expires", VALUE_TIME, "TIME", "when it stops working, as +90d; without it never", false, 0,
     0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_option rotate_options[] = {
    {"overlap", VALUE_NUMBER, "SECONDS", "how long the old secret stays valid; 0 = not at all",
     false, 0, KEY_ADMIN_OVERLAP_MAX_S},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_argument one_id[] = {
    {"ID", VALUE_TEXT, "the key", false},
    {NULL, VALUE_NONE, NULL, false},
};

const struct command cmd_key_list = {
    .group = "key", .name = "list",
    .summary = "List keys with their origin, health and last use",
    .options = list_options, .run = run_list,
};

const struct command cmd_key_create = {
    .group = "key", .name = "create",
    .summary = "Make a key and print its secret, once",
    .options = create_options, .arguments = one_id, .run = run_create,
};

const struct command cmd_key_rotate = {
    .group = "key", .name = "rotate",
    .summary = "Give a key another secret; the old one stays valid for a while",
    .options = rotate_options, .arguments = one_id, .run = run_rotate,
};

const struct command cmd_key_revoke = {
    .group = "key", .name = "revoke",
    .summary = "Revoke a key, in every process at once",
    .arguments = one_id, .run = run_revoke,
};

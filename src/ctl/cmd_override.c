/* SPDX-License-Identifier: MIT */
/* agwctl override: lists, makes and revokes temporary grants. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_values.h"
#include "api/override_terms.h"
#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/output.h"
#include "ctl/past.h"
#include "ctl/table.h"
#include "ctl/when.h"
#include "policy/audit.h"
#include "util/clock.h"
#include "util/glob.h"

enum { TTL_SIZE = 64 };

/* -- list ---------------------------------------------------------------------------------- */

static enum output_style style_of(const char *state)
{
    return strcmp(state, "active") == 0 ? STYLE_GOOD : STYLE_FAINT;
}

static void add_uses(struct table *table, const struct override *o)
{
    if (o->max_uses > 0)
        table_cell(table, STYLE_PLAIN, "%lld of %lld", (long long)o->uses,
                   (long long)o->max_uses);
    else
        table_number(table, o->uses);
}

static int show(const struct call *call, const struct override_list *list, int64_t now)
{
    static const struct table_column columns[] = {
        {"ID", false}, {"AGENT", false}, {"KEY", false}, {"STATE", false}, {"USES", true},
        {"CREATED", false}, {"EXPIRES", false}, {"CREATED BY", false}, {"TICKET", false},
        {"REASON", false}, {NULL, false}};
    struct table *table = table_new(columns);

    for (size_t i = 0; i < list->count; i++) {
        const struct override *o = &list->items[i];
        const char *state = override_state(o, now);

        table_text(table, STYLE_BOLD, o->id);
        table_text(table, STYLE_PLAIN, o->pattern);
        table_text(table, STYLE_PLAIN, o->key_id == NULL ? "every key" : o->key_id);
        table_text(table, style_of(state), state);
        add_uses(table, o);
        table_time(table, o->created_at);
        table_time(table, o->expires_at);
        table_text(table, STYLE_PLAIN, o->created_by);
        table_text(table, STYLE_PLAIN, o->ticket);
        table_text(table, STYLE_PLAIN, o->reason);
    }
    return table_print(&table, call->colour, "There is no such override.") == 0 ? CTL_FINE
                                                                                : CTL_FAILED;
}

static json_t *list_json(const struct override_list *list, int64_t now)
{
    json_t *overrides = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(overrides, json_values_override(&list->items[i], now));
    return json_pack("{s:o}", "overrides", overrides);
}

/* Which hold for a key: its own, and those of every key. */
static bool is_wanted(const struct call *call, const struct override *o)
{
    const char *key = call_text(call, "key"), *agent = call_text(call, "agent");

    return (key == NULL || o->key_id == NULL || strcmp(o->key_id, key) == 0) &&
           (agent == NULL || glob_match(o->pattern, agent));
}

static void filter(const struct call *call, struct override_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (is_wanted(call, &list->items[i]))
            list->items[kept++] = list->items[i];
        else
            override_clear(&list->items[i]);
    }
    list->count = kept;
}

static int run_list(struct call *call)
{
    struct override_list list = {0};
    struct store *store;
    struct db *db;
    struct err e;
    int64_t now;
    int status = context_store(call, CONTEXT_READ, &store), rc = AGW_ESTORE;

    if (status != CTL_FINE)
        return status;
    now = store_now(store);
    db = store_acquire(store, &e);
    if (db != NULL) {
        rc = overrides_list(db, now, call_flag(call, "all"), &list, &e);
        if (rc == 0) {
            filter(call, &list);
            rc = overrides_count_uses(db, &list, &e);
        }
        store_release(store, db);
    }
    if (rc != 0)
        status = call_fail("%s", e.message);
    else
        status = call->json ? call_json(list_json(&list, now), CTL_FINE)
                            : show(call, &list, now);
    override_list_clear(&list);
    return status;
}

/* -- changes ------------------------------------------------------------------------------- */

static struct audit_row row_of(struct store *store)
{
    struct audit_row row = audit_row_new(store_now(store), NULL);

    row.process = audit_process();
    row.key_id = context_actor();
    return row;
}

/* Seconds, or a time span as the other commands take it ("1h", "90m"). */
static int read_ttl(const struct call *call, int64_t *seconds)
{
    const char *given = call_text(call, "ttl");
    char span[TTL_SIZE];
    int64_t ms;

    if (given[0] != '\0' && strspn(given, "0123456789") == strlen(given))
        snprintf(span, sizeof span, "+%.40ss", given);
    else
        snprintf(span, sizeof span, "+%.40s", given);
    if (given[0] < '0' || given[0] > '9' || strlen(given) > 40 ||
        when_parse(span, 0, &ms) != 0)
        return call_usage(call, "--ttl takes seconds or a span like 30m or 1h, not '%.100s'",
                          given);
    *seconds = ms / 1000;
    return CTL_FINE;
}

static void set_text(json_t *body, const char *name, const char *text)
{
    if (text != NULL)
        json_object_set_new(body, name, output_json_text(text));
}

/* The options as a request body, so that one set of rules judges both. */
static json_t *body_of(const struct call *call, int64_t ttl)
{
    json_t *body = json_object();

    set_text(body, "agent", call_text(call, "agent"));
    set_text(body, "reason", call_text(call, "reason"));
    set_text(body, "key_id", call_text(call, "key"));
    set_text(body, "ticket", call_text(call, "ticket"));
    json_object_set_new(body, "ttl_seconds", json_integer(ttl));
    if (call_text(call, "max-uses") != NULL)
        json_object_set_new(body, "max_uses", json_integer(call_number(call, "max-uses", 0)));
    return body;
}

static int report_created(const struct call *call, const struct override *o)
{
    char until[CLOCK_TEXT_SIZE], most[TTL_SIZE] = "";

    if (call->json)
        return call_json(json_values_override(o, o->created_at), CTL_FINE);
    if (o->max_uses > 0)
        snprintf(most, sizeof most, ", %lld times at most", (long long)o->max_uses);
    output_line("%s: %s may call %s until %s%s.", o->id,
                o->key_id == NULL ? "every key" : o->key_id, o->pattern,
                clock_format(o->expires_at, until), most);
    return CTL_FINE;
}

/* Whoever asked wrongly hears so by the exit status, too. */
static int create(struct call *call, struct store *store, const struct policy *policy,
                  const json_t *body)
{
    struct audit_row row = row_of(store);
    struct override o;
    struct err e;
    int rc = override_terms_read(body, policy, past_catalog(policy), row.ts, &o, &e);

    if (rc == 0) {
        o.created_by = (char *)context_actor();
        row.agent = o.pattern;
        row.reason = o.reason;
        rc = overrides_create(store, &o, &row, &e);
    }
    if (rc == 0)
        return report_created(call, &o);
    call_fail("%s", e.message);
    return rc == AGW_EINVALID ? CTL_USAGE : CTL_FAILED;
}

static int run_create(struct call *call)
{
    const struct policy *policy;
    struct store *store;
    struct past past = {0};
    int64_t ttl = 0;
    json_t *body;
    int status = read_ttl(call, &ttl);

    if (status == CTL_FINE)
        status = context_store(call, CONTEXT_WRITE, &store);
    if (status != CTL_FINE)
        return status;
    body = body_of(call, ttl);
    status = past_open(call, false, &past);
    if (status == CTL_FINE)
        status = past_policy(&past, &(struct moment){.at = past.now}, &policy);
    if (status == CTL_FINE)
        status = create(call, store, policy, body);
    past_close(&past);
    json_decref(body);
    return status;
}

static int run_revoke(struct call *call)
{
    struct override revoked;
    struct audit_row row;
    struct store *store;
    struct err e;
    int status = context_store(call, CONTEXT_WRITE, &store), rc;

    if (status != CTL_FINE)
        return status;
    row = row_of(store);
    row.kind = "override.revoked";
    rc = overrides_revoke(store, call_argument(call, 0), context_actor(), &row, &revoked, &e);
    if (rc != 0) {
        call_fail("%s", e.message);
        return rc == AGW_ENOTFOUND ? CTL_FINDING : CTL_FAILED;
    }
    if (call->json)
        status = call_json(json_values_override(&revoked, row.ts), CTL_FINE);
    else
        output_line("%s is revoked; it was used %lld times.", revoked.id,
                    (long long)revoked.uses);
    override_clear(&revoked);
    return status;
}

/* -- rows ---------------------------------------------------------------------------------- */

static const struct command_option list_options[] = {
    {"key", VALUE_TEXT, "ID", "only those that hold for the key ID", false, 0, 0},
    {"agent", VALUE_TEXT, "NAME", "only those that match the agent NAME (namespace/name)", false,
     0, 0},
    {"all", VALUE_NONE, NULL, "also those that were revoked or have expired", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_option create_options[] = {
    {"agent", VALUE_TEXT, "PATTERN", "the agents, as 'labs/planner' or 'labs/*'", true, 0, 0},
    {"ttl", VALUE_TEXT, "SPAN", "how long it holds, as 30m, 1h or seconds", true, 0, 0},
    {"key", VALUE_TEXT, "ID", "only for the key ID; without it for every key", false, 0, 0},
    {"reason", VALUE_TEXT, "TEXT", "why, at most 500 characters", false, 0, 0},
    {"ticket", VALUE_TEXT, "TEXT", "where it was asked for, at most 100 characters", false, 0, 0},
    {"max-uses", VALUE_NUMBER, "N", "how many requests it lets run; without it any number", false,
     1, 1000000},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

static const struct command_argument one_id[] = {
    {"ID", VALUE_TEXT, "the override", false},
    {NULL, VALUE_NONE, NULL, false},
};

const struct command cmd_override_list = {
    .group = "override", .name = "list",
    .summary = "List temporary grants with their uses",
    .options = list_options, .run = run_list,
};

const struct command cmd_override_create = {
    .group = "override", .name = "create",
    .summary = "Let a key, or every key, call agents for a while",
    .options = create_options, .run = run_create,
};

const struct command cmd_override_revoke = {
    .group = "override", .name = "revoke",
    .summary = "Take a temporary grant back, in every process at once",
    .arguments = one_id, .run = run_revoke,
};

/* SPDX-License-Identifier: MIT */
/* agwctl usage: what keys used on which days, and what is left of today's budgets. */
#include <string.h>

#include "api/json_values.h"
#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/output.h"
#include "ctl/past.h"
#include "ctl/table.h"
#include "policy/budget.h"
#include "store/usage.h"
#include "util/clock.h"

enum { DEFAULT_DAYS = 7 };

struct report {
    struct call *call;
    int64_t now, day;
    json_t *usage;   /* as usage_list() has it */
    json_t *budgets;
};

/* {"budget","used","left"}; null where there is no budget. */
static json_t *part_json(int64_t budget, int64_t used)
{
    if (budget == 0)
        return json_null();
    return json_pack("{s:I,s:I,s:I}", "budget", (json_int_t)budget, "used", (json_int_t)used,
                     "left", (json_int_t)(used < budget ? budget - used : 0));
}

/* Keys that have a budget, and used something of it or were asked for. */
static int add_budget(struct report *r, struct db *db, const struct config_security *security,
                      const struct config_key *key, struct err *e)
{
    struct config_budget budget = budget_of_key(security, key);
    int64_t requests = 0, tokens = 0;
    int status = 0;

    if (budget.requests_per_day == 0 && budget.tokens_per_day == 0)
        return 0;
    if (budget.requests_per_day > 0)
        status = usage_requests(db, key->id, r->day, &requests, e);
    if (status == 0 && budget.tokens_per_day > 0)
        status = usage_tokens(db, key->id, r->day, &tokens, e);
    if (status != 0 || (requests == 0 && tokens == 0 && call_text(r->call, "key") == NULL))
        return status;
    json_array_append_new(
        r->budgets, json_pack("{s:s,s:o,s:o}", "key_id", key->id, "requests",
                              part_json(budget.requests_per_day, requests), "tokens",
                              part_json(budget.tokens_per_day, tokens)));
    return 0;
}

static int add_budgets(struct report *r, struct past *past)
{
    const char *wanted = call_text(r->call, "key");
    const struct policy *policy;
    struct err e;
    int status = past_policy(past, &(struct moment){.at = past->now}, &policy);

    if (status != CTL_FINE)
        return status;
    for (size_t i = 0; i < authenticate_count(policy->keys); i++) {
        const struct config_key *key = authenticate_key(policy->keys, i);

        if ((wanted == NULL || strcmp(wanted, key->id) == 0) &&
            add_budget(r, past->db, &policy->config->security, key, &e) != 0)
            return call_fail("%s", e.message);
    }
    return CTL_FINE;
}

static int64_t number_of(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static int show_usage(const struct report *r)
{
    static const struct table_column columns[] = {
        {"DAY", false}, {"KEY", false}, {"AGENT", false}, {"REQUESTS", true},
        {"COMPLETED", true}, {"DENIED", true}, {"PROMPT TOKENS", true},
        {"COMPLETION TOKENS", true}, {NULL, false}};
    struct table *table = table_new(columns);
    json_t *row;
    size_t i;

    json_array_foreach(r->usage, i, row)
    {
        table_text(table, STYLE_PLAIN, text_of(row, "day"));
        table_text(table, STYLE_BOLD, text_of(row, "key_id"));
        table_text(table, STYLE_PLAIN, text_of(row, "agent"));
        table_number(table, number_of(row, "requests"));
        table_number(table, number_of(row, "completed"));
        table_number(table, number_of(row, "denied"));
        table_number(table, number_of(row, "prompt_tokens"));
        table_number(table, number_of(row, "completion_tokens"));
    }
    return table_print(&table, r->call->colour, "Nothing was used in that time.");
}

static void add_part(struct table *table, const json_t *part)
{
    int64_t left = number_of(part, "left");

    if (!json_is_object(part)) {
        table_text(table, STYLE_PLAIN, NULL);
        table_text(table, STYLE_FAINT, "unlimited");
        return;
    }
    table_cell(table, STYLE_PLAIN, "%lld of %lld", (long long)number_of(part, "used"),
               (long long)number_of(part, "budget"));
    table_cell(table, left == 0 ? STYLE_BAD : STYLE_GOOD, "%lld", (long long)left);
}

static int show_budgets(const struct report *r)
{
    static const struct table_column columns[] = {
        {"KEY", false}, {"REQUESTS", true}, {"LEFT", true}, {"TOKENS", true}, {"LEFT", true},
        {NULL, false}};
    char end[CLOCK_TEXT_SIZE];
    struct table *table;
    json_t *row;
    size_t i;

    if (json_array_size(r->budgets) == 0)
        return 0;
    output_line("%s", "");
    output_line("Budgets of today, which ends at %s:",
                clock_format((r->day + 1) * USAGE_DAY_MS, end));
    table = table_new(columns);
    json_array_foreach(r->budgets, i, row)
    {
        table_text(table, STYLE_BOLD, text_of(row, "key_id"));
        add_part(table, json_object_get(row, "requests"));
        add_part(table, json_object_get(row, "tokens"));
    }
    return table_print(&table, r->call->colour, "");
}

static int show(struct report *r)
{
    if (r->call->json)
        return call_json(
            json_pack("{s:O,s:O,s:o}", "usage", r->usage, "budgets", r->budgets, "day_ends_at",
                      json_values_time((r->day + 1) * USAGE_DAY_MS)), CTL_FINE);
    return show_usage(r) == 0 && show_budgets(r) == 0 ? CTL_FINE : CTL_FAILED;
}

static int read_usage(struct report *r, struct past *past)
{
    struct usage_filter filter = {.key_id = call_text(r->call, "key"),
                                  .agent = call_text(r->call, "agent")};
    int64_t week = (r->day - DEFAULT_DAYS + 1) * USAGE_DAY_MS;
    struct err e;

    filter.until = call_time(r->call, "until", 0);
    filter.since = call_time(r->call, "since", filter.until == 0 ? week : 0);
    if (usage_list(past->db, &filter, &r->usage, &e) != 0)
        return call_fail("%s", e.message);
    return CTL_FINE;
}

static int run(struct call *call)
{
    struct report r = {.call = call, .budgets = json_array()};
    struct past past;
    int status = past_open(call, false, &past);

    r.now = past.now;
    r.day = r.now / USAGE_DAY_MS;
    if (status == CTL_FINE && past.db == NULL)
        status = call_fail("there is no database, so nothing is on record");
    if (status == CTL_FINE)
        status = read_usage(&r, &past);
    if (status == CTL_FINE && call_text(call, "agent") == NULL)
        status = add_budgets(&r, &past);
    if (status == CTL_FINE)
        status = show(&r);
    json_decref(r.usage);
    json_decref(r.budgets);
    past_close(&past);
    return status;
}

static const struct command_option options[] = {
    COMMAND_KEY,
    COMMAND_AGENT,
    {"since", VALUE_TIME, "TIME", "from the day of TIME on; without it the last 7 days", false, 0,
     0},
    {"until", VALUE_TIME, "TIME", "only days that began before TIME", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_usage = {
    .name = "usage",
    .summary = "Show what keys used on each day, and what is left of today's budgets",
    .options = options, .run = run,
};

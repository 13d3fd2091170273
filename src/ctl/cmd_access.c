/* SPDX-License-Identifier: MIT */
/* agwctl access: who may call what, for the review of accesses. */
#include <string.h>

#include "api/decision_json.h"
#include "api/json_values.h"
#include "ctl/commands.h"
#include "ctl/csv.h"
#include "ctl/past.h"
#include "ctl/progress.h"
#include "ctl/table.h"
#include "policy/explain.h"
#include "util/clock.h"

static const struct command_option options[] = {
    {"at", VALUE_TIME, "TIME", "by what was in force at TIME", false, 0, 0},
    COMMAND_KEY,
    COMMAND_AGENT,
    {"all", VALUE_NONE, NULL, "also the pairs that are refused", false, 0, 0},
    {"files", VALUE_NONE, NULL, "by what the files say now, in force or not", false, 0, 0},
    {"csv", VALUE_NONE, NULL, "print comma-separated values", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

enum { NAME_SIZE = 128 };

static const struct table_column columns[] = {
    {"KEY", false},     {"AGENT", false},      {"MAY CALL", false}, {"SOURCE", false},
    {"PATTERN", false}, {"WRITTEN AT", false}, {"UNTIL", false},    {NULL, false}};

static const char *const csv_titles[] = {"key_id", "agent", "may_call", "answer", "source",
                                         "pattern", "rule", "override_expires_at",
                                         "key_expires_at"};

/* One key and one agent. */
struct pair {
    const struct config_key *key;
    const struct catalog_agent *agent;
    struct decision decision;
    int status; /* of the answer */
};

struct report {
    struct call *call;
    struct table *table; /* text */
    struct buf row;      /* CSV */
    size_t count;        /* pairs that were shown */
};

static void show_text(struct report *r, const struct pair *p)
{
    const struct decision *d = &p->decision;
    int64_t until = d->override != NULL ? d->override->expires_at : 0;
    json_t *rule = decision_json_rule(d);

    if (p->key->expires_at != 0 && (until == 0 || p->key->expires_at < until))
        until = p->key->expires_at;
    table_text(r->table, STYLE_PLAIN, p->key->id);
    table_text(r->table, STYLE_PLAIN, p->agent->spec->id);
    table_text(r->table, p->status == 0 ? STYLE_GOOD : STYLE_BAD,
               p->status == 0 ? "yes" : err_info(p->status)->code);
    table_text(r->table, d->override != NULL ? STYLE_WARNING : STYLE_PLAIN,
               decision_source_name(d->source));
    table_text(r->table, STYLE_PLAIN, d->pattern);
    table_text(r->table, STYLE_PLAIN, json_string_value(rule));
    table_time(r->table, until);
    json_decref(rule);
}

static void csv_time(struct buf *row, int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];

    csv_cell(row, ms == 0 ? NULL : clock_format(ms, text));
}

static void show_csv(struct report *r, const struct pair *p)
{
    const struct decision *d = &p->decision;
    json_t *rule = decision_json_rule(d);

    csv_cell(&r->row, p->key->id);
    csv_cell(&r->row, p->agent->spec->id);
    csv_cell(&r->row, p->status == 0 ? "yes" : "no");
    csv_cell(&r->row, p->status == 0 ? NULL : err_info(p->status)->code);
    csv_cell(&r->row, decision_source_name(d->source));
    csv_cell(&r->row, d->pattern);
    csv_cell(&r->row, json_string_value(rule));
    csv_time(&r->row, d->override != NULL ? d->override->expires_at : 0);
    csv_time(&r->row, p->key->expires_at);
    csv_end(&r->row);
    json_decref(rule);
}

static void show_json(struct report *r, const struct pair *p)
{
    const struct decision *d = &p->decision;

    if (r->count > 0)
        putchar(',');
    (void)output_json_line(json_pack(
        "{s:s,s:s,s:b,s:s?,s:s,s:o,s:o,s:o,s:o}", "key_id", p->key->id, "agent",
        p->agent->spec->id, "may_call", p->status == 0, "answer",
        p->status == 0 ? NULL : err_info(p->status)->code, "source",
        decision_source_name(d->source), "pattern", json_values_text(d->pattern), "rule",
        decision_json_rule(d), "override_expires_at",
        json_values_time(d->override != NULL ? d->override->expires_at : 0), "key_expires_at",
        json_values_time(p->key->expires_at)));
}

static void show(struct report *r, const struct pair *p)
{
    if (p->status != 0 && !call_flag(r->call, "all"))
        return;
    if (r->call->json)
        show_json(r, p);
    else if (call_flag(r->call, "csv"))
        show_csv(r, p);
    else
        show_text(r, p);
    r->count++;
}

static bool is_wanted(const struct call *call, const char *option, const char *id)
{
    const char *wanted = call_text(call, option);

    return wanted == NULL || strcmp(wanted, id) == 0;
}

static void judge(struct report *r, const struct policy *policy, const struct config_key *key,
                  const struct catalog_agent *agent, int64_t at)
{
    struct pair p = {.key = key, .agent = agent};

    decide_agent(&policy->config->security, key, &policy->overrides, agent->spec->id,
                 agent->spec->ns, at, &p.decision);
    p.status = explain_status(key, agent->available, &p.decision, at);
    show(r, &p);
}

/* Which agents are in the runner's folders is not on record, but one that is named can be decided
 * about. */
static void judge_dropin(struct report *r, const struct policy *policy,
                         const struct config_key *key, int64_t at)
{
    const char *id = call_text(r->call, "agent");
    const char *slash = id == NULL ? NULL : strchr(id, '/');
    char ns[NAME_SIZE];
    struct config_agent spec = {.id = id, .ns = ns};
    struct catalog_agent agent = {.spec = &spec, .available = true};

    if (slash == NULL || policy->config->gateway.discovery_path == NULL ||
        (size_t)(slash - id) >= sizeof ns || catalog_find(past_catalog(policy), id) != NULL)
        return;
    memcpy(ns, id, (size_t)(slash - id));
    ns[slash - id] = '\0';
    judge(r, policy, key, &agent, at);
}

static void walk_agents(struct report *r, const struct policy *policy,
                        const struct config_key *key, int64_t at)
{
    const struct catalog *catalog = past_catalog(policy);

    for (size_t i = 0; i < catalog_count(catalog); i++)
        if (is_wanted(r->call, "agent", catalog_at(catalog, i)->spec->id))
            judge(r, policy, key, catalog_at(catalog, i), at);
    judge_dropin(r, policy, key, at);
}

/* The entries are printed as they come: of many keys and agents there are many. */
static void begin(struct report *r, const struct past *past, const struct policy *policy,
                  int64_t at)
{
    char text[CLOCK_TEXT_SIZE];

    if (r->call->json) {
        printf("{\"at\": \"%s\", \"generation\": %lld, \"basis\": \"%s\", \"entries\": [\n",
               clock_format(at, text), (long long)policy->config->generation,
               past->from_files ? "files" : "in force");
    } else if (call_flag(r->call, "csv")) {
        for (size_t i = 0; i < sizeof csv_titles / sizeof csv_titles[0]; i++)
            csv_cell(&r->row, csv_titles[i]);
        csv_end(&r->row);
    } else {
        r->table = table_new(columns);
    }
}

static int finish(struct report *r)
{
    if (r->call->json)
        puts("]}");
    else if (!call_flag(r->call, "csv") &&
             table_print(&r->table, r->call->colour, "No key may call any agent.") != 0)
        return CTL_FAILED;
    return CTL_FINE;
}

static int report(struct call *call, const struct past *past, const struct policy *policy,
                  int64_t at)
{
    size_t count = authenticate_count(policy->keys);
    struct report r = {.call = call};
    struct progress progress;
    int status;

    buf_init(&r.row, 1 << 20);
    progress_begin(&progress, "keys", (int64_t)count);
    begin(&r, past, policy, at);
    for (size_t i = 0; i < count; i++) {
        const struct config_key *key = authenticate_key(policy->keys, i);

        if (is_wanted(call, "key", key->id))
            walk_agents(&r, policy, key, at);
        progress_step(&progress, (int64_t)i);
    }
    progress_end(&progress);
    status = finish(&r);
    buf_free(&r.row);
    return status;
}

static int run(struct call *call)
{
    const struct policy *policy;
    struct moment moment = {0};
    struct past past;
    int status;

    if (call->json && call_flag(call, "csv"))
        return call_usage(call, "--csv and --json exclude each other");
    if (call_text(call, "at") != NULL && call_flag(call, "files"))
        return call_usage(call, "--files are of now, --at is of another time");
    status = past_open(call, call_flag(call, "files"), &past);
    moment.at = call_time(call, "at", past.now);
    if (status == CTL_FINE)
        status = past_policy(&past, &moment, &policy);
    if (status == CTL_FINE)
        status = report(call, &past, policy, moment.at);
    past_close(&past);
    return status;
}

const struct command cmd_access = {
    .name = "access",
    .summary = "List which key may call which agent, by which rule and until when",
    .options = options,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/* agwctl replay: which requests on record a proposed security.yaml would decide otherwise. */
#include "api/json_values.h"
#include "ctl/commands.h"
#include "ctl/past.h"
#include "ctl/progress.h"
#include "ctl/replay.h"
#include "ctl/table.h"
#include "util/clock.h"

static const struct command_option options[] = {
    {"security", VALUE_FILE, "FILE", "the security.yaml that is proposed", true, 0, 0},
    COMMAND_SINCE,
    COMMAND_UNTIL,
    COMMAND_KEY,
    COMMAND_AGENT,
    {"fail-on-flip", VALUE_NONE, NULL, "exit with status 1 when a decision would flip", false, 0,
     0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

struct walk {
    struct replay *replay;
    struct progress progress;
    int64_t first_seq, steps;
    bool by_seq;
};

static int on_row(void *arg, const struct audit_decision *row)
{
    struct walk *walk = arg;

    walk->steps++;
    if (walk->steps % 4096 == 0)
        progress_step(&walk->progress, walk->by_seq ? row->seq - walk->first_seq : walk->steps);
    return replay_add(walk->replay, row);
}

/* The agent's id, from the name that was given. */
static int find_agent(struct call *call, struct past *past, const char **id)
{
    const char *name = call_text(call, "agent");
    const struct catalog_agent *agent;
    const struct policy *policy;
    struct moment now = {.at = past->now};
    int status = name == NULL ? CTL_FINE : past_policy(past, &now, &policy);

    *id = name;
    if (name == NULL || status != CTL_FINE)
        return status;
    agent = catalog_find(past_catalog(policy), name);
    if (agent != NULL)
        *id = agent->spec->id;
    return CTL_FINE;
}

static int read_trail(struct call *call, struct past *past, struct replay *replay)
{
    struct audit_period period = {.since = call_time(call, "since", 0),
                                  .until = call_time(call, "until", 0),
                                  .key_id = call_text(call, "key")};
    struct walk walk = {.replay = replay};
    int64_t last = -1;
    struct err e;
    int status = find_agent(call, past, &period.agent);

    if (status != CTL_FINE)
        return status;
    if (past->db == NULL)
        return call_fail("there is no database, so no request is on record");
    walk.by_seq = period.key_id == NULL && period.agent == NULL;
    e.message[0] = '\0';
    if (audit_decisions_span(past->db, &period, &walk.first_seq, &last, &e) != 0)
        return call_fail("%s", e.message);
    progress_begin(&walk.progress, "rows", walk.by_seq ? last - walk.first_seq + 1 : 0);
    status = audit_decisions_each(past->db, &period, on_row, &walk, &e);
    progress_end(&walk.progress);
    if (status != 0)
        return call_fail("%s", e.message[0] == '\0' ? "out of memory" : e.message);
    return CTL_FINE;
}

/* ---- output ---- */

static json_t *flip_json(const struct replay_flip *f)
{
    const struct replay_sum *was = f->sum;
    const struct replay_verdict *v = &was->verdict;

    return json_pack(
        "{s:s,s:s,s:I,s:o,s:o,s:{s:s,s:s?,s:s?,s:s?},s:{s:s,s:s?,s:s?,s:s?,s:i,s:s?}}", "key_id",
        was->pair->key_id, "agent", was->pair->agent, "requests", (json_int_t)f->count, "first",
        json_values_time(f->first), "last", json_values_time(f->last), "was", "decision",
        was->decision, "source", was->source, "pattern", was->pattern, "rule", was->place,
        "would_be", "decision", v->status == 0 ? "allow" : "deny", "source", v->source, "pattern",
        v->pattern, "rule", v->rule, "status",
        v->status == 0 ? 200 : err_info(v->status)->status, "code",
        v->status == 0 ? NULL : err_info(v->status)->code);
}

static int64_t flipped(const struct replay_flips *flips)
{
    int64_t sum = 0;

    for (size_t i = 0; i < flips->count; i++)
        sum += flips->items[i].count;
    return sum;
}

static int show_json(struct call *call, const struct replay *replay,
                     const struct replay_flips *flips, int status)
{
    json_t *list = json_array();

    for (size_t i = 0; i < flips->count; i++)
        json_array_append_new(list, flip_json(&flips->items[i]));
    return call_json(json_pack("{s:s,s:o,s:o,s:I,s:I,s:I,s:o}", "security",
                               call_text(call, "security"), "since",
                               json_values_time(call_time(call, "since", 0)), "until",
                               json_values_time(call_time(call, "until", 0)), "requests",
                               (json_int_t)replay_requests(replay), "pairs",
                               (json_int_t)replay_pairs(replay), "flipped_requests",
                               (json_int_t)flipped(flips), "flips", list),
                     status);
}

static void show_rule(struct table *table, const char *source, const char *pattern,
                      const char *place)
{
    table_cell(table, STYLE_PLAIN, "%s%s%s%s%s", source == NULL ? "" : source,
               pattern == NULL ? "" : " ", pattern == NULL ? "" : pattern,
               place == NULL ? "" : " ", place == NULL ? "" : place);
}

static int show_text(struct call *call, const struct replay *replay,
                     const struct replay_flips *flips, int status)
{
    static const struct table_column columns[] = {
        {"KEY", false}, {"AGENT", false}, {"REQUESTS", true}, {"WAS", false}, {"BY", false},
        {"WOULD BE", false}, {"BY", false}, {"FIRST", false}, {"LAST", false}, {NULL, false}};
    struct table *table = table_new(columns);

    for (size_t i = 0; i < flips->count; i++) {
        const struct replay_flip *f = &flips->items[i];
        const struct replay_sum *was = f->sum;
        const struct replay_verdict *v = &was->verdict;

        table_text(table, STYLE_PLAIN, was->pair->key_id);
        table_text(table, STYLE_PLAIN, was->pair->agent);
        table_number(table, f->count);
        table_text(table, STYLE_PLAIN, was->decision);
        show_rule(table, was->source, was->pattern, was->place);
        table_text(table, v->status == 0 ? STYLE_WARNING : STYLE_BAD,
                   v->status == 0 ? "allow" : "deny");
        show_rule(table, v->source == NULL ? err_info(v->status)->code : v->source, v->pattern,
                  v->rule);
        table_time(table, f->first);
        table_time(table, f->last);
    }
    if (table_print(&table, call->colour, "No decision would flip.") != 0)
        return CTL_FAILED;
    output_line("%lld of %lld requests on record (%zu pairs of key and agent) would be decided "
                "otherwise.", (long long)flipped(flips), (long long)replay_requests(replay),
                replay_pairs(replay));
    return status;
}

static int show(struct call *call, struct replay *replay)
{
    struct replay_flips flips;
    struct err e;
    int status;

    if (!replay_is_exact(replay))
        call_warn("too many requests met an override with a number of uses: of some it is not "
                  "known whether they would have found it spent; take a shorter period");
    if (replay_flips(replay, &flips, &e) != 0)
        return call_fail("%s", e.message);
    status = flips.count > 0 && call_flag(call, "fail-on-flip") ? CTL_FINDING : CTL_FINE;
    status = call->json ? show_json(call, replay, &flips, status)
                        : show_text(call, replay, &flips, status);
    replay_flips_free(&flips);
    return status;
}

static int run(struct call *call)
{
    struct replay *replay = NULL;
    struct past past;
    int status = past_open(call, false, &past);

    if (status == CTL_FINE)
        status = past_propose_security(call, &past, call_text(call, "security"));
    if (status == CTL_FINE && (replay = replay_new(past.history)) == NULL)
        status = call_fail("out of memory");
    if (status == CTL_FINE)
        status = read_trail(call, &past, replay);
    if (status == CTL_FINE)
        status = show(call, replay);
    replay_free(&replay);
    past_close(&past);
    return status;
}

const struct command cmd_replay = {
    .name = "replay",
    .summary = "Run requests on record against a proposed security.yaml and list what would flip",
    .options = options,
    .run = run,
};

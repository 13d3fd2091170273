/* SPDX-License-Identifier: MIT */
/* Goes through everything that somebody should know in the morning. */
#include "ctl/nightly.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/exposure.h"
#include "ctl/nightly_report.h"
#include "store/inspect.h"
#include "store/nightly_facts.h"
#include "store/overrides.h"
#include "util/clock.h"
#include "util/json_text.h"

enum { MESSAGE_SIZE = 700, AGENTS_NAMED = 10, LONG_RUNNING_MS = 3600000 };

static const char *const severities[NIGHTLY_SEVERITIES] = {"info", "warning", "critical"};

void nightly_say(struct nightly *n, const char *name, json_t *value)
{
    if (value == NULL || json_object_set_new(n->result->report, name, value) != 0)
        n->failed = true;
}

void nightly_find(struct nightly *n, enum nightly_severity severity, const char *kind,
                  const char *subject, const char *format, ...)
{
    char message[MESSAGE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    json_text_repair(message);
    n->counts[severity]++;
    if (json_array_append_new(n->findings,
                              json_pack("{s:s, s:s, s:s?, s:s}", "severity",
                                        severities[severity], "kind", kind, "subject", subject,
                                        "message", message)) != 0)
        n->failed = true;
}

static void found_exposed(void *arg, const char *path, const char *message)
{
    nightly_find(arg, NIGHTLY_WARNING, "file.exposed", path, "%s.", message);
}

/* Where keys of providers would travel in the clear. */
static void look_at_upstreams(struct nightly *n)
{
    static const char *const here[] = {"http://127.", "http://localhost", "http://[::1]"};
    const struct config *config = n->order->config;

    for (size_t i = 0; config != NULL && i < config->upstream_count; i++) {
        const struct config_upstream *u = &config->upstreams[i];
        bool local = false;

        for (size_t k = 0; u->base_url != NULL && k < sizeof here / sizeof here[0]; k++)
            local = local || strncmp(u->base_url, here[k], strlen(here[k])) == 0;
        if (u->base_url != NULL && u->api_key != NULL && !local &&
            strncmp(u->base_url, "http://", 7) == 0)
            nightly_find(n, NIGHTLY_WARNING, "upstream.cleartext", u->name,
                         "Its key travels without encryption: base_url begins with http://.");
    }
}

static void look_at_configuration(struct nightly *n)
{
    const struct nightly_order *order = n->order;

    if (order->config == NULL)
        nightly_find(n, NIGHTLY_CRITICAL, "config.invalid", NULL,
                     "The configuration cannot be read; a restart would fail: %.400s",
                     order->config_problem == NULL ? "" : order->config_problem);
    exposure_find(n->db == NULL ? NULL : order->database, order->sources, found_exposed, n);
    look_at_upstreams(n);
}

static const char *text(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static json_int_t number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

/* Times of facts are numbers; in the report they are read by people too. */
static json_t *time_json(json_int_t ms)
{
    char when[CLOCK_TEXT_SIZE];

    return ms == 0 ? json_null() : json_string(clock_format(ms, when));
}

static void judge_override(struct nightly *n, json_t *row)
{
    const char *id = text(row, "id"), *reason = text(row, "reason");
    char when[CLOCK_TEXT_SIZE];

    if (reason == NULL || reason[strspn(reason, " ")] == '\0')
        nightly_find(n, NIGHTLY_WARNING, "override.no_reason", id,
                     "Nobody said why %.200s was granted (by %.100s).", text(row, "pattern"),
                     text(row, "created_by") == NULL ? "unknown" : text(row, "created_by"));
    if (number(row, "active") != 0)
        nightly_find(n, NIGHTLY_INFO, "override.active", id,
                     "%.200s is granted to %.100s until %s.", text(row, "pattern"),
                     text(row, "key_id") == NULL ? "every key" : text(row, "key_id"),
                     clock_format(number(row, "expires"), when));
    else if (number(row, "uses") == 0)
        nightly_find(n, NIGHTLY_INFO, "override.unused", id,
                     "%.200s was granted and never used.", text(row, "pattern"));
    json_object_set_new(row, "created", time_json(number(row, "created")));
    json_object_set_new(row, "expires", time_json(number(row, "expires")));
    json_object_set_new(row, "active", json_boolean(number(row, "active")));
}

/* A grant in the table that the trail does not know was put there by somebody else. */
static int look_for_forged_overrides(struct nightly *n, json_int_t active, struct err *e)
{
    struct override_list live;
    int status = overrides_list(n->db, store_now(n->order->store), 0, &live, e);

    if (status == 0 && active > (json_int_t)live.count)
        nightly_find(n, NIGHTLY_CRITICAL, "override.unrecorded", NULL,
                     "%lld grants in the database are not as the audit trail has them; they count"
                     " for nothing, but somebody has made them.",
                     (long long)(active - (json_int_t)live.count));
    override_list_clear(&live);
    return status;
}

static int look_at_overrides(struct nightly *n, struct err *e)
{
    json_t *rows = nightly_facts(n->db, FACT_OVERRIDES, n->order->since,
                                 store_now(n->order->store), e), *row;
    json_int_t active = 0, used = 0, uses = 0;
    size_t i;

    if (rows == NULL)
        return AGW_ESTORE;
    json_array_foreach(rows, i, row) {
        active += number(row, "active") != 0;
        used += number(row, "uses") > 0;
        uses += number(row, "uses");
        judge_override(n, row);
    }
    nightly_say(n, "overrides", json_pack("{s:I, s:I, s:I, s:I, s:o}", "total",
                                          (json_int_t)json_array_size(rows), "active", active,
                                          "used", used, "uses", uses, "list", rows));
    return look_for_forged_overrides(n, active, e);
}

static int look_at_denials(struct nightly *n, struct err *e)
{
    json_t *rows = nightly_facts(n->db, FACT_DENIALS, n->order->since, INT64_MAX, e), *row;
    json_int_t total = 0;
    size_t i;

    if (rows == NULL)
        return AGW_ESTORE;
    json_array_foreach(rows, i, row) {
        const char *agent = text(row, "agent");

        total += number(row, "denials");
        if (i < AGENTS_NAMED)
            nightly_find(n, NIGHTLY_INFO, "agent.denied",
                         agent == NULL || agent[0] == '\0' ? NULL : agent,
                         "Denied %lld times, to %lld keys.", (long long)number(row, "denials"),
                         (long long)number(row, "keys"));
    }
    nightly_say(n, "denials", json_pack("{s:I, s:o}", "total", total, "by_agent", rows));
    return 0;
}

static void judge_running(struct nightly *n, const json_t *rows)
{
    json_int_t stuck = 0;
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
        stuck += n->order->now - number(row, "began") > LONG_RUNNING_MS;
    if (stuck > 0)
        nightly_find(n, NIGHTLY_WARNING, "request.unfinished", NULL,
                     "%lld requests have not ended for more than an hour: see"
                     " unfinished-requests.sql.", (long long)stuck);
}

static int look_at_unfinished(struct nightly *n, struct err *e)
{
    json_t *running = nightly_facts(n->db, FACT_RUNNING, n->order->since, n->order->now, e);
    json_t *cut = running == NULL ? NULL
                                  : nightly_facts(n->db, FACT_CUT_OFF, n->order->since,
                                                  INT64_MAX, e);

    if (cut != NULL) {
        judge_running(n, running);
        if (json_array_size(cut) > 0)
            nightly_find(n, NIGHTLY_WARNING, "request.cut_off", NULL,
                         "%zu requests were cut off by the death of their process.",
                         json_array_size(cut));
        nightly_say(n, "unfinished",
                    json_pack("{s:I, s:I}", "running", (json_int_t)json_array_size(running),
                              "cut_off", (json_int_t)json_array_size(cut)));
    }
    json_decref(running);
    json_decref(cut);
    return cut == NULL ? AGW_ESTORE : 0;
}

struct inspection {
    struct nightly *n;
    json_t *problems;
};

static void found_damage(void *arg, const char *name, enum inspect_state state,
                         const char *detail)
{
    const struct inspection *inspection = arg;

    if (state == INSPECT_OK)
        return;
    json_array_append_new(inspection->problems, json_pack("{s:s, s:s}", "check", name, "detail",
                                                          detail));
    nightly_find(inspection->n,
                 state == INSPECT_FAILED ? NIGHTLY_CRITICAL : NIGHTLY_WARNING,
                 state == INSPECT_FAILED ? "database.damaged" : "database.altered", name, "%s",
                 detail);
}

static int look_at_pages(struct nightly *n, struct err *e)
{
    struct inspection inspection = {n, json_array()};
    const struct inspect inspect = {
        .depth = n->order->full ? INSPECT_INDEXES : INSPECT_QUICK, .found = found_damage,
        .arg = &inspection};
    enum inspect_state worst = INSPECT_OK;
    int status = inspect_database(n->db, &inspect, &worst, e);

    if (status != 0) {
        json_decref(inspection.problems);
        return status;
    }
    nightly_say(n, "database", json_pack("{s:s?, s:b, s:b, s:o}", "path", n->order->database,
                                         "ok", worst != INSPECT_FAILED, "thorough",
                                         n->order->full, "problems", inspection.problems));
    return 0;
}

/* What cannot be read is a finding, not the end: the rest is said all the same. */
static void look_at_database(struct nightly *n)
{
    static const struct {
        int (*look)(struct nightly *n, struct err *e);
        const char *names[2]; /* what it says */
    } parts[] = {
        {look_at_pages, {"database"}},
        {look_at_overrides, {"overrides"}},
        {look_at_denials, {"denials"}},
        {look_at_unfinished, {"unfinished"}},
        {nightly_trail, {"audit", "requests"}},
    };
    struct err e;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (n->db != NULL && parts[i].look(n, &e) != 0)
            nightly_find(n, NIGHTLY_CRITICAL, "database.unreadable", parts[i].names[0], "%s",
                         e.message);
        for (size_t k = 0; k < 2 && parts[i].names[k] != NULL; k++)
            if (json_object_get(n->result->report, parts[i].names[k]) == NULL)
                nightly_say(n, parts[i].names[k], json_null());
    }
}

static void look_for_database(struct nightly *n)
{
    const struct nightly_order *order = n->order;

    if (order->database_problem != NULL)
        nightly_find(n, NIGHTLY_CRITICAL, "database.unreadable", order->database, "%.400s",
                     order->database_problem);
    else if (order->store == NULL && order->last != NULL)
        nightly_find(n, NIGHTLY_CRITICAL, "database.missing", order->database,
                     "The database is gone: the last audit has seen it.");
    else if (order->store == NULL)
        nightly_find(n, NIGHTLY_INFO, "database.missing", order->database,
                     "There is no database yet: only the configuration was looked at.");
}

static int finish(struct nightly *n, struct err *e)
{
    n->result->healthy = n->counts[NIGHTLY_WARNING] + n->counts[NIGHTLY_CRITICAL] == 0;
    nightly_say(n, "healthy", json_boolean(n->result->healthy));
    nightly_say(n, "counts", json_pack("{s:I, s:I, s:I}", "critical",
                                       (json_int_t)n->counts[NIGHTLY_CRITICAL], "warning",
                                       (json_int_t)n->counts[NIGHTLY_WARNING], "info",
                                       (json_int_t)n->counts[NIGHTLY_INFO]));
    return n->failed ? err_set(e, AGW_ENOMEM, "the nightly audit") : 0;
}

int nightly_audit(const struct nightly_order *order, struct nightly_result *result,
                  struct err *e)
{
    struct nightly n = {.order = order, .result = result, .findings = json_array()};
    char when[CLOCK_TEXT_SIZE];
    int status = 0;

    memset(result, 0, sizeof *result);
    result->report = json_object();
    if (order->store != NULL && (n.db = store_acquire(order->store, e)) == NULL)
        status = AGW_ESTORE;
    nightly_say(&n, "timestamp", json_string(clock_format(order->now, when)));
    nightly_say(&n, "version", json_string(PACKAGE_VERSION));
    nightly_say(&n, "since", json_string(clock_format(order->since, when)));
    nightly_say(&n, "healthy", json_false());
    nightly_say(&n, "counts", json_object());
    nightly_say(&n, "security_findings", json_incref(n.findings));
    if (status == 0) {
        look_at_configuration(&n);
        nightly_keys(&n);
        look_for_database(&n);
        look_at_database(&n);
        status = finish(&n, e);
    }
    store_release(order->store, n.db);
    json_decref(n.findings);
    if (status != 0) {
        json_decref(result->report);
        result->report = NULL;
    }
    return status;
}

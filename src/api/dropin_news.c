/* SPDX-License-Identifier: MIT */
/* Tells people what became of the folders of agents. */
#include "api/dropin_news.h"

#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "store/errors_ring.h"
#include "store/metrics.h"
#include "util/json_memory.h"
#include "util/log.h"

enum { KIND_SIZE = 32 };

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* When it was seen changes with each look, what it is does not. */
static bool is_same(const json_t *a, const json_t *b)
{
    static const char *const members[] = {"kind", "severity", "agent", "module", "path", "line",
                                          "message"};

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const json_t *left = json_object_get(a, members[i]);
        const json_t *right = json_object_get(b, members[i]);

        if (left != right && !json_equal(left, right))
            return false;
    }
    return true;
}

static bool contains(const json_t *list, const json_t *problem)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
        if (is_same(item, problem))
            return true;
    return false;
}

/* ---- problems ---- */

static bool is_blocked(const json_t *problem)
{
    const char *kind = text_of(problem, "kind"), *message = text_of(problem, "message");

    return kind != NULL && strcmp(kind, "security") == 0 && message != NULL &&
           strncmp(message, "the module is blocked", strlen("the module is blocked")) == 0;
}

static void log_problem(const json_t *problem)
{
    const char *severity = text_of(problem, "severity");
    bool warning = severity != NULL && strcmp(severity, "warning") == 0;
    const json_t *line_number = json_object_get(problem, "line");
    struct log_line line;

    log_begin(&line, warning ? LOG_WARN : LOG_ERROR,
              is_blocked(problem) ? "agent.dropin.blocked" : "agent_discovery");
    log_str(&line, "kind", text_of(problem, "kind"));
    log_str(&line, "agent", text_of(problem, "agent"));
    log_str(&line, "module", text_of(problem, "module"));
    log_str(&line, "path", text_of(problem, "path"));
    if (json_is_integer(line_number))
        log_int(&line, "line", json_integer_value(line_number));
    log_str(&line, "message", text_of(problem, "message"));
    log_end(&line);
}

static void keep_problem(struct api *api, const json_t *problem)
{
    const char *agent = text_of(problem, "agent"), *message = text_of(problem, "message");
    char kind[KIND_SIZE];
    struct error_entry entry = {.ts = store_now(api->store), .component = "agents",
                                .kind = kind,
                                .severity = text_of(problem, "severity"),
                                .subject = agent != NULL ? agent : text_of(problem, "module"),
                                .message = message == NULL ? "" : message};
    struct err e;

    snprintf(kind, sizeof kind, "discovery_%s", text_of(problem, "kind"));
    if (errors_ring_add(api->store, &entry, 1, &e) != 0)
        log_message(LOG_ERROR, "store.failed", "noting an error: %s", e.message);
}

/* That code was kept from running is a decision: it is on record like all others. */
static void record_blocked(struct api *api, const json_t *problem)
{
    json_t *detail = json_pack("{s:s*,s:s*,s:s*}", "module", text_of(problem, "module"), "path",
                               text_of(problem, "path"), "message", text_of(problem, "message"));
    char *text = detail == NULL ? NULL : json_dumps(detail, JSON_COMPACT);
    struct audit_row row = {.ts = store_now(api->store), .kind = "dropin.blocked",
                            .process = audit_process(), .agent = text_of(problem, "agent"),
                            .generation = -1, .status = -1, .streaming = -1,
                            .prompt_tokens = -1, .completion_tokens = -1, .duration_ms = -1,
                            .detail = text};
    struct err e;

    if (audit_close(api->audit, &row, NULL, &e) != 0)
        log_message(LOG_ERROR, "audit.failed", "a blocked module: %s", e.message);
    json_decref(detail);
    json_memory_free(text);
}

static void tell_problem(struct api *api, const json_t *problem)
{
    static const char *const kinds[] = {"import", "dependency", "validation", "security",
                                        "runtime"};
    const char *kind = text_of(problem, "kind");
    size_t i = 0;

    while (i < sizeof kinds / sizeof kinds[0] && (kind == NULL || strcmp(kind, kinds[i]) != 0))
        i++;
    if (i == sizeof kinds / sizeof kinds[0])
        return;
    log_problem(problem);
    keep_problem(api, problem);
    metrics_add(METRIC_DROPIN_FAILURES, 1, kind);
    if (is_blocked(problem))
        record_blocked(api, problem);
}

/* ---- the rest ---- */

static void tell_watch(const json_t *now, const json_t *before)
{
    static const char *const events[] = {"agent.watch.started", "agent.watch.stopped",
                                         "agent.watch.disabled"};
    const char *state = text_of(now, "state");
    struct log_line line;

    if (state == NULL || (before != NULL && json_equal(now, before)))
        return;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (strcmp(events[i] + strlen("agent.watch."), state) != 0)
            continue;
        log_begin(&line, strcmp(state, "disabled") == 0 ? LOG_WARN : LOG_INFO, events[i]);
        log_str(&line, "reason", text_of(now, "reason"));
        log_end(&line);
    }
}

static void log_agent(const struct dropin *agent, const char *what)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "agent_discovery");
    log_str(&line, "agent", agent->spec.id);
    log_str(&line, "module", agent->module);
    log_str(&line, "path", agent->path);
    log_str(&line, "message", what);
    log_end(&line);
}

static void tell_agents(const struct dropins *list, const struct dropins *other, const char *what)
{
    for (size_t i = 0; list != NULL && i < list->count; i++)
        if (dropins_find(other, list->list[i].spec.id) == NULL)
            log_agent(&list->list[i], what);
}

static void tell_runner(struct api *api)
{
    json_t *state = link_json(api->link);
    bool up = link_is_up(api->link);
    struct log_line line;

    log_begin(&line, up ? LOG_INFO : LOG_WARN, up ? "runner.connected" : "runner.away");
    log_str(&line, "reason", text_of(state, "reason"));
    log_end(&line);
    json_decref(state);
}

void dropin_news(void *arg, const struct dropins *now, const struct dropins *before)
{
    const json_t *old = before == NULL ? NULL : before->message, *problem;
    size_t i;

    if (now == NULL) {
        tell_runner(arg);
        return;
    }
    tell_watch(json_object_get(now->message, "watch"), json_object_get(old, "watch"));
    json_array_foreach(json_object_get(now->message, "errors"), i, problem)
        if (!contains(json_object_get(old, "errors"), problem))
            tell_problem(arg, problem);
    tell_agents(now, before, "found");
    tell_agents(before, now, "gone");
}

/* SPDX-License-Identifier: MIT */
/* Tells people what became of the folders of agents. */
#include "api/dropin_news.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/context.h"
#include "store/dropin_problems.h"
#include "store/errors_ring.h"
#include "store/metrics.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/json_text.h"
#include "util/log.h"

enum { KIND_SIZE = 32, PLACE_SIZE = 1024, MESSAGE_SIZE = 4096 };

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* When it was seen changes with each look, what it is does not. */
static const char *const members[] = {"kind", "severity", "agent", "module",
                                      "path", "line",     "message", "count"};

static bool is_same(const json_t *a, const json_t *b)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const json_t *left = json_object_get(a, members[i]);
        const json_t *right = json_object_get(b, members[i]);

        if (left != right && !json_equal(left, right))
            return false;
    }
    return true;
}

/* *place: where to begin, for lists are mostly in the same order; then that of the next one. There
 * may be thousands, and all who wait for the runner wait for this. */
static bool contains(const json_t *list, const json_t *problem, size_t *place)
{
    size_t count = json_array_size(list);

    for (size_t i = 0; i < count; i++) {
        size_t at = (*place + i) % count;

        if (is_same(json_array_get(list, at), problem)) {
            *place = at + 1;
            return true;
        }
    }
    return false;
}

/* ---- problems ---- */

/* By lists, by whose its files are, or by the name it wants: only the runner says so. */
static bool is_blocked(const json_t *problem)
{
    const char *kind = text_of(problem, "kind"), *severity = text_of(problem, "severity");

    return kind != NULL && strcmp(kind, "security") == 0 && severity != NULL &&
           strcmp(severity, "error") == 0;
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

/* "FILE:LINE: MESSAGE", as compilers have it. */
static void with_place(char out[MESSAGE_SIZE], const json_t *problem)
{
    const char *path = text_of(problem, "path"), *message = text_of(problem, "message");
    const json_t *line = json_object_get(problem, "line");
    char place[PLACE_SIZE] = "";

    message = message == NULL ? "" : message;
    if (path != NULL && json_is_integer(line))
        snprintf(place, sizeof place, "%.900s:%lld: ", path,
                 (long long)json_integer_value(line));
    else if (path != NULL && strncmp(message, path, strlen(path)) != 0)
        snprintf(place, sizeof place, "%.900s: ", path);
    snprintf(out, MESSAGE_SIZE, "%s%s", place, message);
    json_text_repair(out);
}

/* false: the database takes nothing. */
static bool keep_problem(struct api *api, const json_t *problem)
{
    const char *agent = text_of(problem, "agent");
    char kind[KIND_SIZE], message[MESSAGE_SIZE];
    struct error_entry entry = {.ts = store_now(api->store), .component = "agents",
                                .kind = kind,
                                .severity = text_of(problem, "severity"),
                                .subject = agent != NULL ? agent : text_of(problem, "module"),
                                .message = message};
    struct err e;

    with_place(message, problem);
    snprintf(kind, sizeof kind, "discovery_%s", text_of(problem, "kind"));
    if (errors_ring_add(api->store, &entry, 1, &e) == 0)
        return true;
    log_message(LOG_ERROR, "store.failed", "noting an error: %s", e.message);
    return false;
}

/* That code was kept from running is a decision: it is on record like all others. *text: the
 * row's detail. */
static void describe_blocked(const struct api *api, const json_t *problem, struct audit_row *row,
                             char **text)
{
    json_t *detail = json_pack("{s:s*,s:s*,s:s*}", "module", text_of(problem, "module"), "path",
                               text_of(problem, "path"), "message", text_of(problem, "message"));

    *text = detail == NULL ? NULL : json_dumps(detail, JSON_COMPACT);
    *row = audit_row_new(store_now(api->store), "dropin.blocked");
    row->process = audit_process();
    row->agent = text_of(problem, "agent");
    row->detail = *text;
    json_decref(detail);
}

static bool is_known_kind(const json_t *problem)
{
    static const char *const kinds[] = {"import", "dependency", "validation", "security",
                                        "runtime"};
    const char *kind = text_of(problem, "kind");

    for (size_t i = 0; kind != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

/* *keeps: the database takes what is noted; else each would wait for it as long as the one before,
 * and with them all who wait for the runner. */
static void tell_problem(struct api *api, const json_t *problem, bool *keeps)
{
    log_problem(problem);
    *keeps = *keeps && keep_problem(api, problem);
    metrics_add(METRIC_DROPIN_FAILURES, 1, text_of(problem, "kind"));
}

/* ---- which are new ---- */

/* Of all lists of one gateway's runner: known to the database, in the order of the errors. */
struct told {
    const json_t **errors;
    struct dropin_problem *problems;
    struct audit_row *rows;
    char **texts;
    size_t count;
};

static void hash_problem(const json_t *problem, char hash[SHA_HEX_SIZE])
{
    json_t *said = json_array();
    char *text;

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *value = json_object_get(problem, members[i]);

        json_array_append_new(said, value == NULL ? json_null() : json_deep_copy(value));
    }
    text = json_dumps(said, JSON_COMPACT | JSON_SORT_KEYS);
    sha_256_hex(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), hash);
    json_memory_free(text);
    json_decref(said);
}

static void free_told(struct told *t)
{
    for (size_t i = 0; t->texts != NULL && i < t->count; i++)
        json_memory_free(t->texts[i]);
    free(t->errors);
    free(t->problems);
    free(t->rows);
    free(t->texts);
}

/* false: memory is out. */
static bool collect(const struct api *api, const json_t *errors, struct told *t)
{
    size_t most = json_array_size(errors) + 1, i;
    const json_t *problem;

    *t = (struct told){.errors = calloc(most, sizeof(json_t *)),
                       .problems = calloc(most, sizeof *t->problems),
                       .rows = calloc(most, sizeof *t->rows),
                       .texts = calloc(most, sizeof(char *))};
    if (t->errors == NULL || t->problems == NULL || t->rows == NULL || t->texts == NULL)
        return false;
    json_array_foreach(errors, i, problem) {
        if (!is_known_kind(problem))
            continue;
        t->errors[t->count] = problem;
        hash_problem(problem, t->problems[t->count].hash);
        if (is_blocked(problem)) {
            describe_blocked(api, problem, &t->rows[t->count], &t->texts[t->count]);
            t->problems[t->count].row = &t->rows[t->count];
        }
        t->count++;
    }
    return true;
}

static bool contains_all(const json_t *list, const json_t *problems)
{
    const json_t *problem;
    size_t i, place = 0;

    json_array_foreach(problems, i, problem)
        if (!contains(list, problem, &place))
            return false;
    return true;
}

/* Nothing that the database could not know from the list before. */
static bool is_old(const json_t *now, const json_t *before)
{
    const json_t *errors = json_object_get(now, "errors");
    const json_t *old = json_object_get(before, "errors");

    return before != NULL &&
           json_equal(json_object_get(now, "runner"), json_object_get(before, "runner")) &&
           contains_all(old, errors) && contains_all(errors, old);
}

/* A runner that does not say who it is has one list after the other, each of them complete. */
static void describe_list(const json_t *message, struct dropin_list *list)
{
    const json_t *runner = json_object_get(message, "runner");
    const char *socket = text_of(runner, "socket");

    list->runner = socket == NULL ? "" : socket;
    list->started_at = socket == NULL ? clock_mono_us()
                                      : json_integer_value(json_object_get(runner, "started_at"));
    list->generation = json_integer_value(json_object_get(message, "generation"));
    list->is_complete = socket == NULL || json_is_true(json_object_get(runner, "complete"));
}

/* Each is told once, whichever gateway sees it first, and again only when it had gone. When the
 * database cannot say that, this process's last list has to do, and what belongs on record is
 * put there with the next list. */
static void tell_problems(struct api *api, const json_t *now, const json_t *before)
{
    static bool owes; /* of the link's one thread */
    const json_t *told = json_object_get(before, "errors");
    struct dropin_list list;
    struct told t;
    struct err e = {0};
    int status = AGW_ENOMEM;
    size_t place = 0;
    bool keeps;

    if (!owes && is_old(now, before))
        return;
    describe_list(now, &list);
    if (collect(api, json_object_get(now, "errors"), &t))
        status = dropin_problems_update(api->store, &list, t.problems, t.count, &e);
    if (status != 0)
        log_message(LOG_ERROR, "store.failed", "problems of agents: %s", e.message);
    keeps = status == 0;
    for (size_t i = 0; i < t.count; i++)
        if (status != 0 || owes ? !contains(told, t.errors[i], &place) : t.problems[i].is_new)
            tell_problem(api, t.errors[i], &keeps);
    owes = status != 0;
    free_told(&t);
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
    const json_t *old = before == NULL ? NULL : before->message;

    if (now == NULL) {
        tell_runner(arg);
        return;
    }
    tell_watch(json_object_get(now->message, "watch"), json_object_get(old, "watch"));
    tell_problems(arg, now->message, old);
    tell_agents(now, before, "found");
    tell_agents(before, now, "gone");
}

/* SPDX-License-Identifier: MIT */
/* Writes down which configuration was accepted, and which was not. */
#include "policy/register.h"

#include <stdlib.h>
#include <string.h>

#include "policy/audit.h"
#include "policy/key_set.h"
#include "policy/state.h"
#include "store/audit_rows.h"
#include "store/configurations.h"
#include "store/errors_ring.h"
#include "store/metrics.h"
#include "util/arena.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/log.h"

/* A list as a JSON array, NULL for an absent one; false when memory is out. Entries on trial
 * are written as in the file, so that nobody takes them for rules. */
static bool patterns_text(struct arena *arena, const struct config_patterns *list,
                          const char **text)
{
    size_t on_trial = list->shadow == NULL ? 0 : list->shadow->count;
    bool present = list->present || on_trial > 0;
    json_t *array = json_array();
    char *dump = NULL;
    int failures = 0;

    *text = NULL;
    for (size_t i = 0; i < list->count; i++)
        failures += json_array_append_new(array, json_string(list->patterns[i])) != 0;
    for (size_t i = 0; i < on_trial; i++)
        failures += json_array_append_new(array, json_pack("{s:s,s:s}", "pattern",
                                                           list->shadow->patterns[i], "mode",
                                                           "shadow")) != 0;
    if (present && failures == 0 && (dump = json_dumps(array, JSON_COMPACT)) != NULL)
        *text = arena_strdup(arena, dump);
    json_decref(array);
    json_memory_free(dump);
    return !present || *text != NULL;
}

static bool fill_key(struct arena *arena, const struct config_key *key, struct key_row *row)
{
    row->id = key->id;
    row->description = key->description;
    row->roles = key_set_roles_text(key->roles);
    memcpy(row->hash, key->hash, sizeof row->hash);
    row->was_plaintext = key->was_plaintext;
    row->expires_at = key->expires_at;
    row->rate_per_minute = key->rate_per_minute;
    row->requests_per_day = key->budget.requests_per_day;
    row->tokens_per_day = key->budget.tokens_per_day;
    return patterns_text(arena, &key->allow_agents, &row->allow_agents) &&
           patterns_text(arena, &key->deny_agents, &row->deny_agents);
}

/* The keys as rows in the arena, NULL when memory is out. */
static struct key_row *key_rows(struct arena *arena, const struct config_security *security)
{
    struct key_row *rows =
        arena == NULL ? NULL : arena_alloc(arena, security->key_count * sizeof *rows);

    for (size_t i = 0; rows != NULL && i < security->key_count; i++)
        if (!fill_key(arena, &security->keys[i], &rows[i]))
            rows = NULL;
    return rows;
}

struct clashes {
    const struct config_security *security;
    struct config_errors *errors;
};

static void add_clash(void *arg, size_t key, const char *problem)
{
    const struct clashes *c = arg;
    const struct config_place *place = &c->security->keys[key].place;

    config_errors_add(c->errors, place->file, place->line, place->column, "%s", problem);
}

int policy_register(struct store *store, const char *origin,
                    const struct config_sources *sources, struct config *config,
                    struct config_errors *errors, struct err *e)
{
    const struct config_security *security = &config->security;
    struct arena *arena = arena_new(64 << 20);
    json_t *value = config_sources_json(sources);
    char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT);
    struct key_row *rows = key_rows(arena, security);
    struct clashes clashes = {security, errors};
    struct configuration c = {.sources = text, .keys = rows, .key_count = security->key_count,
                              .clash = add_clash, .clash_arg = &clashes};
    int status;

    if (text == NULL || rows == NULL) {
        status = err_set(e, AGW_ENOMEM, "registering the configuration");
    } else {
        memcpy(c.hash, config->hash, sizeof c.hash);
        status = configurations_accept(store, origin, &c, &config->generation, e);
    }
    json_memory_free(text);
    json_decref(value);
    arena_free(&arena);
    return status;
}

int register_sources(struct db *db, int64_t generation, struct config_sources *sources,
                     struct err *e)
{
    char *text = NULL;
    json_t *value;
    int status = configurations_sources(db, generation, &text, e);

    if (status != 0)
        return status;
    value = json_loads(text, 0, NULL);
    free(text);
    if (value == NULL)
        return err_set(e, AGW_ESTORE, "the sources of generation %lld are not JSON",
                       (long long)generation);
    status = config_sources_from_json(value, sources, e);
    json_decref(value);
    return status;
}

static void record(struct store *store, const struct audit_row *row)
{
    struct err problem;
    struct db *db = store_acquire(store, &problem);
    int status = db == NULL ? AGW_ESTORE : store_write_begin(store, db, &problem);

    if (status == 0)
        status = store_write_end(store, db,
                                 audit_rows_append(store, db, row, 1, NULL, &problem),
                                 &problem);
    if (db != NULL)
        store_release(store, db);
    if (status != 0)
        log_message(LOG_ERROR, "audit.failed", "%s: %s", row->kind, problem.message);
}

/* One entry for the whole file's worth of errors costs one transaction. */
static void ring(struct store *store, const char *component, const struct config_errors *errors)
{
    struct error_entry *entries = calloc(errors->count + 1, sizeof *entries);
    struct arena *arena = arena_new(16 << 20);
    struct err problem;

    if (entries != NULL && arena != NULL && errors->count > 0) {
        for (size_t i = 0; i < errors->count; i++) {
            const struct config_error *error = &errors->list[i];

            entries[i] = (struct error_entry){
                .ts = clock_wall_ms(), .component = component, .kind = "config",
                .severity = "error", .subject = error->file,
                .message = arena_printf(arena, "%s:%d:%d: %s", error->file, error->line,
                                        error->column, error->message)};
        }
        if (errors_ring_add(store, entries, (int)errors->count, &problem) != 0)
            log_message(LOG_ERROR, "store.failed", "errors ring: %s", problem.message);
    }
    free(entries);
    arena_free(&arena);
}

void register_report(struct store *store, const char *component, const char *by, int status,
                     const struct config *config, const struct config_errors *errors,
                     const struct err *e)
{
    const char *event = status == 0 ? "config.reloaded" : "config.rejected";
    char *problems = errors->count > 0 ? config_errors_text(errors) : NULL;
    const char *reason = problems != NULL ? problems : status == 0 ? NULL : e->message;
    struct audit_row row = audit_row_new(clock_wall_ms(), event);
    struct log_line line;

    row.process = audit_process();
    row.key_id = by;
    row.reason = reason;
    if (problems != NULL)
        problems[strlen(problems) - 1] = '\0'; /* its last line needs no end */
    if (status == 0)
        row.generation = config->generation;
    log_begin(&line, status == 0 ? LOG_INFO : LOG_ERROR, event);
    log_str(&line, "component", component);
    log_str(&line, "key_id", by);
    if (status == 0) {
        log_int(&line, "generation", config->generation);
        log_str(&line, "hash", config->hash);
    } else {
        log_str(&line, "message", reason);
    }
    log_end(&line);
    metrics_add(METRIC_CONFIG_RELOADS, 1, component, status == 0 ? "accepted" : "rejected");
    record(store, &row);
    if (status != 0)
        ring(store, component, errors);
    free(problems);
}

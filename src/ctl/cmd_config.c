/* SPDX-License-Identifier: MIT */
/* agwctl config: what is wrong with the files, and what they would change. */
#include <stdlib.h>
#include <string.h>

#include "config/diff.h"
#include "config/exposure.h"
#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/output.h"
#include "store/configurations.h"
#include "util/clock.h"
#include "util/json_memory.h"

/* ---- config check ---- */

static void add_warning(void *arg, const char *subject, const char *message)
{
    json_array_append_new(arg, json_pack("{s:o, s:o}", "subject", output_json_text(subject),
                                         "message", output_json_text(message)));
}

static void warn_of_key(const struct config_key *key, int64_t now, json_t *warnings)
{
    static const int64_t soon_ms = CONFIG_EXPIRING_DAYS * (int64_t)86400000;
    char subject[300], message[100], when[CLOCK_TEXT_SIZE];

    snprintf(subject, sizeof subject, "key %.200s", key->id);
    if (key->was_plaintext)
        add_warning(warnings, subject,
                    "the secret is written in plaintext; agwctl hash-key makes a hashed_key");
    if (key->expires_at == 0 || key->expires_at - now > soon_ms)
        return;
    snprintf(message, sizeof message, "%s at %s",
             key->expires_at <= now ? "it has expired" : "it expires soon,",
             clock_format(key->expires_at, when));
    add_warning(warnings, subject, message);
}

static json_t *errors_json(const struct config_errors *errors)
{
    json_t *list = json_array();

    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->list[i];
        bool placed = error->line > 0;

        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:s}", "file",
                            output_json_text(error->file[0] == '\0' ? NULL : error->file),
                            "line",
                            placed ? json_integer(error->line) : json_null(), "column",
                            placed ? json_integer(error->column) : json_null(), "message",
                            error->message));
    }
    return list;
}

static json_t *counts_json(const struct config *config)
{
    if (config == NULL)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:I}", "agents", (json_int_t)config->agent_count,
                     "upstreams", (json_int_t)config->upstream_count, "tools",
                     (json_int_t)config->tool_count, "keys",
                     (json_int_t)config->security.key_count);
}

/* A message about a file begins with its name. */
static void print_warning(bool colour, const char *subject, const char *message)
{
    bool named = strncmp(message, subject, strlen(subject)) == 0;

    output_styled(colour, STYLE_WARNING, "warning: %s%s%s", named ? "" : subject,
                  named ? "" : ": ", message);
}

static void print_check(const struct call *call, const struct config *config,
                        const struct config_errors *errors, const json_t *warnings)
{
    char *text = config_errors_text(errors);
    const json_t *warning;
    size_t i;

    output_text(stdout, text == NULL ? "out of memory" : text);
    free(text);
    json_array_foreach(warnings, i, warning)
        print_warning(call->colour, json_string_value(json_object_get(warning, "subject")),
                      json_string_value(json_object_get(warning, "message")));
    if (config != NULL)
        output_line("The configuration is fine: %zu keys, %zu agents, %zu upstreams, %zu tools.",
                    config->security.key_count, config->agent_count, config->upstream_count,
                    config->tool_count);
}

static int report_check(struct call *call, const struct config *config,
                        const struct config_errors *errors, json_t *warnings)
{
    bool fine = config != NULL && (json_array_size(warnings) == 0 || !call_flag(call, "strict"));
    int status = fine ? CTL_FINE : CTL_FINDING;

    if (call->json)
        return call_json(json_pack("{s:b, s:o, s:O, s:o}", "valid", config != NULL, "errors",
                                   errors_json(errors), "warnings", warnings, "counts",
                                   counts_json(config)),
                         status);
    print_check(call, config, errors, warnings);
    return status;
}

static int run_check(struct call *call)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    struct config *config = NULL;
    json_t *warnings = json_array();
    int status;

    if (config_sources_read(context_config_file(call), &sources, &errors) == 0)
        config_build(&sources, &config, &errors);
    exposure_find(config == NULL ? NULL : config->gateway.database, &sources, add_warning,
                  warnings);
    for (size_t i = 0; config != NULL && i < config->security.key_count; i++)
        warn_of_key(&config->security.keys[i], call->now, warnings);
    if (config_errors_memory(&errors))
        status = call_fail("out of memory");
    else
        status = report_check(call, config, &errors, warnings);
    json_decref(warnings);
    config_release(&config);
    config_errors_free(&errors);
    config_sources_free(&sources);
    return status;
}

static const struct command_option check_options[] = {
    {"strict", VALUE_NONE, NULL, "let warnings set the exit status too", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_config_check = {
    .group = "config",
    .name = "check",
    .summary = "Check all configuration files and show everything that is wrong",
    .options = check_options,
    .run = run_check,
};

/* ---- config diff ---- */

/* What the gateway of these files runs, from the database. */
static int running_sources(struct call *call, int64_t *generation,
                           struct config_sources *sources)
{
    struct store *store;
    const char *origin;
    struct err e = {0};
    char *text = NULL;
    json_t *value;
    struct db *db;
    int status = context_origin(call, &origin), rc;

    if (status == CTL_FINE)
        status = context_store(call, CONTEXT_READ, &store);
    if (status != CTL_FINE)
        return status;
    db = store_acquire(store, &e);
    rc = db == NULL ? AGW_ESTORE : configurations_current(db, origin, generation, &e);
    if (rc == 0 && *generation != 0)
        rc = configurations_sources(db, *generation, &text, &e);
    store_release(store, db);
    if (rc == 0 && *generation == 0)
        rc = err_set(&e, AGW_ENOTFOUND, "no gateway was ever started with %s on this database",
                     origin);
    if (rc == 0) {
        value = json_loads(text, 0, NULL);
        rc = config_sources_from_json(value, sources, &e);
        json_decref(value);
    }
    free(text);
    return rc == 0 ? CTL_FINE : call_fail("%s", e.message);
}

/* "same", "text" (only comments or spelling), "changed". */
static const char *component_state(enum config_component c, const json_t *before,
                                   const json_t *after, const json_t *changes)
{
    const char *name = config_component_names[c];
    const json_t *change;
    size_t i;

    json_array_foreach(changes, i, change)
        if (strcmp(json_string_value(json_object_get(change, "component")), name) == 0)
            return "changed";
    return json_equal(json_object_get(json_object_get(before, name), "text"),
                      json_object_get(json_object_get(after, name), "text"))
               ? "same"
               : "text";
}

static void print_value(char **text, const json_t *value)
{
    *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
}

static void print_field(const json_t *field, const char *change)
{
    const char *name = json_string_value(json_object_get(field, "field"));
    const char *restart =
        json_is_true(json_object_get(field, "restart")) ? " (at the next start)" : "";
    char *before, *after;

    if (json_is_true(json_object_get(field, "hidden"))) {
        output_line("    %s: %s, not shown%s", name, change, restart);
        return;
    }
    print_value(&before, json_object_get(field, "before"));
    print_value(&after, json_object_get(field, "after"));
    if (strcmp(change, "added") == 0)
        output_line("    %s: %s%s", name, after, restart);
    else if (strcmp(change, "removed") == 0)
        output_line("    %s: %s%s", name, before, restart);
    else
        output_line("    %s: %s -> %s%s", name, before, after, restart);
    json_memory_free(before);
    json_memory_free(after);
}

static void print_change(bool colour, const json_t *change)
{
    const char *what = json_string_value(json_object_get(change, "change"));
    const char *id = json_string_value(json_object_get(change, "id"));
    const json_t *fields = json_object_get(change, "fields"), *field;
    bool added = strcmp(what, "added") == 0, removed = strcmp(what, "removed") == 0;
    size_t i;

    output_styled(colour, added ? STYLE_GOOD : removed ? STYLE_BAD : STYLE_WARNING,
                  "%c %s: %s%s%s", added ? '+' : removed ? '-' : '~',
                  json_string_value(json_object_get(change, "component")),
                  json_string_value(json_object_get(change, "object")), id == NULL ? "" : " ",
                  id == NULL ? "" : id);
    json_array_foreach(fields, i, field)
        print_field(field, what);
}

static int report_diff(const struct call *call, int64_t generation, json_t *components,
                       json_t *changes)
{
    bool different = json_array_size(changes) > 0, text = false;
    int status = different ? CTL_FINDING : CTL_FINE;
    const char *component;
    json_t *change, *state;
    size_t i;

    if (call->json)
        return call_json(json_pack("{s:I, s:b, s:O, s:O}", "generation", (json_int_t)generation,
                                   "different", different, "components", components, "changes",
                                   changes),
                         status);
    json_array_foreach(changes, i, change)
        print_change(call->colour, change);
    json_object_foreach(components, component, state)
        if (strcmp(json_string_value(state), "text") == 0) {
            text = true;
            output_line("= %s: only comments or spelling differ", component);
        }
    if (different)
        output_line("%zu changes against generation %lld.", json_array_size(changes),
                    (long long)generation);
    else
        output_line("%s generation %lld.",
                    text ? "Nothing that has an effect differs from"
                         : "The files are those of",
                    (long long)generation);
    return status;
}

static int compare(const struct call *call, int64_t generation,
                   const struct config_sources *running, const struct config_sources *files)
{
    json_t *before = config_sources_json(running), *after = config_sources_json(files);
    json_t *changes = NULL, *components = json_object();
    struct err e = {0};
    int status;

    if (before == NULL || after == NULL)
        status = call_fail("security.yaml cannot be read as YAML; see agwctl config check");
    else if (diff_sources(running, files, &changes, &e) != 0)
        status = call_fail("%s; see agwctl config check", e.message);
    else {
        for (int c = 0; c < CONFIG_COMPONENTS; c++)
            json_object_set_new(components, config_component_names[c],
                                json_string(component_state((enum config_component)c, before,
                                                            after, changes)));
        status = report_diff(call, generation, components, changes);
    }
    json_decref(before);
    json_decref(after);
    json_decref(changes);
    json_decref(components);
    return status;
}

static int run_diff(struct call *call)
{
    struct config_sources running = {0}, files = {0};
    struct config_errors errors = {0};
    int64_t generation = 0;
    int status = running_sources(call, &generation, &running);

    if (status == CTL_FINE && config_sources_read(context_config_file(call), &files, &errors) != 0)
        status = context_show_errors(&errors);
    if (status == CTL_FINE)
        status = compare(call, generation, &running, &files);
    config_errors_free(&errors);
    config_sources_free(&running);
    config_sources_free(&files);
    return status;
}

const struct command cmd_config_diff = {
    .group = "config",
    .name = "diff",
    .summary = "Show what the files would change against what the gateway runs",
    .run = run_diff,
};

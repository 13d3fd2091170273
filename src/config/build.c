/* SPDX-License-Identifier: MIT */
/* Builds a configuration: each file along the table, then what spans files. */
#include "config/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/sha.h"

/* Later ones are checked against earlier ones. */
static const struct {
    enum config_component component;
    bool expand; /* whether ${NAME} means something */
    void (*end)(struct build *b, const struct tree_node *root);
} order[CONFIG_COMPONENTS] = {
    {CONFIG_GATEWAY, false, gateway_end}, {CONFIG_UPSTREAMS, true, upstreams_end},
    {CONFIG_TOOLS, true, tools_end},      {CONFIG_AGENTS, false, agents_end},
    {CONFIG_SECURITY, false, security_end},
};

void *build_alloc(struct build *b, size_t size)
{
    void *room = arena_alloc(b->arena, size);

    if (room == NULL)
        config_errors_add(b->errors, b->file, 0, 0, "out of memory");
    return room;
}

__attribute__((format(printf, 5, 0))) static void
add_error(struct build *b, const struct tree_node *node, int line, int column,
          const char *format, va_list args)
{
    char message[1024], from[160];

    vsnprintf(message, sizeof message, format, args);
    if (node->variable != NULL) {
        snprintf(from, sizeof from, "environment variable %s", node->variable);
        config_errors_add(b->errors, from, 0, 0, "%s", message);
    } else {
        config_errors_add(b->errors, b->file, line, column, "%s", message);
    }
}

void build_error(struct build *b, const struct tree_node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_error(b, node, node->line, node->column, format, args);
    va_end(args);
}

void build_key_error(struct build *b, const struct tree_node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_error(b, node, node->key_line, node->key_column, format, args);
    va_end(args);
}

struct config_place build_place(const struct build *b, const struct tree_node *node)
{
    if (node->variable != NULL)
        return (struct config_place){.file = node->variable};
    return (struct config_place){b->file, node->line, node->column};
}

const char *build_path(struct build *b, const char *name)
{
    char *path;

    if (name[0] == '/' || b->folder[0] == '\0' || strcmp(name, "-") == 0)
        return name;
    path = arena_printf(b->arena, "%s%s", b->folder, name);
    if (path == NULL)
        config_errors_add(b->errors, b->file, 0, 0, "out of memory");
    return path;
}

/* ---- what must be unique ---- */

static const char *unique_text(const struct build_unique *u, const char *element)
{
    const char *text = element + u->text;

    if (u->length == 0)
        memcpy(&text, element + u->text, sizeof text);
    return text;
}

static const struct config_place *unique_place(const struct build_unique *u,
                                               const char *element)
{
    return (const void *)(element + u->place);
}

static int unique_compare(const struct build_unique *u, const char *a, const char *b)
{
    const char *left = unique_text(u, a), *right = unique_text(u, b);

    return u->length == 0 ? strcmp(left, right) : memcmp(left, right, u->length);
}

static int unique_order(const void *a, const void *b, void *unique)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    int by_text = unique_compare(unique, left, right);
    const struct config_place *first = unique_place(unique, left);
    const struct config_place *second = unique_place(unique, right);

    if (by_text != 0)
        return by_text;
    return first->line != second->line ? first->line - second->line
                                       : first->column - second->column;
}

void build_refuse_duplicates(struct build *b, const struct build_unique *unique)
{
    const char **sorted = build_alloc(b, (unique->count + 1) * sizeof *sorted);
    size_t count = 0, first = 0;

    if (sorted == NULL)
        return;
    for (size_t i = 0; i < unique->count; i++) {
        const char *element = (const char *)unique->elements + i * unique->size;

        if (unique_text(unique, element) != NULL)
            sorted[count++] = element;
    }
    qsort_r(sorted, count, sizeof *sorted, unique_order, (void *)(uintptr_t)unique);
    for (size_t i = 1; i < count; i++) {
        const struct config_place *place = unique_place(unique, sorted[i]);

        if (unique_compare(unique, sorted[i], sorted[first]) != 0) {
            first = i;
            continue;
        }
        config_errors_add(b->errors, place->file, place->line, place->column,
                          "duplicate %s%s%s%s, first on line %d", unique->what,
                          unique->length == 0 ? " '" : "",
                          unique->length == 0 ? unique_text(unique, sorted[i]) : "",
                          unique->length == 0 ? "'" : "",
                          unique_place(unique, sorted[first])->line);
    }
}

/* ---- the whole ---- */

static void read_component(struct build *b, const struct config_source *source, bool expand,
                           void (*end)(struct build *b, const struct tree_node *root))
{
    struct tree_node *root;

    if (source->text == NULL) {
        b->usable[b->component] = source->path == NULL && b->component == CONFIG_TOOLS;
        return;
    }
    b->file = arena_strdup(b->arena, source->path);
    if (b->file == NULL) {
        config_errors_add(b->errors, source->path, 0, 0, "out of memory");
        return;
    }
    root = tree_parse(b->file, source->text, b->arena, b->errors);
    if (root == NULL)
        return;
    if (expand)
        environment_expand(b, root);
    walk_component(b, root);
    b->usable[b->component] = root->kind == TREE_MAP;
    if (b->usable[b->component])
        end(b, root);
}

static int set_folder(struct build *b, const char *gateway_file)
{
    const char *slash = gateway_file != NULL ? strrchr(gateway_file, '/') : NULL;

    b->file = "";
    b->folder = slash == NULL ? ""
                              : arena_strndup(b->arena, gateway_file,
                                              (size_t)(slash - gateway_file) + 1);
    return b->folder == NULL ? -1 : 0;
}

/* Hashes stand for what was configured, so both the original and the stored (redacted) form
 * of a source must give the same. */
static int set_hashes(const struct config_sources *sources, struct config *config)
{
    struct buf all;
    int result;

    buf_init(&all, 1 << 20);
    for (int c = 0; c < CONFIG_COMPONENTS; c++) {
        const char *text = sources->component[c].text;
        char *redacted = NULL;

        if (text != NULL && c == CONFIG_SECURITY) {
            text = redacted = redact_security(text);
            if (text == NULL) {
                buf_free(&all);
                return -1;
            }
        }
        sha_256_hex(text != NULL ? text : "", text != NULL ? strlen(text) : 0,
                    config->component_hash[c]);
        buf_printf(&all, "%s %s\n", config_component_names[c], config->component_hash[c]);
        free(redacted);
    }
    result = environment_describe(&all);
    sha_256_hex(buf_text(&all), all.length, config->hash);
    buf_free(&all);
    return result;
}

struct config *build_gateway_only(const struct config_source *source,
                                  struct config_errors *errors)
{
    struct config_errors ignored = {0};
    struct build b = {.component = CONFIG_GATEWAY, .errors = &ignored};
    struct config *config = b.config = snapshot_new(&b.arena);

    if (config == NULL || set_folder(&b, source->path) != 0)
        config_errors_add(errors, source->path, 0, 0, "out of memory");
    else
        read_component(&b, source, false, gateway_end);
    config_errors_free(&ignored);
    if (!b.usable[CONFIG_GATEWAY])
        config_release(&config);
    return config;
}

static bool is_needed(const struct build *b, enum config_component component)
{
    return !b->policy_only || component == CONFIG_GATEWAY || component == CONFIG_AGENTS ||
           component == CONFIG_SECURITY;
}

static int build_whole(struct build *b, const struct config_sources *sources,
                       struct config **config)
{
    struct config_errors *errors = b->errors;
    size_t before = errors->count;

    *config = b->config = snapshot_new(&b->arena);
    if (b->config == NULL || set_folder(b, sources->component[CONFIG_GATEWAY].path) != 0) {
        config_errors_add(errors, "configuration", 0, 0, "out of memory");
        config_release(config);
        return AGW_ECONFIG;
    }
    for (size_t i = 0; i < CONFIG_COMPONENTS; i++) {
        b->component = order[i].component;
        if (!is_needed(b, b->component))
            continue;
        read_component(b, &sources->component[b->component], order[i].expand, order[i].end);
        if (!b->usable[b->component] && errors->count == 0)
            config_errors_add(errors, config_component_names[b->component], 0, 0,
                              "the file was not read");
    }
    if (errors->count == before && !b->policy_only && set_hashes(sources, b->config) != 0)
        config_errors_add(errors, "configuration", 0, 0, "out of memory");
    build_sort_errors(errors);
    if (errors->count == before && !errors->lost)
        return 0;
    config_release(config);
    return AGW_ECONFIG;
}

int config_build(const struct config_sources *sources, struct config **config,
                 struct config_errors *errors)
{
    return build_whole(&(struct build){.errors = errors}, sources, config);
}

int config_build_policy(const struct config_sources *sources, struct config **config,
                        struct config_errors *errors)
{
    return build_whole(&(struct build){.errors = errors, .policy_only = true}, sources, config);
}

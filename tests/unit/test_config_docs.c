/* SPDX-License-Identifier: MIT */
/* The option table, the sample files and the manual page tell of the same options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/build.h"
#include "read_file.h"

static const char manual[] = AGW_SOURCE_DIR "/doc/man/agent-gateway.yaml.5";

enum { LINE_SIZE = 512, OPTIONS_MAX = 512 };

/* ---- the table itself ---- */

static bool is_parent(const struct option *option)
{
    return option->type == OPTION_SECTION || option->type == OPTION_LIST ||
           option->type == OPTION_SECTIONS || option->type == OPTION_JSON;
}

static void rows_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < schema_option_count; i++) {
        const struct option *o = &schema_options[i];
        const char *dot = strrchr(o->path, '.');
        char parent[128];

        if (schema_find(o->component, o->path) != o)
            fail_msg("'%s' has two rows", o->path);
        if (o->help == NULL || strlen(o->help) < 5 || o->help[strlen(o->help) - 1] != '.')
            fail_msg("'%s' has no sentence of help", o->path);
        if ((o->type == OPTION_CHOICE || o->type == OPTION_CHOICES) != (o->choices != NULL))
            fail_msg("'%s': choices", o->path);
        if (o->type == OPTION_MAP && o->take == NULL)
            fail_msg("'%s' would not be read", o->path);
        if (o->fallback != NULL && o->required)
            fail_msg("'%s' is required and has a default", o->path);
        if (dot == NULL)
            continue;
        snprintf(parent, sizeof parent, "%.*s", (int)(dot - o->path), o->path);
        if (strlen(parent) > 2 && (strcmp(parent + strlen(parent) - 2, "[]") == 0 ||
                                   strcmp(parent + strlen(parent) - 2, ".*") == 0))
            parent[strlen(parent) - 2] = '\0';
        if (schema_find(o->component, parent) == NULL ||
            !is_parent(schema_find(o->component, parent)))
            fail_msg("'%s' is in no section", o->path);
    }
}

static void suggestions(void **state)
{
    static const struct {
        const char *parent, *key, *meant;
    } cases[] = {
        {"", "lisen", "listen"},          {"", "listne", "listen"},
        {"", "LIMITS", NULL},             {"limits", "bodybytes", "body_bytes"},
        {"limits", "zzz", NULL},          {"", "", NULL},
        {"threads", "mx", "max"},         {"threads", "runnning", "running"},
        {"", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = schema_suggest(CONFIG_GATEWAY, cases[i].parent, cases[i].key);

        if ((got == NULL) != (cases[i].meant == NULL) ||
            (got != NULL && strcmp(got, cases[i].meant) != 0))
            fail_msg("'%s': got %s", cases[i].key, got != NULL ? got : "nothing");
    }
}

/* ---- the samples ---- */

/* "#name: ..." and "#  name: ..." are options, "# Sentences" are not. */
static char *uncomment(const char *text)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n") + 1, indent = strspn(line, " ");
        bool option = line[indent] == '#' && line[indent + 1] != '\n' &&
                      (line[indent + 1] != ' ' || line[indent + 2] == ' ');

        if (strncmp(line, "tools: []", 9) == 0) {
            buf_puts(&out, "tools:\n");
        } else if (option) {
            buf_append(&out, line, indent);
            buf_append(&out, line + indent + 1, length - indent - 1);
        } else {
            buf_append(&out, line, length);
        }
        line += length;
    }
    return buf_take(&out);
}

static void mark(enum config_component component, const char *path, bool seen[])
{
    const struct option *option = schema_find(component, path);

    if (option != NULL)
        seen[option - schema_options] = true;
}

static void collect(enum config_component component, const char *parent,
                    const struct tree_node *map, bool seen[])
{
    for (const struct tree_node *n = map->first; n != NULL; n = n->next) {
        char path[256], inside[300];
        const struct option *option;

        snprintf(path, sizeof path, "%s%s%s", parent, parent[0] != '\0' ? "." : "", n->key);
        mark(component, path, seen);
        option = schema_find(component, path);
        if (option == NULL)
            continue;
        if (option->type == OPTION_LIST || option->type == OPTION_SECTIONS) {
            snprintf(inside, sizeof inside, "%s%s", path,
                     option->type == OPTION_LIST ? "[]" : ".*");
            for (const struct tree_node *e = n->first; e != NULL; e = e->next)
                collect(component, inside, e, seen);
        } else if (n->kind == TREE_MAP && is_parent(option)) {
            collect(component, path, n, seen);
        }
    }
}

static void uncommented_samples_build_and_show_every_option(void **state)
{
    static const char *const variables[] = {"OPENAI_API_KEY", "OPENAI_ORGANIZATION",
                                            "AZURE_OPENAI_KEY", "TICKETS_TOKEN"};
    bool seen[OPTIONS_MAX] = {false};
    struct config_errors errors = {0};
    struct config_sources sources = {0};
    struct config *config = NULL;
    struct arena *arena = arena_new(16 << 20);
    int missing = 0;

    (void)state;
    assert_true(schema_option_count <= OPTIONS_MAX);
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        setenv(variables[i], "value-for-the-test", 1);
    for (int c = 0; c < CONFIG_COMPONENTS; c++) {
        char path[512], *text;
        struct tree_node *root;

        snprintf(path, sizeof path, AGW_SOURCE_DIR "/conf/%s.yaml", config_component_names[c]);
        text = read_file(path);
        sources.component[c].path = strdup(path);
        sources.component[c].text = uncomment(text);
        free(text);
        root = tree_parse(path, sources.component[c].text, arena, &errors);
        if (root != NULL)
            collect((enum config_component)c, "", root, seen);
    }
    if (config_build(&sources, &config, &errors) != 0)
        fail_msg("%s", config_errors_text(&errors));
    for (size_t i = 0; i < schema_option_count; i++)
        if (!seen[i]) {
            print_error("# conf/%s.yaml does not show '%s'\n",
                        config_component_names[schema_options[i].component],
                        schema_options[i].path);
            missing++;
        }
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    config_release(&config);
    config_sources_free(&sources);
    config_errors_free(&errors);
    arena_free(&arena);
    assert_int_equal(missing, 0);
}

/* ---- the manual page ---- */

/* The component whose part of the page begins with this line, or -1. */
static int section_of(const char *line)
{
    for (int c = 0; c < CONFIG_COMPONENTS; c++) {
        char head[64];

        snprintf(head, sizeof head, ".Sh %s.YAML\n", config_component_names[c]);
        if (strncasecmp(line, head, strlen(head)) == 0)
            return c;
    }
    return -1;
}

/* What the page says of the option at ".It Va NAME": up to the next item. */
static void check_item(const struct option *option, const char *item)
{
    const char *end = strstr(item + 1, "\n.It ");
    const char *close = strstr(item, "\n.El");
    char *text, wanted[LINE_SIZE];

    if (end == NULL || close < end)
        end = close;
    text = strndup(item, (size_t)(end - item) + 1);
    assert_non_null(text);
    if (option->fallback != NULL && strcmp(option->fallback, "-1") != 0) {
        snprintf(wanted, sizeof wanted, "\nDefault: %s.\n", option->fallback);
        if (strstr(text, wanted) == NULL)
            fail_msg("manual page, '%s': the default is %s", option->path, option->fallback);
    }
    if (option->environment != NULL) {
        snprintf(wanted, sizeof wanted, "\n.Ev %s .\n", option->environment);
        if (strstr(text, wanted) == NULL)
            fail_msg("manual page, '%s': %s is not named", option->path, option->environment);
    }
    for (const char *c = option->choices; c != NULL && *c != '\0';) {
        size_t span = strcspn(c, "|");

        snprintf(wanted, sizeof wanted, " %.*s", (int)span, c);
        if (strstr(text, wanted) == NULL)
            fail_msg("manual page, '%s': the choice%s is not named", option->path, wanted);
        c += span + (c[span] == '|');
    }
    free(text);
}

static void the_manual_page_has_every_option_and_no_other(void **state)
{
    char *text = read_file(manual);
    bool seen[OPTIONS_MAX] = {false};
    int component = -1, missing = 0;

    (void)state;
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char name[128];
        const struct option *option;

        if (strncmp(line, ".Sh ", 4) == 0)
            component = section_of(line);
        if (component < 0 || sscanf(line, ".It Va %127s", name) != 1)
            continue;
        option = schema_find((enum config_component)component, name);
        if (option == NULL)
            fail_msg("manual page: '%s' is not an option of %s.yaml", name,
                     config_component_names[component]);
        check_item(option, line);
        seen[option - schema_options] = true;
    }
    for (size_t i = 0; i < schema_option_count; i++)
        if (!seen[i]) {
            print_error("# the manual page does not have '%s'\n", schema_options[i].path);
            missing++;
        }
    free(text);
    assert_int_equal(missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(uncommented_samples_build_and_show_every_option),
        cmocka_unit_test(the_manual_page_has_every_option_and_no_other),
    };

    for (size_t i = 0; i < schema_option_count; i++)
        if (schema_options[i].environment != NULL)
            unsetenv(schema_options[i].environment);
    return cmocka_run_group_tests_name("config/docs", tests, NULL, NULL);
}

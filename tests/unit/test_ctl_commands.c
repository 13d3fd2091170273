/* SPDX-License-Identifier: MIT */
/* The table of commands, the manual page and the schemas tell of the same commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/call.h"
#include "read_file.h"
#include "util/buf.h"

static const char manual[] = AGW_SOURCE_DIR "/doc/man/agwctl.8";

static void check_help(const char *title, const char *what, const char *help)
{
    if (help == NULL || strlen(help) < 5 || help[strlen(help) - 1] == '.')
        fail_msg("'%s': the help of %s", title, what);
}

static void check_option(const char *title, const struct command_option *o)
{
    check_help(title, o->name, o->help);
    if ((o->kind == VALUE_NONE) != (o->value == NULL))
        fail_msg("'%s --%s': kind and name of the value", title, o->name);
    if (o->kind == VALUE_NUMBER && o->min >= o->max)
        fail_msg("'%s --%s': range", title, o->name);
    if (o->kind == VALUE_NONE && o->required)
        fail_msg("'%s --%s': a flag cannot be required", title, o->name);
}

static void rows_are_sound(void **state)
{
    char title[64];

    (void)state;
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *c = commands[i];
        size_t count = 0;

        command_title(c, title, sizeof title);
        check_help(title, "the command", c->summary);
        assert_non_null(c->run);
        assert_ptr_equal(command_find(c->group == NULL ? c->name : c->group, c->name), c);
        for (; c->options != NULL && c->options[count].name != NULL; count++) {
            check_option(title, &c->options[count]);
            for (const struct command_option *g = command_globals; g->name != NULL; g++)
                if (strcmp(g->name, c->options[count].name) == 0)
                    fail_msg("'%s' hides --%s", title, g->name);
        }
        assert_true(count <= COMMAND_OPTIONS_MAX);
    }
}

/* Commands of a group stand together, so that help and completion list them so. */
static void groups_stand_together(void **state)
{
    (void)state;
    for (size_t i = 1; commands[i] != NULL; i++)
        for (size_t k = 0; k + 1 < i; k++)
            if (commands[i]->group != NULL && commands[k]->group != NULL &&
                strcmp(commands[i]->group, commands[k]->group) == 0 &&
                (commands[i - 1]->group == NULL ||
                 strcmp(commands[i]->group, commands[i - 1]->group) != 0))
                fail_msg("'%s %s' stands apart", commands[i]->group, commands[i]->name);
}

/* The part of the manual page that is about `title`; malloc'ed. */
static char *section(const char *text, const char *title)
{
    char head[80];
    const char *start, *end;

    snprintf(head, sizeof head, "\n.Ss %s\n", title);
    start = strstr(text, head);
    if (start == NULL) {
        fail_msg("agwctl.8 has no section '.Ss %s'", title);
        return NULL;
    }
    end = strstr(start + 1, "\n.Ss ");
    if (end == NULL)
        end = strstr(start + 1, "\n.Sh ");
    assert_non_null(end);
    return strndup(start, (size_t)(end - start));
}

/* "Fl -name" as a word of its own. */
static int names_option(const char *text, const char *name)
{
    char word[80];
    size_t length = (size_t)snprintf(word, sizeof word, "Fl -%s", name);

    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
        if (strchr(" \n", at[length]) != NULL)
            return 1;
    return 0;
}

static void manual_knows_commands(void **state)
{
    char *text = read_file(manual), title[64];

    (void)state;
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command_option *o = commands[i]->options;
        char *part = section(text, command_title(commands[i], title, sizeof title));

        for (; o != NULL && o->name != NULL; o++)
            if (!names_option(part, o->name))
                fail_msg("agwctl.8 says nothing of '%s --%s'", title, o->name);
        if (strstr(part, ".Bd -literal") == NULL)
            fail_msg("agwctl.8 has no example of '%s'", title);
        free(part);
    }
    for (const struct command_option *o = command_globals; o->name != NULL; o++)
        if (!names_option(text, o->name))
            fail_msg("agwctl.8 says nothing of --%s", o->name);
    free(text);
}

/* And of no others. */
static void manual_invents_nothing(void **state)
{
    char *text = read_file(manual), *at = strstr(text, "\n.Sh COMMANDS\n"), *end;

    (void)state;
    assert_non_null(at);
    end = strstr(at + 1, "\n.Sh ");
    assert_non_null(end);
    *end = '\0';
    for (at = strstr(at, "\n.Ss "); at != NULL; at = strstr(at + 1, "\n.Ss ")) {
        char first[40] = "", second[40] = "";

        assert_true(sscanf(at, "\n.Ss %39s%39[^\n]", first, second) >= 1);
        if (command_find(first, second[0] == ' ' ? second + 1 : NULL) == NULL)
            fail_msg("agwctl.8 describes '%s%s', which is no command", first, second);
    }
    free(text);
}

static void schemas_exist(void **state)
{
    (void)state;
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *c = commands[i];
        char path[256];
        json_error_t problem;
        json_t *schema;

        snprintf(path, sizeof path, AGW_SOURCE_DIR "/doc/schemas/agwctl-%s%s%s.json",
                 c->group == NULL ? "" : c->group, c->group == NULL ? "" : "-", c->name);
        schema = json_load_file(path, 0, &problem);
        if (schema == NULL)
            fail_msg("%s: %s", path, problem.text);
        assert_non_null(json_object_get(schema, "$schema"));
        json_decref(schema);
    }
}

/* What getopt finds, and what the table wants. */
static int parsed(struct call *call, int argc, const char *const *words)
{
    static char copies[16][80];
    static char *argv[17];
    int saved = dup(STDERR_FILENO), out = dup(STDOUT_FILENO), status;
    FILE *sink = tmpfile();

    for (int i = 0; i < argc; i++) {
        snprintf(copies[i], sizeof copies[i], "%s", words[i]);
        argv[i] = copies[i];
    }
    argv[argc] = NULL;
    fflush(stdout);
    dup2(fileno(sink), STDERR_FILENO);
    dup2(fileno(sink), STDOUT_FILENO);
    status = call_parse(argc, argv, call);
    fflush(stdout);
    dup2(saved, STDERR_FILENO);
    dup2(out, STDOUT_FILENO);
    close(saved);
    close(out);
    fclose(sink);
    return status;
}

static void command_lines(void **state)
{
    static const struct {
        const char *words[8];
        int status;
    } cases[] = {
        {{"agwctl", "hash-key"}, CALL_RUN},
        {{"agwctl", "--json", "hash-key"}, CALL_RUN},
        {{"agwctl", "hash-key", "--json", "--database=x", "--config", "y"}, CALL_RUN},
        {{"agwctl", "hash-key", "--"}, CALL_RUN},
        {{"agwctl"}, CTL_USAGE},
        {{"agwctl", ""}, CTL_USAGE},
        {{"agwctl", "--json"}, CTL_USAGE},
        {{"agwctl", "nothing"}, CTL_USAGE},
        {{"agwctl", "hash"}, CTL_USAGE},
        {{"agwctl", "hash-key", "secret"}, CTL_USAGE},
        {{"agwctl", "hash-key", "--key", "x"}, CTL_USAGE},
        {{"agwctl", "hash-key", "-x"}, CTL_USAGE},
        {{"agwctl", "hash-key", "--config"}, CTL_USAGE},
        {{"agwctl", "hash-key", "--json=yes"}, CTL_USAGE},
        {{"agwctl", "hash-key", "--version"}, CTL_USAGE},
        {{"agwctl", "--help"}, CTL_FINE},
        {{"agwctl", "hash-key", "--help"}, CTL_FINE},
        {{"agwctl", "--version"}, CTL_FINE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct call call;
        int argc = 0, status;

        while (argc < 8 && cases[i].words[argc] != NULL)
            argc++;
        status = parsed(&call, argc, cases[i].words);
        if (status != cases[i].status)
            fail_msg("case %zu: %d", i, status);
    }
}

static void values(void **state)
{
    static const char *const words[] = {"agwctl", "--database", "first", "hash-key", "--json",
                                        "--config=second"};
    struct call call;

    (void)state;
    assert_int_equal(parsed(&call, 6, words), CALL_RUN);
    assert_string_equal(call.database, "first");
    assert_string_equal(call.config, "second");
    assert_true(call.json);
    assert_int_equal(call.argument_count, 0);
    assert_null(call_argument(&call, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sound),        cmocka_unit_test(groups_stand_together),
        cmocka_unit_test(manual_knows_commands), cmocka_unit_test(manual_invents_nothing),
        cmocka_unit_test(schemas_exist),         cmocka_unit_test(command_lines),
        cmocka_unit_test(values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

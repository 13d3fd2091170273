/* SPDX-License-Identifier: MIT */
/* Reads the command line by the table of commands. */
#include "ctl/call.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/complete.h"
#include "ctl/help.h"
#include "ctl/output.h"
#include "ctl/when.h"
#include "util/clock.h"

enum { GLOBAL = 1000, TITLE_SIZE = 64 };

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args)
{
    char *text, *line;

    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    if (text == NULL || asprintf(&line, "agwctl: %s", text) < 0)
        line = NULL;
    output_text(stderr, line == NULL ? "agwctl: out of memory" : line);
    free(line);
    free(text);
}

int call_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    return CTL_FAILED;
}

void call_warn(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
}

int call_usage(const struct call *call, const char *format, ...)
{
    char title[TITLE_SIZE] = "";
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    if (call->command != NULL)
        command_title(call->command, title, sizeof title);
    fprintf(stderr, "agwctl: see agwctl %s%s--help\n", title, title[0] == '\0' ? "" : " ");
    return CTL_USAGE;
}

int call_json(json_t *document, int status)
{
    return output_json(document) == 0 ? status : CTL_FAILED;
}

static size_t count_options(const struct command_option *options)
{
    size_t count = 0;

    while (options != NULL && options[count].name != NULL)
        count++;
    return count;
}

/* The row in getopt's form; its `val` is an index, of globals from GLOBAL on. */
static void add_options(const struct command_option *rows, int base, struct option *options,
                        size_t *count)
{
    for (size_t i = 0; rows != NULL && rows[i].name != NULL; i++)
        options[(*count)++] = (struct option){
            rows[i].name, rows[i].kind == VALUE_NONE ? no_argument : required_argument, NULL,
            base + (int)i};
}

/* -1: go on. */
static int take_global(struct call *call, const struct command_option *option,
                       const char *group)
{
    if (strcmp(option->name, "config") == 0)
        call->config = optarg;
    else if (strcmp(option->name, "database") == 0)
        call->database = optarg;
    else if (strcmp(option->name, "json") == 0)
        call->json = true;
    else if (strcmp(option->name, "no-color") == 0)
        call->colour = false;
    else {
        help_print(call->command, group);
        return CTL_FINE;
    }
    return CALL_RUN;
}

static int take_number(struct call *call, const struct command_option *option, size_t index)
{
    char *end;

    errno = 0;
    call->numbers[index] = strtoll(optarg, &end, 10);
    if (errno != 0 || end == optarg || *end != '\0' || optarg[0] == ' ' ||
        call->numbers[index] < option->min || call->numbers[index] > option->max)
        return call_usage(call, "--%s takes a number from %lld to %lld, not '%.100s'",
                          option->name, (long long)option->min, (long long)option->max, optarg);
    return CALL_RUN;
}

static int take_option(struct call *call, size_t index)
{
    const struct command_option *option = &call->command->options[index];

    if (call->values[index] != NULL && option->kind != VALUE_NONE)
        return call_usage(call, "--%s is given twice", option->name);
    call->values[index] = option->kind == VALUE_NONE ? "" : optarg;
    if (option->kind == VALUE_NUMBER)
        return take_number(call, option, index);
    if (option->kind == VALUE_TIME &&
        when_parse(optarg, call->now, &call->numbers[index]) != 0)
        return call_usage(call, "--%s takes a time: " WHEN_FORMS "; not '%.100s'",
                          option->name, optarg);
    return CALL_RUN;
}

static int refuse_option(const struct call *call, char **argv, int c)
{
    const char *what = argv[optind - 1];

    if (c == ':')
        return call_usage(call, "'%.100s' needs a value", what);
    if (optopt != 0 && optopt < GLOBAL && strncmp(what, "--", 2) != 0)
        return call_usage(call, "there is no option '-%c'", optopt);
    return call_usage(call, "there is no option '%.100s' here", what);
}

/* Globals, and the options of call->command when it is known; stops at the first word that is
 * none unless there is a command. */
static int parse_options(int argc, char **argv, struct call *call, const char *group)
{
    const struct command_option *own = call->command == NULL ? NULL : call->command->options;
    struct option options[COMMAND_OPTIONS_MAX + 8] = {{0}};
    size_t count = 0;
    int c, status = CALL_RUN;

    add_options(own, 0, options, &count);
    add_options(command_globals, GLOBAL, options, &count);
    if (call->command == NULL && group == NULL)
        options[count++] = (struct option){"version", no_argument, NULL, 2 * GLOBAL};
    optind = 0; /* from the beginning, with GNU's extensions */
    opterr = 0;
    while (status == CALL_RUN &&
           (c = getopt_long(argc, argv, call->command == NULL ? "+:" : ":", options, NULL)) != -1) {
        if (c == '?' || c == ':') {
            status = refuse_option(call, argv, c);
        } else if (c == 2 * GLOBAL) {
            puts("agwctl " PACKAGE_VERSION);
            status = CTL_FINE;
        } else if (c >= GLOBAL) {
            status = take_global(call, &command_globals[c - GLOBAL], group);
        } else {
            status = take_option(call, (size_t)c);
        }
    }
    return status;
}

static int check_arguments(const struct call *call)
{
    const struct command_argument *arguments = call->command->arguments;
    const struct command_option *options = call->command->options;
    size_t count = 0;

    for (; arguments != NULL && arguments[count].name != NULL; count++)
        if (!arguments[count].optional && count >= call->argument_count)
            return call_usage(call, "%s is missing", arguments[count].name);
    if (call->argument_count > count)
        return call_usage(call, "'%.100s' is an argument too many", call->arguments[count]);
    for (size_t i = 0; i < count_options(options); i++)
        if (options[i].required && call->values[i] == NULL)
            return call_usage(call, "--%s %s is missing", options[i].name, options[i].value);
    return CALL_RUN;
}

/* The command behind the global options; optind then stands behind its words. */
static int find_command(int argc, char **argv, struct call *call)
{
    const char *first = argv[optind];
    const char *second = optind + 1 < argc ? argv[optind + 1] : NULL;
    int status;

    call->command = command_find(first, second);
    if (call->command != NULL) {
        optind += call->command->group == NULL ? 1 : 2;
        return CALL_RUN;
    }
    if (!command_is_group(first))
        return call_usage(call, "there is no command '%.100s'", first);
    /* agwctl key --help */
    status = parse_options(argc - optind, argv + optind, call, first);
    if (status != CALL_RUN)
        return status;
    if (second == NULL) {
        help_print(NULL, first);
        return CTL_USAGE;
    }
    return call_usage(call, "there is no command '%.40s %.100s'", first, second);
}

int call_parse(int argc, char **argv, struct call *call)
{
    int status;

    *call = (struct call){.now = clock_wall_ms(), .colour = output_may_colour(stdout)};
    if (argc > 1 && strcmp(argv[1], COMPLETE_COMMAND) == 0)
        return complete_print(argc - 2, argv + 2);
    status = parse_options(argc, argv, call, NULL);
    if (status != CALL_RUN)
        return status;
    if (optind >= argc) {
        help_print(NULL, NULL);
        return CTL_USAGE;
    }
    status = find_command(argc, argv, call);
    if (status != CALL_RUN)
        return status;
    /* getopt takes the word before the first for the program's name */
    argc -= optind - 1;
    argv += optind - 1;
    status = parse_options(argc, argv, call, NULL);
    if (status != CALL_RUN)
        return status;
    call->arguments = argv + optind;
    call->argument_count = (size_t)(argc - optind);
    return check_arguments(call);
}

static size_t option_index(const struct call *call, const char *name)
{
    const struct command_option *options = call->command->options;
    size_t i = 0;

    while (options != NULL && options[i].name != NULL && strcmp(options[i].name, name) != 0)
        i++;
    assert(options != NULL && options[i].name != NULL);
    return i;
}

const char *call_text(const struct call *call, const char *option)
{
    return call->values[option_index(call, option)];
}

bool call_flag(const struct call *call, const char *option)
{
    return call_text(call, option) != NULL;
}

int64_t call_number(const struct call *call, const char *option, int64_t otherwise)
{
    size_t i = option_index(call, option);

    return call->values[i] == NULL ? otherwise : call->numbers[i];
}

int64_t call_time(const struct call *call, const char *option, int64_t otherwise)
{
    return call_number(call, option, otherwise);
}

const char *call_argument(const struct call *call, size_t index)
{
    return index < call->argument_count ? call->arguments[index] : NULL;
}

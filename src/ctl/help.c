/* SPDX-License-Identifier: MIT */
/* Prints what there is: commands, arguments, options. */
#include "ctl/help.h"

#include <stdio.h>
#include <string.h>

enum { TITLE_SIZE = 64, NAME_COLUMNS = 24, TEXT_COLUMNS = 70 };

/* A name and its explanation, broken between words. */
static void entry(const char *name, const char *text)
{
    printf("  %-*s", NAME_COLUMNS, name);
    if (strlen(name) >= NAME_COLUMNS)
        printf("\n  %-*s", NAME_COLUMNS, "");
    while (strlen(text) > TEXT_COLUMNS) {
        int length = TEXT_COLUMNS;

        while (length > 1 && text[length] != ' ')
            length--;
        printf("%.*s\n  %-*s", length, text, NAME_COLUMNS, "");
        text += length + (text[length] == ' ');
    }
    puts(text);
}

static void print_options(const struct command_option *options)
{
    char name[TITLE_SIZE];

    for (size_t i = 0; options != NULL && options[i].name != NULL; i++) {
        snprintf(name, sizeof name, "--%s%s%s", options[i].name,
                 options[i].value == NULL ? "" : " ",
                 options[i].value == NULL ? "" : options[i].value);
        entry(name, options[i].help);
    }
}

static void print_commands(const char *group)
{
    char title[TITLE_SIZE];

    for (size_t i = 0; commands[i] != NULL; i++)
        if (group == NULL || (commands[i]->group != NULL && strcmp(commands[i]->group, group) == 0))
            entry(command_title(commands[i], title, sizeof title), commands[i]->summary);
}

static void print_end(void)
{
    puts("\nOptions of every command:");
    print_options(command_globals);
    puts("\nTimes are RFC 3339 (2026-11-25T19:00:00Z), a date, or relative (-1h, -30m, -7d).\n"
         "Exit status: 0 fine, 1 something was found, 2 usage, 3 failure. See agwctl(8).");
}

static void print_command(const struct command *command)
{
    const struct command_argument *arguments = command->arguments;
    const struct command_option *options = command->options;
    char title[TITLE_SIZE];

    printf("Usage: agwctl %s", command_title(command, title, sizeof title));
    for (size_t i = 0; options != NULL && options[i].name != NULL; i++)
        if (options[i].required)
            printf(" --%s %s", options[i].name, options[i].value);
    fputs(" [OPTION]...", stdout);
    for (size_t i = 0; arguments != NULL && arguments[i].name != NULL; i++)
        printf(" %s%s%s", arguments[i].optional ? "[" : "", arguments[i].name,
               arguments[i].optional ? "]" : "");
    printf("\n%s.\n", command->summary);
    if (arguments != NULL) {
        puts("\nArguments:");
        for (size_t i = 0; arguments[i].name != NULL; i++)
            entry(arguments[i].name, arguments[i].help);
    }
    if (options != NULL) {
        puts("\nOptions:");
        print_options(options);
    }
}

void help_print(const struct command *command, const char *group)
{
    if (command != NULL) {
        print_command(command);
    } else if (group != NULL) {
        printf("Usage: agwctl %s COMMAND [OPTION]...\n\nCommands:\n", group);
        print_commands(group);
    } else {
        puts("Usage: agwctl [OPTION]... COMMAND [OPTION]... [ARGUMENT]...\n"
             "Operates Agent Gateway, directly on its database and files.\n"
             "\n"
             "Commands (agwctl COMMAND --help tells more):");
        print_commands(NULL);
    }
    print_end();
    if (command == NULL && group == NULL)
        puts("agwctl --version prints the version.");
}

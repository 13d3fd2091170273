/* SPDX-License-Identifier: MIT */
/* Says which words may stand at the end of a command line. */
#include "ctl/complete.h"

#include <stdio.h>
#include <string.h>

#include "ctl/command.h"

static const struct command_option *find_option(const struct command_option *options,
                                                const char *name)
{
    for (size_t i = 0; options != NULL && options[i].name != NULL; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

/* The option whose value the next word is, NULL when it is none's. */
static const struct command_option *waits_for_value(const struct command *command,
                                                    const char *word)
{
    const struct command_option *option = NULL;

    if (strncmp(word, "--", 2) != 0)
        return NULL;
    if (command != NULL)
        option = find_option(command->options, word + 2);
    if (option == NULL)
        option = find_option(command_globals, word + 2);
    return option == NULL || option->kind == VALUE_NONE ? NULL : option;
}

static void offer(const char *prefix, const char *dashes, const char *word)
{
    char text[80];

    snprintf(text, sizeof text, "%s%s", dashes, word);
    if (strncmp(text, prefix, strlen(prefix)) == 0)
        puts(text);
}

static void offer_options(const char *prefix, const struct command_option *options)
{
    for (size_t i = 0; options != NULL && options[i].name != NULL; i++)
        offer(prefix, "--", options[i].name);
}

/* Groups are there once for each of their commands, which stand together. */
static void offer_commands(const char *prefix, const char *group)
{
    const char *last = "";

    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *c = commands[i];

        if (group != NULL && (c->group == NULL || strcmp(c->group, group) != 0))
            continue;
        if (group != NULL || c->group == NULL) {
            offer(prefix, "", c->name);
        } else if (strcmp(last, c->group) != 0) {
            offer(prefix, "", c->group);
            last = c->group;
        }
    }
}

static void offer_arguments(const struct command *command, size_t index)
{
    const struct command_argument *arguments = command->arguments;

    for (size_t i = 0; arguments != NULL && arguments[i].name != NULL; i++)
        if (i == index && arguments[i].kind == VALUE_FILE)
            puts(":file");
}

int complete_print(int count, char **words)
{
    const char *prefix = count > 0 ? words[count - 1] : "", *group = NULL;
    const struct command *command = NULL;
    const struct command_option *waiting = NULL;
    size_t arguments = 0;

    for (int i = 0; i < count - 1; i++) {
        if (waiting != NULL) {
            if (strcmp(words[i], "=") != 0) /* bash makes three words of --name=value */
                waiting = NULL;
        } else if (strncmp(words[i], "--", 2) == 0) {
            waiting = waits_for_value(command, words[i]);
        } else if (command != NULL) {
            arguments++;
        } else if (group != NULL) {
            command = command_find(group, words[i]);
        } else {
            command = command_find(words[i], NULL);
            group = words[i];
        }
    }
    if (waiting != NULL) {
        if (waiting->kind == VALUE_FILE && strcmp(prefix, "=") != 0)
            puts(":file");
    } else if (prefix[0] == '-') {
        offer_options(prefix, command == NULL ? NULL : command->options);
        offer_options(prefix, command_globals);
    } else if (command != NULL) {
        offer_arguments(command, arguments);
    } else {
        offer_commands(prefix, group);
    }
    return CTL_FINE;
}

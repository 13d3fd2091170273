/* SPDX-License-Identifier: MIT */
/* Help texts, made from the table of commands. */
#ifndef AGW_CTL_HELP_H
#define AGW_CTL_HELP_H

#include "ctl/command.h"

/* Of a command, or (NULL) of a group, or (NULL) of the program; to standard output. */
void help_print(const struct command *command, const char *group);

#endif

/* SPDX-License-Identifier: MIT */
/* What a shell's completion asks for, so that it follows the table of commands. */
#ifndef AGW_CTL_COMPLETE_H
#define AGW_CTL_COMPLETE_H

/* Not in help: the completion script's own. */
#define COMPLETE_COMMAND "__complete"

/* `words` are those of the command line behind the program's name, the last one incomplete.
 * Prints each possible word on a line, or ":file" where a file name is meant. */
int complete_print(int count, char **words);

#endif

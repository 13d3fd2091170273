/* SPDX-License-Identifier: MIT */
/* Gives a document to a program of the operator's choice. */
#ifndef AGW_CTL_HOOK_H
#define AGW_CTL_HOOK_H

/* Runs `command`, whose words are separated by blanks (quotes of either kind keep blanks in a
 * word; no shell looks at it), with `text` on its standard input, and waits for its end, a
 * minute at most. CTL_FINE, or another status after it was said why. */
int hook_run(const char *command, const char *text);

#endif

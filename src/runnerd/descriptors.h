/* SPDX-License-Identifier: MIT */
/* How many descriptors are left: what others can make the runner open must leave enough for its own
 * searches, copies and files of configuration. Any thread.
 */
#ifndef AGW_RUNNERD_DESCRIPTORS_H
#define AGW_RUNNERD_DESCRIPTORS_H

#include <stdbool.h>

/* What to tell when they are. */
extern const char descriptors_short[];

/* Whether they are short, now that `fd` was opened: the lowest that is free is always taken. */
bool descriptors_are_short(int fd);

#endif

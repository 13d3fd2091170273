/* SPDX-License-Identifier: MIT */
/* Folders: who could have put this one there? */
#ifndef AGW_UTIL_FOLDER_H
#define AGW_UTIL_FOLDER_H

#include <stdbool.h>

/* Whether anybody could have made the folder, named as for openat(), or one around it: it lies
 * where everybody may write, and belongs neither to root nor to this process's user. What cannot
 * be looked at counts so. Takes no descriptor. */
bool folder_may_be_anybodys(int at, const char *path);

#endif

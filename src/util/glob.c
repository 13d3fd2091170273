/* SPDX-License-Identifier: MIT */
/* Compares names with patterns, in bounded time. */
#include "util/glob.h"

#include <fnmatch.h>
#include <string.h>

bool glob_match(const char *pattern, const char *text)
{
    if (strnlen(pattern, GLOB_MAX + 1) > GLOB_MAX || strnlen(text, GLOB_MAX + 1) > GLOB_MAX)
        return false;
    return fnmatch(pattern, text, FNM_NOESCAPE) == 0;
}

const char *glob_problem(const char *pattern)
{
    if (pattern[0] == '\0')
        return "a pattern must not be empty";
    if (strnlen(pattern, GLOB_MAX + 1) > GLOB_MAX)
        return "a pattern must not be longer than 256 bytes";
    for (const char *c = pattern; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "a pattern must not contain control characters";
    return NULL;
}

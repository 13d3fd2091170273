/* SPDX-License-Identifier: MIT */
/* Any pattern against any text, on two lines: bounded, and as a plain matcher says. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "util/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stars and question marks; the last star is where a mismatch goes back to. */
static bool plain_match(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;

    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char pattern[300], text[300];
    const uint8_t *cut = memchr(data, '\n', size);
    size_t first = cut == NULL ? size : (size_t)(cut - data);
    size_t second = cut == NULL ? 0 : size - first - 1;
    bool matched;

    first = first < sizeof pattern ? first : sizeof pattern - 1;
    second = second < sizeof text ? second : sizeof text - 1;
    memcpy(pattern, data, first);
    pattern[first] = '\0';
    if (second > 0)
        memcpy(text, cut + 1, second);
    text[second] = '\0';
    matched = glob_match(pattern, text);
    glob_problem(pattern);
    if (strlen(pattern) > GLOB_MAX || strlen(text) > GLOB_MAX)
        assert(!matched);
    else if (strchr(pattern, '[') == NULL) /* bracket expressions are fnmatch()'s own matter */
        assert(matched == plain_match(pattern, text));
    return 0;
}

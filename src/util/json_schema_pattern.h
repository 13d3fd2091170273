/* SPDX-License-Identifier: MIT */
/* The patterns of JSON Schemas, ECMAScript's as far as PCRE2 knows them. Patterns and texts may
 * be hostile: the length of both and the work of a match are bounded. Compiled patterns are
 * immutable: any thread. */
#ifndef AGW_UTIL_JSON_SCHEMA_PATTERN_H
#define AGW_UTIL_JSON_SCHEMA_PATTERN_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;

enum { JSON_SCHEMA_PATTERN_WHY_SIZE = 160 };

/* *code lasts as long as the arena. 0, AGW_EINVALID with what is wrong in `why`, AGW_ENOMEM; then
 * *code is NULL. */
int json_schema_pattern_compile(struct arena *arena, const char *text, pcre2_code **code,
                                char why[JSON_SCHEMA_PATTERN_WHY_SIZE]);

/* Whether it is found anywhere in `text`. A text that is too long, or takes too much work, is no
 * match. */
bool json_schema_pattern_matches(const pcre2_code *code, const char *text, size_t length);

#endif

/* SPDX-License-Identifier: MIT */
/* Compiles and tries the patterns of JSON Schemas. */
#include "util/json_schema_pattern.h"

#include <stdio.h>

#include "util/arena.h"
#include "util/err.h"
#include "util/json_schema.h"

enum { MATCH_LIMIT = 100000, HEAP_LIMIT_KIB = 4096 };

static void free_pattern(void *pattern)
{
    pcre2_code_free(pattern);
}

int json_schema_pattern_compile(struct arena *arena, const char *text, pcre2_code **code,
                                char why[JSON_SCHEMA_PATTERN_WHY_SIZE])
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    PCRE2_UCHAR problem[120] = "";
    PCRE2_SIZE at;
    int number;

    *code = NULL;
    if (context == NULL)
        return AGW_ENOMEM;
    pcre2_set_max_pattern_length(context, JSON_SCHEMA_PATTERN_MAX);
    pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    *code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_DOLLAR_ENDONLY |
                              PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C,
                          &number, &at, context);
    pcre2_compile_context_free(context);
    if (*code == NULL) {
        pcre2_get_error_message(number, problem, sizeof problem);
        snprintf(why, JSON_SCHEMA_PATTERN_WHY_SIZE, "%s at offset %zu", (const char *)problem,
                 (size_t)at);
        return AGW_EINVALID;
    }
    if (arena_cleanup(arena, free_pattern, *code) != 0) {
        *code = NULL;
        return AGW_ENOMEM;
    }
    return 0;
}

bool json_schema_pattern_matches(const pcre2_code *code, const char *text, size_t length)
{
    pcre2_match_context *context = NULL;
    pcre2_match_data *data = NULL;
    int result = PCRE2_ERROR_NOMEMORY;

    if (length > JSON_SCHEMA_SUBJECT_MAX)
        return false;
    context = pcre2_match_context_create(NULL);
    data = pcre2_match_data_create(1, NULL);
    if (context != NULL && data != NULL) {
        pcre2_set_match_limit(context, MATCH_LIMIT);
        pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
        result = pcre2_match(code, (PCRE2_SPTR)text, length, 0, 0, data, context);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    return result >= 0;
}

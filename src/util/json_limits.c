/* SPDX-License-Identifier: MIT */
/* Refuses JSON that would cost too much before it costs anything. */
#include "util/json_limits.h"

#include <string.h>

const struct json_limits json_limits_default = {.depth = 64, .tokens = 200000};

/* Skips a string whose opening quote is at `at`; returns the index after its end. */
static size_t skip_string(const char *text, size_t length, size_t at)
{
    for (at++; at < length && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at < length ? at + 1 : length;
}

/* Counts structure only; whether it is JSON at all is jansson's judgement. Commas, colons
 * and openings bound the number of values. */
static int count(const char *text, size_t length, const struct json_limits *limits,
                 struct err *e)
{
    size_t tokens = 1;
    int depth = 0;

    for (size_t at = 0; at < length;) {
        char c = text[at];

        if (c == '"') {
            at = skip_string(text, length, at);
            continue;
        }
        if (c == '{' || c == '[') {
            depth++;
            tokens++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',' || c == ':') {
            tokens++;
        }
        if (depth > limits->depth)
            return err_set_public(e, AGW_EINVALID, NULL, "JSON is nested more than %d deep",
                                  limits->depth);
        if (tokens > limits->tokens)
            return err_set_public(e, AGW_EINVALID, NULL, "JSON has more than %zu values",
                                  limits->tokens);
        at++;
    }
    return 0;
}

int json_limits_parse(const char *text, size_t length, const struct json_limits *limits,
                      json_t **value, struct err *e)
{
    json_error_t problem;
    int status = count(text, length, limits, e);

    *value = NULL;
    if (status != 0)
        return status;
    *value = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);
    if (*value != NULL)
        return 0;
    if (json_error_code(&problem) == json_error_out_of_memory)
        return err_set(e, AGW_ENOMEM, "parsing %zu bytes of JSON", length);
    return err_set_public(e, AGW_EINVALID, NULL, "invalid JSON at line %d column %d: %s",
                          problem.line, problem.column, problem.text);
}

/* What jansson and the C library need for each, on 64 bits. */
enum { OF_VALUE = 24, OF_STRING = 48, OF_ARRAY = 128, OF_OBJECT = 304, OF_MEMBER = 64,
       OF_ITEM = sizeof(json_t *) };

size_t json_limits_weight(const json_t *value)
{
    size_t weight = 0, i;
    const char *key;
    json_t *inner;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        json_object_foreach((json_t *)value, key, inner)
            weight += OF_MEMBER + strlen(key) + json_limits_weight(inner);
        return weight + OF_OBJECT;
    case JSON_ARRAY:
        json_array_foreach(value, i, inner)
            weight += OF_ITEM + json_limits_weight(inner);
        return weight + OF_ARRAY;
    case JSON_STRING:
        return OF_STRING + json_string_length(value);
    default:
        return OF_VALUE;
    }
}

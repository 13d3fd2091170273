/* SPDX-License-Identifier: MIT */
/* Checks what a model wrote as the arguments of a tool. */
#include "tools/arguments.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/json_limits.h"
#include "util/json_schema.h"

enum { ARGUMENTS_DEPTH = 32, ARGUMENTS_TOKENS = 20000, NOTE_SIZE = 320 };

struct arguments {
    struct json_schema *schema;
    char note[NOTE_SIZE];
};

int arguments_compile(const json_t *schema, struct arguments **out, struct err *e)
{
    struct arguments *arguments = calloc(1, sizeof *arguments);
    json_t *copy = json_deep_copy(schema);
    struct json_schema_problem problem;
    int status = AGW_ENOMEM;

    *out = NULL;
    if (arguments != NULL && copy != NULL)
        status = json_schema_compile(copy, false, &arguments->schema, &problem);
    json_decref(copy);
    if (status != 0) {
        free(arguments);
        return status == AGW_ENOMEM
                   ? err_set(e, status, "compiling a schema")
                   : err_set(e, status, "its schema at '%s': %s", problem.pointer,
                             problem.message);
    }
    if (json_schema_ignored(arguments->schema)[0] != '\0')
        snprintf(arguments->note, sizeof arguments->note,
                 "keywords of its schema that are not checked: %s",
                 json_schema_ignored(arguments->schema));
    *out = arguments;
    return 0;
}

void arguments_free(struct arguments **arguments)
{
    if (*arguments == NULL)
        return;
    json_schema_free(&(*arguments)->schema);
    free(*arguments);
    *arguments = NULL;
}

const char *arguments_note(const struct arguments *arguments)
{
    return arguments->note[0] == '\0' ? NULL : arguments->note;
}

static bool is_blank(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
            return false;
    return true;
}

int arguments_parse(const struct arguments *arguments, const char *text, size_t length,
                    json_t **value, char problem[ARGUMENTS_PROBLEM_SIZE])
{
    static const struct json_limits limits = {ARGUMENTS_DEPTH, ARGUMENTS_TOKENS};
    struct json_schema_problem where;
    struct err e = {0};
    int status = 0;

    *value = NULL;
    if (is_blank(text, length))
        *value = json_object();
    else
        status = json_limits_parse(text, length, &limits, value, &e);
    if (status == AGW_ENOMEM || (status == 0 && *value == NULL))
        return AGW_ENOMEM;
    if (status != 0) {
        snprintf(problem, ARGUMENTS_PROBLEM_SIZE, "The arguments are no valid JSON: %.300s",
                 e.message);
        return AGW_EINVALID;
    }
    if (!json_is_object(*value))
        snprintf(problem, ARGUMENTS_PROBLEM_SIZE, "The arguments must be a JSON object.");
    else if (json_schema_fits(arguments->schema, *value, &where))
        return 0;
    else
        snprintf(problem, ARGUMENTS_PROBLEM_SIZE, "The arguments do not fit: %s%s%s.",
                 where.pointer, where.pointer[0] == '\0' ? "" : " ", where.message);
    json_decref(*value);
    *value = NULL;
    return AGW_EINVALID;
}

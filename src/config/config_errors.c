/* SPDX-License-Identifier: MIT */
/* Collects everything that is wrong, so that one look is enough to mend it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "config/build.h"
#include "util/buf.h"
#include "util/json_text.h"

static void add(struct config_errors *errors, const char *file, int line, int column,
                char *message)
{
    char *name = strdup(file);

    if (errors->list == NULL)
        errors->list = calloc(CONFIG_ERRORS_MAX, sizeof *errors->list);
    if (errors->list == NULL || name == NULL || message == NULL) {
        free(name);
        free(message);
        errors->lost = true;
        return;
    }
    errors->list[errors->count++] = (struct config_error){name, line, column, message};
}

void config_errors_add(struct config_errors *errors, const char *file, int line, int column,
                       const char *format, ...)
{
    va_list args;
    char *message;
    int length;

    if (errors->count >= CONFIG_ERRORS_MAX)
        return;
    if (errors->count == CONFIG_ERRORS_MAX - 1) {
        add(errors, "", 0, 0, strdup("there are more errors; these are the first"));
        return;
    }
    va_start(args, format);
    length = vasprintf(&message, format, args);
    if (length >= 0)
        json_text_repair(message);
    va_end(args);
    add(errors, file, line, column, length < 0 ? NULL : message);
}

/* The note without a file ("there are more") goes last. */
static int by_place(const void *a, const void *b)
{
    const struct config_error *left = a, *right = b;
    int order = (left->file[0] == '\0') - (right->file[0] == '\0');

    if (order == 0)
        order = strcmp(left->file, right->file);
    if (order == 0)
        order = left->line - right->line;
    if (order == 0)
        order = left->column - right->column;
    return order != 0 ? order : strcmp(left->message, right->message);
}

void build_sort_errors(struct config_errors *errors)
{
    size_t kept = 0;

    if (errors->count == 0)
        return;
    qsort(errors->list, errors->count, sizeof *errors->list, by_place);
    for (size_t i = 1; i < errors->count; i++)
        if (by_place(&errors->list[kept], &errors->list[i]) == 0) {
            free(errors->list[i].file);
            free(errors->list[i].message);
        } else {
            errors->list[++kept] = errors->list[i];
        }
    errors->count = kept + 1;
}

char *config_errors_text(const struct config_errors *errors)
{
    struct config_error *sorted;
    struct buf text;

    if (errors->count == 0)
        return strdup("");
    sorted = calloc(errors->count, sizeof *sorted);
    if (sorted == NULL)
        return NULL;
    memcpy(sorted, errors->list, errors->count * sizeof *sorted);
    qsort(sorted, errors->count, sizeof *sorted, by_place);
    buf_init(&text, 4 << 20);
    for (size_t i = 0; i < errors->count; i++) {
        if (sorted[i].line > 0)
            buf_printf(&text, "%s:%d:%d: ", sorted[i].file, sorted[i].line, sorted[i].column);
        else if (sorted[i].file[0] != '\0')
            buf_printf(&text, "%s: ", sorted[i].file);
        buf_printf(&text, "%s\n", sorted[i].message);
    }
    free(sorted);
    return buf_take(&text);
}

bool config_errors_memory(const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++)
        if (strncmp(errors->list[i].message, "out of memory", 13) == 0)
            return true;
    return errors->lost;
}

void config_errors_free(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->list[i].file);
        free(errors->list[i].message);
    }
    free(errors->list);
    *errors = (struct config_errors){0};
}

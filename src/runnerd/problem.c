/* SPDX-License-Identifier: MIT */
/* Keeps lists of what is wrong with modules. */
#include "runnerd/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "util/json_text.h"

enum { MESSAGE_SIZE = 2000, NAME_SIZE = 4200, REPORTED_MAX = 50 };

static const char *const kinds[] = {"import", "dependency", "validation", "security", "runtime"};

/* Names of files are any bytes. */
static json_t *name(const char *text)
{
    char copy[NAME_SIZE];

    if (text == NULL)
        return json_null();
    snprintf(copy, sizeof copy, "%s", text);
    json_text_repair(copy);
    return json_string(copy);
}

static void append(json_t *list, const char *kind, const char *severity,
                   const struct problem_place *place, json_t *line, const char *message)
{
    char text[MESSAGE_SIZE];

    snprintf(text, sizeof text, "%s", message);
    json_text_repair(text);
    json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:I}", "kind",
                                          kind, "severity", severity, "agent",
                                          name(place->agent), "module", name(place->module),
                                          "path", name(place->path), "line", line, "message",
                                          text, "at", (json_int_t)clock_wall_ms()));
}

void problem_add(json_t *list, const char *kind, const char *severity,
                 const struct problem_place *place, const char *format, ...)
{
    char message[MESSAGE_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    append(list, kind, severity, place, json_null(), message);
}

static const char *text_of(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? fallback : text;
}

/* What counts kinds shall see no others; and that something was kept from running is not for a
 * module to say. */
static const char *known_kind(const char *kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i], kind) == 0 && strcmp(kind, "security") != 0)
            return kinds[i];
    return "runtime";
}

void problem_add_reported(json_t *list, const json_t *reported,
                          const struct problem_place *place)
{
    size_t index;
    json_t *item;

    json_array_foreach(reported, index, item) {
        const json_t *line = json_object_get(item, "line");
        struct problem_place there = *place;

        if (index == REPORTED_MAX)
            return;
        bool warning = strcmp(text_of(item, "severity", "error"), "warning") == 0;

        there.path = text_of(item, "path", place->path);
        append(list, known_kind(text_of(item, "kind", "")), warning ? "warning" : "error", &there,
               json_is_integer(line) ? json_integer(json_integer_value(line)) : json_null(),
               text_of(item, "message", "it does not say what is wrong"));
    }
}

static bool is_error(const json_t *problem)
{
    return strcmp(text_of(problem, "severity", ""), "error") == 0;
}

bool problem_is_fatal(const json_t *list)
{
    size_t index;
    json_t *item;

    json_array_foreach(list, index, item)
        if (is_error(item))
            return true;
    return false;
}

bool problem_lacks_packages(const json_t *list)
{
    size_t index;
    json_t *item;

    json_array_foreach(list, index, item)
        if (is_error(item) && (strcmp(text_of(item, "kind", ""), "dependency") == 0 ||
                               strstr(text_of(item, "message", ""), "/node_modules/") != NULL))
            return true;
    return false;
}

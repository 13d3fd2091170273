/* SPDX-License-Identifier: MIT */
/* Reads "call NAME ARGUMENTS" as a model's wish to call a tool. */
#include "upstream/echo_calls.h"

#include <string.h>

static const char word[] = "call ";

struct line {
    const char *name, *arguments;
    size_t name_length, arguments_length;
};

/* Takes the line at *text apart and moves on to the next one; false when it is no call. */
static bool next_call(const char **text, struct line *line)
{
    size_t length = strcspn(*text, "\n");
    const char *at = *text + sizeof word - 1, *end = *text + length;

    if (length < sizeof word || strncmp(*text, word, sizeof word - 1) != 0)
        return false;
    line->name = at;
    line->name_length = strcspn(at, " \n");
    at += line->name_length;
    at += strspn(at, " ");
    line->arguments = at;
    line->arguments_length = at < end ? (size_t)(end - at) : 0;
    *text = end + (*end == '\n');
    return line->name_length > 0;
}

static bool is_offered(const json_t *body, const struct line *line)
{
    const json_t *tools = json_object_get(body, "tools"), *tool;
    size_t i;

    json_array_foreach(tools, i, tool) {
        const char *name = json_string_value(
            json_object_get(json_object_get(tool, "function"), "name"));

        if (name != NULL && strlen(name) == line->name_length &&
            strncmp(name, line->name, line->name_length) == 0)
            return true;
    }
    return false;
}

bool echo_calls_wanted(const json_t *body, const char *text)
{
    const char *choice = json_string_value(json_object_get(body, "tool_choice"));
    struct line line;

    if (*text == '\0' || (choice != NULL && strcmp(choice, "none") == 0))
        return false;
    while (*text != '\0')
        if (!next_call(&text, &line) || !is_offered(body, &line))
            return false;
    return true;
}

json_t *echo_calls_make(const char *text, const char *prefix)
{
    json_t *calls = json_array();
    struct line line;

    for (int i = 0; *text != '\0' && next_call(&text, &line); i++) {
        json_t *call = json_pack("{s:o, s:s, s:{s:s%, s:s%}}", "id",
                                 json_sprintf("call_%s_%d", prefix, i), "type", "function",
                                 "function", "name", line.name, line.name_length, "arguments",
                                 line.arguments_length > 0 ? line.arguments : "{}",
                                 line.arguments_length > 0 ? line.arguments_length : 2);

        if (json_array_append_new(calls, call) != 0) {
            json_decref(calls);
            return NULL;
        }
    }
    return calls;
}

/* SPDX-License-Identifier: MIT */
/* Holds what came of a call, and what a source offers. */
#include "tools/tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/json_text.h"
#include "util/sha.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
enum { REPLACEMENT = sizeof replacement - 1, FUNCTION_MAX = 64, SUFFIX = 9, NAME_SHOWN = 100 };

const char *const tool_provider_names[TOOL_PROVIDERS] = {
    [TOOL_LOCAL] = "local", [TOOL_HTTP] = "http", [TOOL_MCP] = "mcp"};

const char *tool_status_name(enum tool_status status)
{
    static const char *const names[TOOL_STATUSES] = {
        "ok", "failed", "invalid", "denied", "timeout", "unavailable", "cancelled"};

    return names[status];
}

void tool_result_clear(struct tool_result *result)
{
    free(result->content);
    json_decref(result->structured);
    memset(result, 0, sizeof *result);
}

bool tool_result_say(struct tool_result *result, enum tool_status status, const char *format,
                     ...)
{
    va_list args;
    char *text;
    int length;

    va_start(args, format);
    length = vasprintf(&text, format, args);
    va_end(args);
    tool_result_clear(result);
    result->status = status;
    if (length < 0)
        return false;
    json_text_repair(text);
    result->content = text;
    result->length = (size_t)length;
    return true;
}

/* How much room the bytes need, at most `max`, and how many of them fit. */
static size_t measure(const char *bytes, size_t length, size_t max, size_t *taken)
{
    size_t room = 0, at = 0;

    while (at < length) {
        size_t step = json_text_utf8(bytes + at, length - at);
        bool good = step > 0 && bytes[at] != '\0';
        size_t needs = good ? step : REPLACEMENT;

        if (room + needs > max)
            break;
        room += needs;
        at += good ? step : 1;
    }
    *taken = at;
    return room;
}

bool tool_result_put(struct tool_result *result, enum tool_status status, const char *bytes,
                     size_t length, size_t max)
{
    size_t taken, room = measure(bytes, length, max, &taken);
    char *text = malloc(room + 1), *end = text;

    tool_result_clear(result);
    result->status = status;
    if (text == NULL)
        return false;
    for (size_t at = 0; at < taken;) {
        size_t step = json_text_utf8(bytes + at, length - at);

        if (step > 0 && bytes[at] != '\0') {
            end = mempcpy(end, bytes + at, step);
            at += step;
        } else {
            end = mempcpy(end, replacement, REPLACEMENT);
            at++;
        }
    }
    *end = '\0';
    result->content = text;
    result->length = room;
    result->truncated = taken < length;
    return true;
}

bool tool_result_unknown(struct tool_result *result, const char *name)
{
    return tool_result_say(result, TOOL_INVALID, "There is no tool '%.*s'.", NAME_SHOWN, name);
}

/* ---- names ---- */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-';
}

/* "files.read" becomes "files_read". What loses more than its dots gets a part of its hash, so
 * that two names do not become one. */
char *tool_function_name(const char *name)
{
    size_t length = strlen(name), kept = length > FUNCTION_MAX ? FUNCTION_MAX - SUFFIX : length;
    bool lossy = length > FUNCTION_MAX;
    char hex[SHA_HEX_SIZE], *function = malloc(length + SUFFIX + 1);

    if (function == NULL)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        lossy = lossy || (!is_plain(name[i]) && name[i] != '.');
        function[i] = name[i];
        if (!is_plain(name[i]))
            function[i] = '_';
    }
    function[length] = '\0';
    if (!lossy)
        return function;
    if (kept > FUNCTION_MAX - SUFFIX)
        kept = FUNCTION_MAX - SUFFIX;
    sha_256_hex(name, length, hex);
    snprintf(function + kept, SUFFIX + 1, "_%.8s", hex);
    return function;
}

/* ---- what a source offers ---- */

int tool_offers_add(struct tool_offers *offers, const char *name, const char *description,
                    json_t *schema)
{
    struct tool_offer offer = {.name = strdup(name), .schema = schema};
    struct tool_offer *grown = NULL;

    if (description != NULL)
        offer.description = strdup(description);
    if (offers->count < TOOL_OFFERS_MAX && offer.name != NULL &&
        (description == NULL || offer.description != NULL))
        grown = reallocarray(offers->list, offers->count + 1, sizeof *grown);
    if (grown == NULL) {
        free(offer.name);
        free(offer.description);
        json_decref(schema);
        return -1;
    }
    offers->list = grown;
    offers->list[offers->count++] = offer;
    return 0;
}

void tool_offers_clear(struct tool_offers *offers)
{
    for (size_t i = 0; i < offers->count; i++) {
        free(offers->list[i].name);
        free(offers->list[i].description);
        json_decref(offers->list[i].schema);
    }
    free(offers->list);
    memset(offers, 0, sizeof *offers);
}

/* SPDX-License-Identifier: MIT */
/* Holds what came of a call, and what a source offers. */
#include "tools/tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/json_text.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
enum { REPLACEMENT = sizeof replacement - 1 };

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

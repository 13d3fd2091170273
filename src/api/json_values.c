/* SPDX-License-Identifier: MIT */
/* Spells times, lists and overrides the same way in every answer. */
#include "api/json_values.h"

#include "util/clock.h"

json_t *json_values_text(const char *text)
{
    return text == NULL ? json_null() : json_string(text);
}

json_t *json_values_time(int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];

    return ms == 0 ? json_null() : json_string(clock_format(ms, text));
}

json_t *json_values_patterns(const struct config_patterns *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->patterns[i]));
    return array;
}

json_t *json_values_override(const struct override *o)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", o->id, "agent",
                     o->pattern, "pattern", o->pattern, "created_at",
                     json_values_time(o->created_at), "expires_at",
                     json_values_time(o->expires_at), "reason", json_values_text(o->reason),
                     "key_id", json_values_text(o->key_id), "created_by",
                     json_values_text(o->created_by), "revoked_at",
                     json_values_time(o->revoked_at), "expired_at",
                     json_values_time(o->expired_at));
}

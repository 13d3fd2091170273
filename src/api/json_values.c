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

json_t *json_values_override(const struct override *o, int64_t now)
{
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:o,s:o,s:s?,s:s?,s:s?,s:s?,s:o,s:o,s:s?,s:o,s:o,s:o}", "id", o->id,
        "agent", o->pattern, "pattern", o->pattern, "state", override_state(o, now),
        "created_at", json_values_time(o->created_at), "expires_at",
        json_values_time(o->expires_at), "reason", o->reason, "ticket", o->ticket, "key_id",
        o->key_id, "created_by", o->created_by, "max_uses",
        o->max_uses == 0 ? json_null() : json_integer(o->max_uses), "uses",
        o->uses < 0 ? json_null() : json_integer(o->uses), "revoked_by", o->revoked_by, "revoked_at",
        json_values_time(o->revoked_at), "expired_at", json_values_time(o->expired_at),
        "used_up_at", json_values_time(o->used_up_at));
}

/* SPDX-License-Identifier: MIT */
/* Checks request bodies member by member. */
#include "api/fields.h"

#include <string.h>

#include "util/json_text.h"

static const char *const type_names[] = {
    "a string",   "an integer", "a number", "a boolean",
    "an object", "an array",   "a string or an array of strings"};

static bool has_type(const json_t *value, enum field_type type)
{
    size_t i;
    json_t *item;

    switch (type) {
    case FIELD_TEXT:
        return json_is_string(value);
    case FIELD_INTEGER:
        return json_is_integer(value);
    case FIELD_NUMBER:
        return json_is_number(value);
    case FIELD_BOOLEAN:
        return json_is_boolean(value);
    case FIELD_OBJECT:
        return json_is_object(value);
    case FIELD_ARRAY:
        return json_is_array(value);
    case FIELD_TEXT_OR_TEXTS:
        if (json_is_string(value))
            return true;
        json_array_foreach((json_t *)value, i, item)
            if (!json_is_string(item))
                return false;
        return json_is_array(value);
    }
    return false;
}

static int64_t characters(const char *text)
{
    int64_t count = 0;
    size_t length = strlen(text), size;

    for (size_t at = 0; at < length; at += size == 0 ? 1 : size, count++)
        size = json_text_utf8(text + at, length - at);
    return count;
}

static int check_bounds(const json_t *value, const struct field *f, struct err *e)
{
    const char *what = "";
    double measure;

    if (f->min == 0 && f->max == 0)
        return 0;
    if (json_is_number(value)) {
        measure = json_number_value(value);
    } else if (json_is_string(value)) {
        measure = (double)characters(json_string_value(value));
        what = "the length of ";
    } else if (json_is_array(value)) {
        measure = (double)json_array_size(value);
        what = "the number of items in ";
    } else {
        return 0;
    }
    if (measure >= (double)f->min && measure <= (double)f->max)
        return 0;
    return err_set_public(e, AGW_EINVALID, f->name, "%s'%s' must be between %lld and %lld.",
                          what, f->name, (long long)f->min, (long long)f->max);
}

static int check_one(const json_t *body, const struct field *f, struct err *e)
{
    const json_t *value = json_object_get(body, f->name);

    if (value == NULL || json_is_null(value)) {
        if (!f->required)
            return 0;
        return err_set_public(e, AGW_EINVALID, f->name, "'%s' is required.", f->name);
    }
    if (!has_type(value, f->type))
        return err_set_public(e, AGW_EINVALID, f->name, "'%s' must be %s.", f->name,
                              type_names[f->type]);
    return check_bounds(value, f, e);
}

static int check_unknown(const json_t *body, const struct field *fields, size_t count,
                         struct err *e)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)body, name, value)
    {
        size_t i = 0;

        while (i < count && strcmp(fields[i].name, name) != 0)
            i++;
        if (i == count)
            return err_set_public(e, AGW_EINVALID, name, "'%.60s' is not known here.", name);
    }
    return 0;
}

int fields_check(const json_t *body, const struct field *fields, size_t count, bool closed,
                 struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (check_one(body, &fields[i], e) != 0)
            return AGW_EINVALID;
    return closed ? check_unknown(body, fields, count, e) : 0;
}

const char *fields_text(const json_t *body, const char *name)
{
    return json_string_value(json_object_get(body, name));
}

int64_t fields_integer(const json_t *body, const char *name, int64_t fallback)
{
    const json_t *value = json_object_get(body, name);

    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

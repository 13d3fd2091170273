/* SPDX-License-Identifier: MIT */
/* Takes from a catalog what gateways are to know. */
#include "runnerd/offer.h"

#include <stdio.h>
#include <string.h>

#include "util/json_text.h"

struct offer {
    size_t names; /* of tools and handoffs so far */
    bool cut;
};

/* Texts that are too long are cut where a character ends. */
static void copy_text(struct offer *o, json_t *to, const json_t *from, const char *key, size_t max)
{
    const char *text = json_string_value(json_object_get(from, key));
    char copy[OFFER_TEXT_MAX + 1];

    if (text == NULL)
        return;
    o->cut = o->cut || strlen(text) > max;
    snprintf(copy, max + 1, "%s", text);
    json_text_repair(copy);
    json_object_set_new(to, key, json_string(copy));
}

/* A name that is too long is none: half of it would be another one. */
static json_t *copy_names(struct offer *o, const json_t *list)
{
    json_t *names = json_array(), *item;
    size_t index;

    json_array_foreach(list, index, item) {
        if (!json_is_string(item))
            continue;
        if (o->names == OFFER_NAMES_MAX || json_string_length(item) > OFFER_NAME_MAX) {
            o->cut = true;
            continue;
        }
        o->names++;
        json_array_append(names, item);
    }
    return names;
}

static json_t *copy_export(struct offer *o, const json_t *from)
{
    json_t *to = json_object();
    const json_t *attr = json_object_get(from, "attr");

    if (json_string_length(attr) == 0 || json_string_length(attr) > OFFER_NAME_MAX) {
        o->cut = true;
        json_decref(to);
        return NULL;
    }
    json_object_set_new(to, "attr", json_string(json_string_value(attr)));
    copy_text(o, to, from, "name", OFFER_NAME_MAX);
    copy_text(o, to, from, "model", OFFER_NAME_MAX);
    json_object_set_new(to, "tools", copy_names(o, json_object_get(from, "tools")));
    json_object_set_new(to, "handoffs", copy_names(o, json_object_get(from, "handoffs")));
    return to;
}

static json_t *copy_exports(struct offer *o, const json_t *list)
{
    json_t *exports = json_array(), *item;
    size_t index;

    json_array_foreach(list, index, item) {
        json_t *export = NULL;

        if (json_array_size(exports) == OFFER_EXPORTS_MAX) {
            o->cut = true;
            break;
        }
        export = copy_export(o, item);
        if (export != NULL)
            json_array_append_new(exports, export);
    }
    return exports;
}

json_t *offer_take(const json_t *catalog, bool *cut)
{
    static const struct {
        const char *key;
        size_t max;
    } texts[] = {{"namespace", OFFER_NAME_MAX}, {"display_name", OFFER_NAME_MAX},
                 {"description", OFFER_TEXT_MAX}, {"model", OFFER_NAME_MAX},
                 {"upstream", OFFER_NAME_MAX}};
    const json_t *said = json_object_get(catalog, "gateway");
    json_t *taken = json_object(), *gateway = json_object();
    struct offer o = {0};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        copy_text(&o, gateway, said, texts[i].key, texts[i].max);
    json_object_set_new(taken, "gateway", gateway);
    copy_text(&o, taken, catalog, "doc", OFFER_TEXT_MAX);
    json_object_set_new(taken, "exports", copy_exports(&o, json_object_get(catalog, "exports")));
    *cut = o.cut;
    return taken;
}

/* SPDX-License-Identifier: MIT */
/* Writes decisions as JSON. */
#include "api/decision_json.h"

#include "api/json_values.h"
#include "util/err.h"

json_t *decision_json_place(const struct config_place *place)
{
    if (place->line == 0) /* "key:ID": a list of a key made at run time */
        return json_values_text(place->file);
    return json_sprintf("%s:%d", place->file, place->line);
}

json_t *decision_json_rule(const struct decision *d)
{
    return d->override != NULL ? json_string(d->override->id) : decision_json_place(&d->place);
}

static json_t *step_json(const struct decision_step *step)
{
    json_t *json = json_pack("{s:s,s:b,s:b,s:o}", "rule", step->rule, "present", step->present,
                             "matched", step->matched, "pattern", json_values_text(step->pattern));

    if (json != NULL && step->place.file != NULL)
        json_object_set_new(json, "file", json_string(step->place.file));
    if (json != NULL && step->place.line != 0)
        json_object_set_new(json, "line", json_integer(step->place.line));
    if (json != NULL && step->used_up != NULL)
        json_object_set_new(json, "used_up", json_string(step->used_up->id));
    return json;
}

static json_t *trace_json(const struct decision *d)
{
    json_t *trace = json_array();

    for (size_t i = 0; i < d->step_count; i++)
        json_array_append_new(trace, step_json(&d->steps[i]));
    return trace;
}

/* What entries of mode shadow would change, or null. */
static json_t *shadow_json(const struct decision *d)
{
    if (!d->shadow.differs)
        return json_null();
    return json_pack("{s:s,s:s,s:s?,s:o}", "decision", decision_would_name(d), "list",
                     d->shadow.rule, "pattern", d->shadow.pattern, "rule",
                     decision_json_place(&d->shadow.place));
}

/* What a chat request would be answered. */
static json_t *answer_json(int status)
{
    const struct err_info *info = err_info(status);

    return json_pack("{s:i,s:s?}", "status", status == 0 ? 200 : info->status, "code",
                     status == 0 ? NULL : info->code);
}

json_t *decision_json(const struct decision_subject *s, const struct decision *d)
{
    json_t *json = json_pack(
        "{s:s,s:b,s:s,s:b,s:s,s:o,s:s,s:s,s:o,s:I,s:o,s:o,s:o}", "agent", s->target.id, "exists",
        s->target.agent != NULL, "decision", d->allowed ? "allow" : "deny", "allowed", d->allowed,
        "source", decision_source_name(d->source), "pattern", json_values_text(d->pattern),
        "namespace", s->target.ns, "key_id", s->key_id, "rule", decision_json_rule(d), "generation",
        (json_int_t)s->generation, "answer", answer_json(s->status), "shadow", shadow_json(d),
        "trace", trace_json(d));

    if (json != NULL && d->override != NULL) {
        struct override o = *d->override;

        if (s->uses >= 0)
            o.uses = s->uses;
        json_object_set_new(json, "override", json_values_override(&o, s->at));
    }
    return json;
}

json_t *decision_json_tool(const char *tool, bool exists, const struct decision *d)
{
    return json_pack("{s:s,s:b,s:s,s:b,s:s,s:o,s:o,s:s,s:o}", "name", tool, "exists", exists,
                     "decision", d->allowed ? "allow" : "deny", "allowed", d->allowed, "source",
                     decision_source_name(d->source), "pattern", json_values_text(d->pattern),
                     "rule", decision_json_place(&d->place), "list",
                     d->steps[d->step_count - 1].rule, "trace", trace_json(d));
}

/* SPDX-License-Identifier: MIT */
/* Gathers what checks say, and shows it. */
#include "ctl/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/output.h"

static const char *const state_names[] = {"ok", "warning", "failed"};

void findings_begin(struct findings *f)
{
    *f = (struct findings){.checks = json_array()};
}

void findings_add(struct findings *f, const char *name, enum finding_state state,
                  const char *advice, const char *format, ...)
{
    va_list args;
    char *detail;

    va_start(args, format);
    if (vasprintf(&detail, format, args) < 0)
        detail = NULL;
    va_end(args);
    if (state > f->worst)
        f->worst = state;
    json_array_append_new(f->checks,
                          json_pack("{s:s, s:s, s:o, s:o}", "name", name, "state",
                                    state_names[state], "detail",
                                    output_json_text(detail == NULL ? "out of memory" : detail),
                                    "advice", output_json_text(advice)));
    free(detail);
}

static enum output_style style_of(const char *state)
{
    return state[0] == 'o' ? STYLE_GOOD : state[0] == 'w' ? STYLE_WARNING : STYLE_BAD;
}

static void print_one(bool colour, const json_t *check)
{
    const char *state = json_string_value(json_object_get(check, "state"));
    const char *advice = json_string_value(json_object_get(check, "advice"));

    if (colour)
        printf("%s%-8s" OUTPUT_RESET " ", output_style_begin(style_of(state)), state);
    else
        printf("%-8s ", state);
    output_line("%-18s %s", json_string_value(json_object_get(check, "name")),
                json_string_value(json_object_get(check, "detail")));
    if (advice != NULL)
        output_line("%28s-> %s", "", advice);
}

int findings_end(struct findings *f, const struct call *call)
{
    int status = f->worst == FINDING_OK ? CTL_FINE : CTL_FINDING;
    const json_t *check;
    size_t i;

    if (call->json) {
        status = call_json(json_pack("{s:b, s:O}", "ok", f->worst == FINDING_OK, "checks",
                                     f->checks), status);
    } else {
        json_array_foreach(f->checks, i, check)
            print_one(call->colour, check);
    }
    json_decref(f->checks);
    return status;
}

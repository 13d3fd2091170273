/* SPDX-License-Identifier: MIT */
/* Prints an explanation for people. */
#include <string.h>

#include "ctl/explain.h"
#include "ctl/output.h"
#include "ctl/table.h"

static const char *text_of(const json_t *document, const char *name)
{
    return json_string_value(json_object_get(document, name));
}

static void show_verdict(const json_t *d, bool colour)
{
    const json_t *answer = json_object_get(d, "answer");
    long long status = json_integer_value(json_object_get(answer, "status"));
    const char *code = text_of(answer, "code");

    if (status == 200)
        output_styled(colour, STYLE_GOOD, "allowed: key '%s' may call '%s'",
                      text_of(d, "key_id"), text_of(d, "agent"));
    else
        output_styled(colour, STYLE_BAD, "refused: key '%s' calling '%s' is answered %lld%s%s",
                      text_of(d, "key_id"), text_of(d, "agent"), status,
                      code == NULL ? "" : " ", code == NULL ? "" : code);
    output_line("as of %s, generation %lld%s", text_of(d, "at"),
                (long long)json_integer_value(json_object_get(d, "generation")),
                strcmp(text_of(d, "basis"), "files") == 0 ? " (the files, not yet in force)" : "");
}

static void show_step(struct table *table, const json_t *d, const json_t *step)
{
    bool present = json_is_true(json_object_get(step, "present"));
    bool matched = json_is_true(json_object_get(step, "matched"));
    table_text(table, STYLE_PLAIN, text_of(step, "rule"));
    table_text(table, matched ? STYLE_BOLD : STYLE_FAINT,
               matched ? "decides" : present ? "no match" : "absent");
    table_text(table, STYLE_PLAIN, text_of(step, "pattern"));
    table_text(table, STYLE_PLAIN, matched ? text_of(d, "rule") : NULL);
}

static void show_trace(const json_t *d, bool colour)
{
    static const struct table_column columns[] = {
        {"RULES", false}, {"RESULT", false}, {"PATTERN", false}, {"WRITTEN AT", false},
        {NULL, false}};
    struct table *table = table_new(columns);
    size_t i;
    json_t *step;

    json_array_foreach(json_object_get(d, "trace"), i, step)
        show_step(table, d, step);
    if (table_rows(table) > 0 && text_of(d, "pattern") == NULL) {
        table_text(table, STYLE_PLAIN, "otherwise");
        table_text(table, STYLE_BOLD, "denies");
        table_text(table, STYLE_PLAIN, NULL);
        table_text(table, STYLE_PLAIN, NULL);
    }
    putchar('\n');
    (void)table_print(&table, colour, "nothing was decided: there is no such key");
}

static void show_override(const json_t *d)
{
    const json_t *o = json_object_get(d, "override");

    if (o == NULL)
        return;
    putchar('\n');
    output_line("The override %s of %s ends %s%s%s.", text_of(o, "id"),
                text_of(o, "created_by") == NULL ? "?" : text_of(o, "created_by"),
                text_of(o, "expires_at"), text_of(o, "reason") == NULL ? "" : ": ",
                text_of(o, "reason") == NULL ? "" : text_of(o, "reason"));
}

static void show_shadow(const json_t *d, bool colour)
{
    const json_t *shadow = json_object_get(d, "shadow");
    const char *pattern = text_of(shadow, "pattern"), *rule = text_of(shadow, "rule");

    if (!json_is_object(shadow))
        return;
    putchar('\n');
    output_styled(colour, STYLE_WARNING, "On trial: %s by %s%s%s%s%s", text_of(shadow, "decision"),
                  text_of(shadow, "list"), pattern == NULL ? "" : " ",
                  pattern == NULL ? "" : pattern, rule == NULL ? "" : " at ",
                  rule == NULL ? "" : rule);
}

static void show_remedies(const json_t *d)
{
    json_t *list = json_object_get(d, "remedies"), *one;
    size_t i;

    if (json_array_size(list) > 0)
        puts("\nWhat would allow it:");
    json_array_foreach(list, i, one)
    {
        const char *place = text_of(one, "place"), *command = text_of(one, "command");

        output_line("  - %s%s%s", text_of(one, "action"), place == NULL ? "" : ", ",
                    place == NULL ? "" : place);
        if (command != NULL)
            output_line("      %s", command);
    }
}

static void show_recorded(const json_t *d, bool colour)
{
    const json_t *r = json_object_get(d, "recorded");
    const char *pattern = text_of(r, "pattern"), *place = text_of(r, "place");

    if (r == NULL)
        return;
    putchar('\n');
    output_line("On record (row %lld): %s by %s%s%s%s%s",
                (long long)json_integer_value(json_object_get(r, "seq")), text_of(r, "decision"),
                text_of(r, "source"), pattern == NULL ? "" : " ", pattern == NULL ? "" : pattern,
                place == NULL ? "" : " at ", place == NULL ? "" : place);
    if (json_is_true(json_object_get(d, "reproduced")))
        output_styled(colour, STYLE_GOOD, "Decided again, it comes out the same.");
    else
        output_styled(colour, STYLE_BAD,
                      "DECIDED AGAIN, IT COMES OUT OTHERWISE: the database, or the program, is "
                      "not what it was.");
    if (text_of(d, "note") != NULL)
        output_line("Note: %s.", text_of(d, "note"));
}

void explain_show(const json_t *document, bool colour)
{
    show_verdict(document, colour);
    show_trace(document, colour);
    show_override(document);
    show_shadow(document, colour);
    show_remedies(document);
    show_recorded(document, colour);
}

/* SPDX-License-Identifier: MIT */
/* Answers for each line "[schema, value]" on standard input: "valid", "invalid POINTER MESSAGE"
 * or "refused POINTER MESSAGE" (of the schema). For the official test suite's cases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/json_schema.h"

/* One line, whatever names and texts have in them. */
static void say(const char *word, const struct json_schema_problem *problem)
{
    char text[sizeof *problem + 16];

    snprintf(text, sizeof text, "%s '%s' %s", word, problem->pointer, problem->message);
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    printf("%s\n", text);
}

static void answer(const char *line)
{
    json_t *both = json_loads(line, JSON_ALLOW_NUL, NULL);
    struct json_schema_problem problem;
    struct json_schema *schema = NULL;

    if (!json_is_array(both))
        printf("unreadable\n");
    else if (json_schema_compile(json_array_get(both, 0), true, &schema, &problem) != 0)
        say("refused", &problem);
    else if (json_schema_fits(schema, json_array_get(both, 1), &problem))
        printf("valid\n");
    else
        say("invalid", &problem);
    json_schema_free(&schema);
    json_decref(both);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0)
        answer(line);
    free(line);
    return 0;
}

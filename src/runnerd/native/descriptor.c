/* SPDX-License-Identifier: MIT */
/* Checks descriptors of agents in C. */
#include "runnerd/native/descriptor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char handoff_prefix[] = "transfer_to_";
enum { PREFIX = sizeof handoff_prefix - 1, TOOL_NAME_MAX = 64 };

struct check {
    struct descriptor *d;
    const struct agw_agent *agent;
    json_t *problems;
    bool bad;
};

static void complain(struct check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complain(struct check *c, const char *format, ...)
{
    va_list args;
    json_t *text;

    va_start(args, format);
    text = json_vsprintf(format, args); /* NULL: it is not UTF-8 */
    va_end(args);
    json_array_append_new(c->problems,
                          text != NULL ? text : json_string("its texts are not UTF-8"));
    c->bad = true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static const char *name_of(const struct check *c)
{
    return c->agent->name;
}

static bool is_utf8(const char *text)
{
    json_t *value = text == NULL ? json_null() : json_string(text);

    json_decref(value);
    return value != NULL;
}

/* ---- names ---- */

/* Lower-case, `_` for all that is no letter, digit or `_`. */
static void write_attr(const char *name, char *out, size_t size)
{
    size_t used = 0;

    for (; *name != '\0' && used + 1 < size; name++) {
        char c = *name;

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (!is_letter(c))
            c = '_';
        out[used++] = c;
    }
    out[used] = '\0';
}

void descriptor_handoff(const struct agw_agent *agent, char name[DESCRIPTOR_HANDOFF_SIZE])
{
    memcpy(name, handoff_prefix, PREFIX);
    write_attr(agent->name, name + PREFIX, DESCRIPTOR_HANDOFF_SIZE - PREFIX);
}

const struct descriptor_tool *descriptor_tool(const struct descriptor *d, const char *name)
{
    for (size_t i = 0; i < d->tool_count; i++)
        if (strcmp(d->tools[i].tool->name, name) == 0)
            return &d->tools[i];
    return NULL;
}

/* ---- JSON ---- */

/* NULL: it is none, which is said. */
static json_t *parse(struct check *c, const char *text, const char *what)
{
    json_error_t where;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &where);

    if (value == NULL)
        complain(c, "%s of %s is no JSON: line %d, column %d: %s", what, name_of(c), where.line,
                 where.column, where.text);
    else if (!json_is_object(value))
        complain(c, "%s of %s must be a JSON object", what, name_of(c));
    else
        return value;
    json_decref(value);
    return NULL;
}

static void take_settings(struct check *c)
{
    c->d->settings = c->agent->settings == NULL ? json_object()
                                                : parse(c, c->agent->settings, "settings");
}

static void take_output(struct check *c)
{
    json_t *schema = c->agent->output_schema == NULL
                         ? NULL
                         : parse(c, c->agent->output_schema, "output_schema");
    struct json_schema_problem problem = {0};

    if (schema == NULL)
        return;
    if (json_schema_compile(schema, false, &c->d->output, &problem) != 0)
        complain(c, "output_schema of %s: at '%s': %s", name_of(c), problem.pointer,
                 problem.message);
    c->d->response_format =
        json_pack("{s:s,s:{s:s,s:O,s:b}}", "type", "json_schema", "json_schema", "name",
                  "final_output", "schema", schema, "strict", 1);
    json_decref(schema);
}

/* ---- lists ---- */

/* How long a list is that ends with an element without a name; -1 when it does not seem to. */
static int length_of(struct check *c, const void *list, size_t step, const char *what)
{
    const char *at = list;

    for (int i = 0; list != NULL && i <= DESCRIPTOR_LIST_MAX; i++, at += step)
        if (*(const char *const *)at == NULL)
            return i;
    if (list == NULL)
        return 0;
    complain(c, "%s of %s has more than %d elements: is the last one empty?", what, name_of(c),
             DESCRIPTOR_LIST_MAX);
    return -1;
}

static bool is_good_name(const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < length; i++)
        if (!is_letter(name[i]) && name[i] != '-')
            return false;
    return length > 0 && length <= TOOL_NAME_MAX && strncmp(name, handoff_prefix, PREFIX) != 0;
}

static void take_tool(struct check *c, struct descriptor_tool *out, const struct agw_tool *tool)
{
    json_t *schema;
    struct err e = {0};

    if (!is_good_name(tool->name))
        complain(c, "the tool '%.100s' of %s needs a name of letters, digits, _ and -, at most %d, "
                    "that does not begin with %s", tool->name, name_of(c), TOOL_NAME_MAX,
                 handoff_prefix);
    if (tool->call == NULL)
        complain(c, "the tool %.100s of %s has no function", tool->name, name_of(c));
    if (descriptor_tool(c->d, tool->name) != NULL)
        complain(c, "%s has two tools %.100s", name_of(c), tool->name);
    if (!is_utf8(tool->description))
        complain(c, "the description of the tool %.100s of %s is not UTF-8", tool->name, name_of(c));
    out->tool = tool;
    c->d->tool_count++;
    schema = tool->parameters != NULL
                 ? parse(c, tool->parameters, tool->name)
                 : json_pack("{s:s,s:{}}", "type", "object", "properties");
    if (schema == NULL)
        return;
    if (arguments_compile(schema, &out->arguments, &e) != 0)
        complain(c, "the tool %.100s of %s: %s", tool->name, name_of(c), e.message);
    out->definition =
        json_pack("{s:s,s:{s:s,s:s*,s:O}}", "type", "function", "function", "name", tool->name,
                  "description", tool->description, "parameters", schema);
    json_decref(schema);
}

static void take_tools(struct check *c)
{
    int count = length_of(c, c->agent->tools, sizeof *c->agent->tools, "tools");

    c->d->tools = calloc((size_t)(count < 0 ? 0 : count) + 1, sizeof *c->d->tools);
    for (int i = 0; i < count && c->d->tools != NULL; i++)
        take_tool(c, &c->d->tools[i], &c->agent->tools[i]);
    c->bad = c->bad || c->d->tools == NULL;
}

static void check_guardrails(struct check *c, const struct agw_guardrail *list, const char *what)
{
    int count = length_of(c, list, sizeof *list, what);

    for (int i = 0; i < count; i++)
        if (list[i].check == NULL)
            complain(c, "the guardrail %.100s of %s has no function", list[i].name, name_of(c));
}

/* ---- the whole ---- */

/* What the rest cannot be looked at without. */
static bool check_head(struct check *c)
{
    const char *name;

    if (c->agent->version != AGW_AGENT_VERSION) {
        complain(c, "it was built for version %u of agent_gateway/agent.h, and this gateway has "
                    "version %d: build it again with contrib/build-agent",
                 c->agent->version, AGW_AGENT_VERSION);
        return false;
    }
    name = c->agent->name;
    if (name == NULL || name[0] == '\0' || strlen(name) > DESCRIPTOR_NAME_MAX || !is_utf8(name)) {
        complain(c, "the descriptor of an agent needs a name of 1 to %d bytes",
                 DESCRIPTOR_NAME_MAX);
        return false;
    }
    return true;
}

static void check_rest(struct check *c)
{
    const struct agw_agent *a = c->agent;

    if (a->instructions != NULL && a->instruct != NULL)
        complain(c, "%s has both instructions and instruct", name_of(c));
    if (!is_utf8(a->instructions) || !is_utf8(a->model) || !is_utf8(a->handoff_description))
        complain(c, "the texts of %s are not UTF-8", name_of(c));
    if (a->max_tool_rounds < 0)
        complain(c, "max_tool_rounds of %s is negative", name_of(c));
    (void)length_of(c, a->gateway_tools, sizeof *a->gateway_tools, "gateway_tools");
    (void)length_of(c, a->handoffs, sizeof *a->handoffs, "handoffs");
    (void)length_of(c, a->others, sizeof *a->others, "others");
    check_guardrails(c, a->input_guardrails, "input_guardrails");
    check_guardrails(c, a->output_guardrails, "output_guardrails");
}

struct descriptor *descriptor_new(const struct agw_agent *agent, json_t *problems)
{
    struct check c = {.agent = agent, .problems = problems};

    if (!check_head(&c))
        return NULL;
    c.d = calloc(1, sizeof *c.d);
    if (c.d == NULL)
        return NULL;
    c.d->agent = agent;
    write_attr(agent->name, c.d->attr, sizeof c.d->attr);
    take_settings(&c);
    take_output(&c);
    take_tools(&c);
    check_rest(&c);
    if (c.bad || c.d->settings == NULL)
        descriptor_free(&c.d);
    return c.d;
}

void descriptor_free(struct descriptor **descriptor)
{
    struct descriptor *d = *descriptor;

    if (d == NULL)
        return;
    for (size_t i = 0; i < d->tool_count; i++) {
        arguments_free(&d->tools[i].arguments);
        json_decref(d->tools[i].definition);
    }
    free(d->tools);
    json_decref(d->settings);
    json_decref(d->response_format);
    json_schema_free(&d->output);
    free(d);
    *descriptor = NULL;
}

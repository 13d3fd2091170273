/* SPDX-License-Identifier: MIT */
/* The agents of tests/cases/hosts/scenarios.yaml, in C; those whose feature C agents do not have
 * (agents as the SDKs' tools, tools that end a run) are left out or written out by hand. */
#include <agent_gateway/agent.h>

#include <stdio.h>
#include <string.h>

/* ---- tools ---- */

static int add(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    long long a = 0, b = 0;

    (void)run;
    if (agw_json_integer(arguments, "/a", &a) != AGW_DONE ||
        agw_json_integer(arguments, "/b", &b) != AGW_DONE)
        return AGW_FATAL; /* the schema wants them */
    return agw_text_addf(result, "%lld", a + b);
}

static int weather(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    char city[100];

    if (agw_json_string(arguments, "/city", city, sizeof city) != AGW_DONE)
        return AGW_FAILED;
    agw_log(run, "info", "looking at %s", city);
    return agw_text_addf(result, "%s: sunny", city);
}

static int slow(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    long long number = 0;

    agw_json_integer(arguments, "/number", &number);
    if (agw_wait(run, number == 99 ? 30000 : 300) != AGW_DONE)
        return AGW_CANCELLED;
    return agw_text_addf(result, "slow %lld", number);
}

static int fails(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)run;
    (void)arguments;
    agw_text_add(result, "out of order");
    return AGW_FAILED;
}

static int breaks(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)run;
    (void)arguments;
    agw_text_add(result, "a secret of the agent");
    return AGW_FATAL;
}

static int who(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    char user[100] = "", id[100] = "";

    (void)arguments;
    agw_json_string(agw_context(run), "/user", user, sizeof user);
    agw_json_string(agw_context(run), "/request_id", id, sizeof id);
    return agw_text_addf(result, "%s %s", user, id);
}

#define NUMBERS "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}," \
                "\"b\":{\"type\":\"integer\"}},\"required\":[\"a\",\"b\"]}"
#define ADD {"add", "Adds two numbers.", NUMBERS, add}

static const struct agw_tool tools[] = {
    ADD,
    {"weather", "The weather of a city.",
     "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]}",
     weather},
    {"slow", "Takes a while.",
     "{\"type\":\"object\",\"properties\":{\"number\":{\"type\":\"integer\"}},"
     "\"required\":[\"number\"]}", slow},
    {"fails", "Fails.", NULL, fails},
    {"breaks", "Fails, and the run with it.", NULL, breaks},
    {"who", "Says who asks.", NULL, who},
    {0}};

static const struct agw_tool add_alone[] = {ADD, {0}};

/* ---- handoffs ---- */

static const struct agw_agent poet = {
    .version = AGW_AGENT_VERSION, .name = "Poet", .instructions = "You are Poet.",
    .handoff_description = "Writes poems.", .tools = add_alone};

extern const struct agw_agent agent;
static const struct agw_agent *const triage_handoffs[] = {&poet, &agent, NULL};
static const struct agw_agent triage = {
    .version = AGW_AGENT_VERSION, .name = "Triage", .instructions = "You are Triage.",
    .handoffs = triage_handoffs};

/* ---- structured output ---- */

static const struct agw_agent structured = {
    .version = AGW_AGENT_VERSION, .name = "Structured", .instructions = "You are Structured.",
    .output_schema = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},"
                     "\"guests\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},"
                     "\"required\":[\"name\",\"guests\"],\"additionalProperties\":false}"};

/* ---- guardrails ---- */

static int no_magic(struct agw_run *run, const char *text, struct agw_text *why)
{
    (void)run;
    agw_text_add(why, "it is about magic");
    return strstr(text, "magic") == NULL ? AGW_DONE : AGW_STOP;
}

static int no_gold(struct agw_run *run, const char *text, struct agw_text *why)
{
    (void)run;
    (void)why;
    return strstr(text, "gold") == NULL ? AGW_DONE : AGW_STOP;
}

static const struct agw_guardrail before[] = {{"no_magic", no_magic}, {0}};
static const struct agw_guardrail after[] = {{"no_gold", no_gold}, {0}};
static const struct agw_agent guarded = {
    .version = AGW_AGENT_VERSION, .name = "Guarded", .instructions = "You are Guarded.",
    .input_guardrails = before, .output_guardrails = after};

static const struct agw_agent judge = {
    .version = AGW_AGENT_VERSION, .name = "Judge", .instructions = "You are Judge.",
    .output_schema = "{\"type\":\"object\",\"properties\":{\"homework\":{\"type\":\"boolean\"}},"
                     "\"required\":[\"homework\"]}"};

static int no_homework(struct agw_run *run, const char *text, struct agw_text *why)
{
    struct agw_text *verdict = agw_text_new(run);
    bool homework = true;
    int status = agw_run_agent(run, &judge, text, verdict);

    (void)why;
    if (status != AGW_DONE)
        return status;
    agw_json_bool(agw_text_get(verdict), "/homework", &homework);
    return homework ? AGW_STOP : AGW_DONE;
}

static const struct agw_guardrail asks[] = {{"no_homework", no_homework}, {0}};
static const struct agw_agent judged = {
    .version = AGW_AGENT_VERSION, .name = "Judged", .instructions = "You are Judged.",
    .input_guardrails = asks};

/* ---- settings, instructions of the moment ---- */

static int serve_user(struct agw_run *run, struct agw_text *instructions)
{
    char user[100] = "";

    agw_log(run, "info", "hook: start");
    agw_json_string(agw_context(run), "/user", user, sizeof user);
    return agw_text_addf(instructions, "You serve %s.", user);
}

static int add_and_tell(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    int status = add(run, arguments, result);

    agw_log(run, "info", "hook: add gave %s", agw_text_get(result));
    return status;
}

static const struct agw_tool told[] = {{"add", "Adds two numbers.", NUMBERS, add_and_tell}, {0}};
static const struct agw_agent hooked = {
    .version = AGW_AGENT_VERSION, .name = "Hooked", .instruct = serve_user, .tools = told,
    .settings = "{\"temperature\": 0.5, \"top_p\": 0.9}"};

static int fail(struct agw_run *run, struct agw_text *instructions)
{
    (void)run;
    agw_text_add(instructions, "nobody has no name");
    return AGW_FAILED;
}

static const struct agw_agent failing = {
    .version = AGW_AGENT_VERSION, .name = "Failing", .instruct = fail};

/* ---- agents as tools, tools of the gateway ---- */

static int write_poem(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    char about[200];

    if (agw_json_string(arguments, "/input", about, sizeof about) != AGW_DONE)
        return AGW_FAILED;
    return agw_run_agent(run, &poet, about, result);
}

static const struct agw_tool poems[] = {
    {"write_poem", "Writes a poem.",
     "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
     "\"required\":[\"input\"]}", write_poem},
    {0}};
static const struct agw_agent helped = {
    .version = AGW_AGENT_VERSION, .name = "Helped", .instructions = "You are Helped.",
    .tools = poems};

static const char *const of_gateway[] = {"files.read", "secret.tool", NULL};
static const struct agw_agent gateway = {
    .version = AGW_AGENT_VERSION, .name = "Gateway", .instructions = "You are Gateway.",
    .gateway_tools = of_gateway};

static int built_for(struct agw_run *run, struct agw_text *instructions)
{
    char user[100] = "";

    agw_json_string(agw_context(run), "/user", user, sizeof user);
    return agw_text_addf(instructions, "You are built for %s.", user);
}

static const struct agw_agent built = {
    .version = AGW_AGENT_VERSION, .name = "build_agent", .instruct = built_for};

/* ---- agents that answer themselves ---- */

/* Echoes the model, in capitals, with tools on the way. */
static int shout(void *arg, const char *chunk)
{
    struct agw_run *run = arg;
    char text[200];

    if (agw_json_string(chunk, "/choices/0/delta/content", text, sizeof text) != AGW_DONE)
        return AGW_DONE;
    for (char *c = text; *c != '\0'; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    return agw_say(run, text);
}

static int run_own(struct agw_run *run, struct agw_text *answer)
{
    struct agw_text *request = agw_text_new(run), *sum = agw_text_new(run);
    int status = agw_call_tool(run, "add", "{\"a\":20,\"b\":22}", sum);

    if (status != AGW_DONE) {
        agw_text_addf(answer, "No: %s", agw_text_get(sum));
        return AGW_DONE;
    }
    agw_text_addf(request, "{\"messages\":[{\"role\":\"user\",\"content\":");
    agw_text_add_json(request, agw_input(run));
    agw_text_add(request, "}]}");
    status = agw_ask_stream(run, agw_text_get(request), shout, run);
    agw_text_addf(answer, " (%s)", agw_text_get(sum));
    return status;
}

static const struct agw_agent own = {
    .version = AGW_AGENT_VERSION, .name = "Own", .run = run_own, .tools = add_alone};

static int run_whole(struct agw_run *run, struct agw_text *answer)
{
    struct agw_text *said = agw_text_new(run);
    int status;

    status = agw_ask(run, "{\"messages\":[{\"role\":\"user\",\"content\":\"whole\"}]}", said);
    if (status != AGW_DONE) {
        agw_log(run, "info", "it says %s", agw_text_get(said));
        return status;
    }
    agw_call_tool(run, "files.read", "{\"path\":\"a.txt\"}", answer);
    agw_text_add(answer, " and ");
    return agw_json_get(agw_text_get(said), "/choices/0/message/content", answer);
}

static const struct agw_agent whole = {
    .version = AGW_AGENT_VERSION, .name = "Whole", .run = run_whole};

static int run_refusing(struct agw_run *run, struct agw_text *answer)
{
    (void)answer;
    return agw_refuse(run, "Not this.");
}

static const struct agw_agent refusing = {
    .version = AGW_AGENT_VERSION, .name = "Refusing", .run = run_refusing};

static const struct agw_agent *const others[] = {
    &poet, &triage, &structured, &guarded, &judged, &hooked, &failing, &helped, &gateway, &built,
    &own, &whole, &refusing, NULL};

const struct agw_agent agent = {
    .version = AGW_AGENT_VERSION, .name = "Tools", .instructions = "You are Tools.", .tools = tools,
    .display_name = "Scenes", .description = "Agents of the tests.", .others = others};

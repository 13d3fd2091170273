/* SPDX-License-Identifier: MIT */
/* The agent of test_transcripts.py, in C. */
#include <agent_gateway/agent.h>

#include <string.h>

static int price(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    char item[100];

    (void)run;
    if (agw_json_string(arguments, "/item", item, sizeof item) != AGW_DONE)
        return AGW_FATAL;
    return agw_text_addf(result, "%s: %zu euros", item, strlen(item));
}

static const struct agw_tool tools[] = {
    {"price", "What an item costs.",
     "{\"type\":\"object\",\"properties\":{\"item\":{\"type\":\"string\"}},\"required\":[\"item\"]}",
     price},
    {0}};

static const struct agw_agent till = {
    .version = AGW_AGENT_VERSION, .name = "Till", .instructions = "You are the till.",
    .handoff_description = "Takes the money.", .tools = tools};
static const struct agw_agent *const handoffs[] = {&till, NULL};

const struct agw_agent agent = {
    .version = AGW_AGENT_VERSION, .name = "Shop", .instructions = "You are the shop.",
    .tools = tools, .handoffs = handoffs};

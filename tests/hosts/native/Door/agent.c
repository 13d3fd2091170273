/* SPDX-License-Identifier: MIT */
/* What an agent of agents.yaml with a tool of tools.yaml is, in C: the two must not differ. */
#include <agent_gateway/agent.h>

static const char *const gateway_tools[] = {"calculate", NULL};

const struct agw_agent agent = {
    .version = AGW_AGENT_VERSION,
    .name = "Door",
    .instructions = "You are the door.",
    .settings = "{\"temperature\": 0.5}",
    .gateway_tools = gateway_tools,
    .max_tool_rounds = 3,
};

/* SPDX-License-Identifier: MIT */
/* What an agent in C says of itself, checked once and made ready for its runs. Never changes
 * after that: any thread.
 */
#ifndef AGW_RUNNERD_NATIVE_DESCRIPTOR_H
#define AGW_RUNNERD_NATIVE_DESCRIPTOR_H

#include <jansson.h>

#include "runnerd/native/agent_gateway/agent.h"
#include "tools/arguments.h"
#include "util/json_schema.h"

enum { DESCRIPTOR_LIST_MAX = 128, DESCRIPTOR_NAME_MAX = 100, DESCRIPTOR_ROUNDS = 8 };

struct descriptor_tool {
    const struct agw_tool *tool;
    struct arguments *arguments;
    json_t *definition; /* as models are told of it */
};

struct descriptor {
    const struct agw_agent *agent;
    char attr[DESCRIPTOR_NAME_MAX + 1]; /* "trip_planner": in handoffs, and as an export */
    size_t tool_count;
    struct descriptor_tool *tools;
    json_t *settings;        /* an object */
    json_t *response_format; /* of structured output, and */
    struct json_schema *output; /* ... what it must fit; NULL = any text */
    struct descriptor *next;
};

/* Appends a text to `problems` for whatever is wrong. NULL when something is, or memory is out. */
struct descriptor *descriptor_new(const struct agw_agent *agent, json_t *problems);
void descriptor_free(struct descriptor **descriptor);

/* The tool that models call `name`, NULL = none. */
const struct descriptor_tool *descriptor_tool(const struct descriptor *d, const char *name);

/* What a handoff to it is called, "transfer_to_trip_planner", as in the agents SDKs. */
enum { DESCRIPTOR_HANDOFF_SIZE = DESCRIPTOR_NAME_MAX + 16 };
void descriptor_handoff(const struct agw_agent *agent, char name[DESCRIPTOR_HANDOFF_SIZE]);

#endif

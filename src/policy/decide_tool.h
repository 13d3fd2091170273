/* SPDX-License-Identifier: MIT */
/* Which tools may be called for whom: decide_agent()'s sister, as pure as it.
 *
 * deny_tools of the key, of every rule in tool_rules that is about the agent, and of the default
 * have the first word: what one of them matches is denied. A local tool must be matched by
 * local_tools_allowlist, as "COMMAND:TOOL" (the first word of `command` as it is written, and
 * the tool's name). Then the key's allow_tools must match, or the default's when the key has
 * none; and so must allow_tools of every rule about the agent that has one. Overrides are about
 * agents and change nothing here.
 *
 * Sources are "api_key" and "deny". When a list that should have matched does not, the
 * decision has no pattern, and its place is that of the rule about the agent, if it was one.
 */
#ifndef AGW_POLICY_DECIDE_TOOL_H
#define AGW_POLICY_DECIDE_TOOL_H

#include "policy/decide.h"

struct decide_tool {
    const char *tool;    /* "files.read" */
    const char *agent;   /* namespace/name that calls it */
    const char *command; /* of a local tool its program, else NULL */
};

/* Steps are named "key.deny_tools" "tool_rules.deny_tools" "default.deny_tools"
 * "default.local_tools_allowlist" "key.allow_tools" "default.allow_tools"
 * "tool_rules.allow_tools"; the last one decided. */
void decide_tool(const struct config_security *security, const struct config_key *key,
                 const struct decide_tool *subject, struct decision *decision);

#endif

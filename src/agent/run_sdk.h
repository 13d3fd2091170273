/* SPDX-License-Identifier: MIT */
/* Runs an agent whose module is hosted by the runner: code of the agents SDK in a process of its own,
 * which asks the gateway for its model and its tools. The wire is described in doc/RUNNER.md.
 */
#ifndef AGW_AGENT_RUN_SDK_H
#define AGW_AGENT_RUN_SDK_H

#include "agent/run.h"

/* As agent_run(); besides AGW_EGUARDRAIL: a guardrail of the agent has stopped the request. A process
 * that ends in a run is AGW_EAGENT with status 502, one that hangs AGW_ETIMEOUT. */
int run_sdk(const struct agent_run *run, struct chat_usage *usage, struct err *e);

#endif

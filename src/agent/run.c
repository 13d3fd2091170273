/* SPDX-License-Identifier: MIT */
/* Picks how an agent runs. */
#include "agent/run.h"

#include "agent/run_declarative.h"
#include "agent/run_sdk.h"

int agent_run(const struct agent_run *run, struct chat_usage *usage, struct err *e)
{
    if (!run->agent->available)
        return err_set(e, AGW_EAGENT, "%s: %s", run->agent->spec->id, run->agent->problem);
    return run->agent->dropin != NULL ? run_sdk(run, usage, e) : run_declarative(run, usage, e);
}

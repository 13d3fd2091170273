/* SPDX-License-Identifier: MIT */
/* The tools of one request: those of its agent, which the gateway runs, beside those that the
 * client sent, which the client runs. Of the request's own thread, but for lookups.
 */
#ifndef AGW_AGENT_TOOLBOX_H
#define AGW_AGENT_TOOLBOX_H

#include "agent/run.h"
#include "tools/invoke.h"

struct toolbox {
    struct tool_list tools; /* the agent's, whatever policy says of them */
    json_t *client_names;   /* set of names of the client's tools */
    json_t *definitions;    /* for the upstream: of the tools that policy allows */
};

enum toolbox_owner {
    TOOLBOX_AGENT,  /* the gateway runs it; also what nobody knows, which it has to say */
    TOOLBOX_CLIENT
};

/* Finds the agent's tools (what is missing is left out) and asks policy which of them to
 * offer. AGW_EINVALID, for the client, when one of its tools has the name of one of the
 * agent's; AGW_ENOMEM. To be closed in any case. */
int toolbox_open(struct toolbox *box, const struct agent_run *run, struct err *e);
void toolbox_close(struct toolbox *box);

/* The name that a definition gives its tool, of either kind; NULL = none. */
const char *toolbox_name(const json_t *definition);
/* Says so in *e; `index`: of the client's tool. AGW_EINVALID. */
int toolbox_clash(const struct agent_run *run, size_t index, const char *name, struct err *e);

/* Whose function that is. *tool is the agent's tool, NULL when it is not one. */
enum toolbox_owner toolbox_owner(const struct toolbox *box, const char *function,
                                 const struct tool **tool);

#endif

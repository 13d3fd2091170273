/* SPDX-License-Identifier: MIT */
/* The tools of a process. Outlives configurations, as upstream/upstreams.h does: when a new
 * one comes, a source whose entry of tools.yaml did not change keeps its session and its
 * processes, and calls that run keep their old source. Any thread.
 */
#ifndef AGW_TOOLS_TOOLSET_H
#define AGW_TOOLS_TOOLSET_H

#include "tools/tool.h"

struct toolset;

/* `providers` as tool_providers, which is what the program passes; tests pass their own. */
struct toolset *toolset_new(const struct tool_provider *const *providers);
/* Before the first update: who is told when a source could not be asked for its tools, in any
 * thread, once for each new reason. */
void toolset_on_problem(struct toolset *toolset,
                        void (*fn)(void *arg, const char *tool, const char *problem), void *arg);
/* No call may run any more; calls off the threads that ask for lists. Closes all sources. */
void toolset_free(struct toolset **toolset);

/* Takes over the tools of a new configuration, of which it keeps a reference. A source that
 * cannot be opened is no error of the configuration: it is shown by toolset_json(), and its
 * tools are unavailable. AGW_ENOMEM leaves everything as it was. */
int toolset_update(struct toolset *toolset, struct config *config, struct err *e);

/* Closes sources that are gone, and asks for the lists that are due, each in a short-lived thread:
 * those never got (with back-off), those whose provider said `changed`, and all others after
 * TOOLSET_LIST_MS. Housekeeping calls it every quarter of a second. */
enum { TOOLSET_LIST_MS = 60000 };
void toolset_tick(struct toolset *toolset);

/* Makes all lists due and waits, giving the run permit back, until they are there or
 * `wait_ms` is over: for POST /tools/refresh. */
void toolset_refresh(struct toolset *toolset, int64_t wait_ms);

/* The tool with this name, with one more user; NULL when there is none (now). */
struct tool *toolset_find(struct toolset *toolset, const char *name);

/* What an agent's list of names and globs ("weather", "files.*") stands for now: each tool
 * once, in the list's order, each with one more user and a `function` of its own (a second tool
 * of one function name is left out). Sources of such tools that were never listed are waited for
 * a little while, for the first requests after a start. *missing is the first element that stands for
 * nothing, NULL when there is none: go on without it. 0 or AGW_ENOMEM. */
struct tool_list {
    size_t count;
    struct tool **tools;
};
int toolset_resolve(struct toolset *toolset, const char *const *names, size_t count,
                    struct tool_list *list, const char **missing, struct err *e);
/* The one that models call `function`; borrowed, NULL when there is none. */
const struct tool *tool_list_find(const struct tool_list *list, const char *function);
void tool_list_clear(struct tool_list *list);

/* Array for GET /tools, one object an entry of tools.yaml: name, provider, available, tools
 * (name, function, description, schema), listed_at, diagnostics (texts); never a secret. New
 * reference, NULL when memory is out. */
json_t *toolset_json(struct toolset *toolset);

#endif

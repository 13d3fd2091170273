/* SPDX-License-Identifier: MIT */
/* This process's connection to the runner (agw-runner): one thread keeps it, makes it anew when it
 * breaks, and holds the list of agents that came last. While the runner is away that list stays,
 * and runs are refused after a short wait: it may only be starting anew. Any thread.
 */
#ifndef AGW_RUNNER_LINK_H
#define AGW_RUNNER_LINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "runner/dropins.h"
#include "util/err.h"

struct link;

struct link *link_new(void);
/* No link_open() may run any more; waits for the thread. */
void link_free(struct link **link);

/* Before the first update: who is told of each new list, with the one before (NULL = none), and,
 * with lists NULL, that the runner came or went (link_json() says which). In the link's thread. */
void link_on_change(struct link *link, void (*fn)(void *arg, const struct dropins *now,
                                                  const struct dropins *before), void *arg);

/* Whether a configuration wants a runner: it has discovery.path or an agent of kind sdk. */
bool link_wants(const struct config *config);

/* Takes over what a new configuration says of the runner, and has the runner read it too.
 * AGW_ENOMEM. */
int link_update(struct link *link, const struct config *config, struct err *e);

/* What the runner listed last, with one more user; NULL: nothing yet. *serial (may be NULL)
 * changes with each list. */
struct dropins *link_dropins(struct link *link, uint64_t *serial);
uint64_t link_serial(const struct link *link); /* without a lock */

/* Whether the configuration wants it (link_wants()), and whether it is there. */
bool link_is_wanted(struct link *link);
bool link_is_up(struct link *link);

/* Object for GET /admin/agents and /ready: state ("unused" "away" "connected"), reason (while
 * away), pid, watch, sandbox, modules. New reference; NULL when memory is out. */
json_t *link_json(struct link *link);

/* A connection to the agent `id` for one run; the caller's to close. *process (may be NULL): which
 * process it leads to, for link_report_hang(). Waits, giving the run
 * permit back, until the module has started. AGW_EUNAVAILABLE with a public message (and
 * retry_after_s): the runner is away, refuses or cannot start it; AGW_EMODEL: it has no such
 * agent (now); AGW_EOVERLOAD: no descriptor is left; AGW_ETIMEOUT at `deadline_ms`; AGW_EGONE:
 * `watch_fd` (-1 = none) hung up. */
int link_open(struct link *link, const char *id, int64_t deadline_ms, int watch_fd, int *fd,
              int64_t *process, struct err *e);

/* Has the runner read its configuration and look through the folders; waits until it has, at
 * most `wait_ms`, giving the run permit back. False: it has not, or is away. */
bool link_refresh(struct link *link, int64_t wait_ms);

/* Tells the runner that this process of the agent does not answer; 0: any of them. */
void link_report_hang(struct link *link, const char *id, int64_t process);

#endif

/* SPDX-License-Identifier: MIT */
/* The upstreams of a process: pools, breakers, health. Outlives configurations; entries are
 * matched by name and definition when a new configuration comes. Any thread.
 */
#ifndef AGW_UPSTREAM_UPSTREAMS_H
#define AGW_UPSTREAM_UPSTREAMS_H

#include <jansson.h>
#include <stdbool.h>

#include "config/config.h"
#include "util/err.h"

struct upstreams;

struct upstreams *upstreams_new(void);
/* No call may run any more; waits for health checks that do (their timeout at most). */
void upstreams_free(struct upstreams **upstreams);

/* Takes over the upstreams of a new configuration (copying what it needs, so the
 * configuration may go). Calls that run keep their old entry. */
int upstreams_update(struct upstreams *upstreams, const struct config *config, struct err *e);

/* Starts the active health checks that are due, each in a short-lived thread, and returns
 * at once; a housekeeping thread calls it every second. Logs `upstream.health` when a state
 * changes. */
void upstreams_check_health(struct upstreams *upstreams);

/* Array for GET /upstreams: name, provider, base_url, priority, weight, models, state
 * ("up" "down" "open" "unknown"), last_error, checked_at; never a key. New reference, NULL
 * when memory is out. */
json_t *upstreams_json(struct upstreams *upstreams);
/* Whether any upstream may be called now (for /ready). */
bool upstreams_any_usable(struct upstreams *upstreams);

#endif

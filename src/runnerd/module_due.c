/* SPDX-License-Identifier: MIT */
/* Does what is due with a module: loads, revives, stops what is idle. */
#include <stdint.h>

#include "runnerd/module_state.h"

enum { IDLE_DRAIN_MS = 10000,
       SLOW_MS = 5000 }; /* what loads for longer may hang, and others do not wait for it */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tick_hosts(struct module *m, int64_t now)
{
    int64_t next = INT64_MAX;

    if (m->host != NULL)
        next = earlier(next, host_tick(m->host, now));
    if (m->loading != NULL)
        next = earlier(next, host_tick(m->loading, now));
    if (m->reviving != NULL)
        next = earlier(next, host_tick(m->reviving, now));
    for (int i = 0; i < MODULES_OLD_MAX; i++)
        if (m->old[i] != NULL)
            next = earlier(next, host_tick(m->old[i], now));
    return next;
}

/* One that might not come back, when an edit with errors takes the place of its files, does not
 * go. */
static int64_t stop_if_idle(struct modules *table, struct module *m, int64_t now)
{
    int64_t idle_ms = table->config->gateway.runner.idle_stop_ms, at;

    if (m->host == NULL || idle_ms == 0 || !m->is_serving_kept ||
        host_state(m->host) != HOST_READY || m->opens != NULL || host_runs(m->host) > 0)
        return INT64_MAX;
    at = host_idle_since(m->host) + idle_ms;
    if (now < at)
        return at;
    module_process_retire(m, IDLE_DRAIN_MS);
    modules_changed(table);
    return INT64_MAX;
}

/* As processors are few: until when those that load keep the next one waiting, at the most; 0 = they
 * do not. */
static int64_t waits_until(const struct modules *table, int64_t now)
{
    int64_t until = INT64_MAX;
    int count = 0;

    for (const struct module *other = table->first; other != NULL; other = other->next) {
        int64_t slow_at = other->load_began + SLOW_MS;

        if (other->loading == NULL || now >= slow_at)
            continue;
        count++;
        until = earlier(until, slow_at);
    }
    return count < table->loads_max ? 0 : until;
}

static int64_t load_if_due(struct modules *table, struct module *m, int64_t now)
{
    int64_t until;

    if (!m->needs_load || m->loading != NULL)
        return INT64_MAX;
    if (now < m->load.retry_at)
        return m->load.retry_at;
    until = m->opens == NULL ? waits_until(table, now) : 0;
    if (until > 0)
        return until; /* and when another one ends, which is an event */
    m->load_began = now;
    module_process_load(table, m);
    return now;
}

static int64_t revive_if_due(struct modules *table, struct module *m, int64_t now)
{
    bool is_due = m->host == NULL && (m->opens != NULL || m->needs_revival);

    if (!is_due || m->reviving != NULL || !module_process_can_revive(m))
        return INT64_MAX;
    if (now < m->revival.retry_at)
        return m->revival.retry_at;
    module_process_revive(table, m);
    return now;
}

int64_t module_due_tick(struct modules *table, struct module *m, int64_t now)
{
    int64_t next = tick_hosts(m, now);

    next = earlier(next, stop_if_idle(table, m, now));
    if (table->is_draining || m->is_blocked || !m->is_wanted)
        return next;
    next = earlier(next, load_if_due(table, m, now));
    return earlier(next, revive_if_due(table, m, now));
}

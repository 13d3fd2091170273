/* SPDX-License-Identifier: MIT */
/* Gives connections to those who wait for one, or tells them why there is none. */
#include <stdlib.h>

#include "runnerd/memory.h"
#include "runnerd/module_state.h"
#include "util/clock.h"

const char *const modules_refusals[] = {"unknown", "blocked", "start_failed",
                                        "backoff", "busy",    "draining"};

void module_opens_refuse(const struct modules *table, struct module *m,
                         enum modules_refusal refusal, const char *message,
                         int64_t retry_after_ms)
{
    struct module_open *open = m->opens;

    m->opens = NULL;
    while (open != NULL) {
        struct module_open *next = open->next;

        table->user.refused(open->client, open->id, refusal, message, retry_after_ms);
        free(open);
        open = next;
    }
}

static void drop_open(struct module_open **place)
{
    struct module_open *open = *place;

    *place = open->next;
    free(open);
}

/* false: it has to wait. */
static bool connect_one(struct modules *table, struct module *m, struct module_open *open)
{
    const struct config_runner *runner = &table->config->gateway.runner;
    struct err e = {0};
    int fd, status;

    if (!table->user.can_send(open->client) || !host_can_connect(m->host))
        return false;
    if (host_runs(m->host) >= runner->max_runs) {
        if (open->is_counted && !host_is_counting(m->host)) {
            table->user.refused(open->client, open->id, MODULES_BUSY,
                                "as many runs of it go on as runner.max_runs lets",
                                MODULES_WAIT_MS);
            return true;
        }
        open->is_counted = true;
        host_count(m->host);
        return false;
    }
    status = host_connect(m->host, ++table->connections, &fd, &e);
    if (status != 0) {
        table->user.refused(open->client, open->id,
                            status == AGW_EOVERLOAD ? MODULES_BUSY : MODULES_START_FAILED, e.message,
                            MODULES_WAIT_MS);
        return true;
    }
    table->user.opened(open->client, open->id, fd, host_number(m->host));
    return true;
}

/* Has a process started, or sees to it that nobody waits for long. */
static void wait_for_process(struct modules *table, struct module *m)
{
    bool can_revive = module_process_can_revive(m);
    int64_t retry_at = can_revive ? m->revival.retry_at : m->load.retry_at;
    int64_t left = retry_at - clock_mono_ms();

    if (m->loading != NULL || m->reviving != NULL) {
        if (m->reviving == NULL && can_revive && left <= 0)
            module_process_revive(table, m);
    } else if (left > MODULES_WAIT_MS) {
        module_opens_refuse(table, m, MODULES_BACKOFF,
                            "its process failed and is not started again yet", left);
    } else if (left <= 0 && can_revive) {
        module_process_revive(table, m);
    } else if (left <= 0) {
        module_process_load(table, m);
    } else if (!can_revive) {
        m->needs_load = true; /* then */
    }
}

void module_opens_serve(struct modules *table, struct module *m)
{
    struct module_open **place = &m->opens;

    if (m->opens == NULL)
        return;
    if (m->host == NULL) {
        wait_for_process(table, m);
        return;
    }
    while (*place != NULL) {
        if (connect_one(table, m, *place))
            drop_open(place);
        else
            place = &(*place)->next;
    }
}

void modules_open(struct modules *table, struct module *module, void *client, int64_t id)
{
    struct module_open **last = &module->opens;

    if (table->is_draining || module->is_blocked || !module->is_wanted) {
        table->user.refused(client, id, table->is_draining   ? MODULES_DRAINING
                                        : module->is_blocked ? MODULES_BLOCKED
                                                             : MODULES_UNKNOWN,
                            module->is_blocked ? module->blocked : "it is being ended",
                            MODULES_WAIT_MS);
        return;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = memory_new(sizeof **last);
    **last = (struct module_open){.client = client, .id = id};
    module_opens_serve(table, module);
}

void modules_forget(struct modules *table, const void *client)
{
    for (struct module *m = table->first; m != NULL; m = m->next)
        for (struct module_open **place = &m->opens; *place != NULL;) {
            if ((*place)->client == client)
                drop_open(place);
            else
                place = &(*place)->next;
        }
}

void modules_resume(struct modules *table)
{
    for (struct module *m = table->first; m != NULL; m = m->next)
        module_opens_serve(table, m);
}

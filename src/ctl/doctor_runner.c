/* SPDX-License-Identifier: MIT */
/* Whether the runner of drop-in agents answers, and what it has. */
#include <jansson.h>
#include <string.h>

#include "ctl/doctor.h"
#include "ctl/knock.h"
#include "runner/link.h"
#include "runner/wire.h"
#include "util/clock.h"

enum { ANSWER_MS = 5000 };

/* What it tells everybody who connects; a new reference. */
static int list_of(const char *path, json_t **list, struct err *e)
{
    int64_t deadline_ms = clock_mono_ms() + ANSWER_MS;
    json_t *hello = json_pack("{s:s, s:i}", "t", "hello", "v", WIRE_VERSION);
    int status, fd = knock_open(path, ANSWER_MS, e);
    struct wire wire;

    *list = NULL;
    if (fd < 0) {
        json_decref(hello);
        return fd;
    }
    wire_init(&wire, fd, NULL);
    status = wire_send(&wire, hello, e);
    while (status == 0 && *list == NULL) {
        json_t *message = NULL;

        status = wire_receive_until(&wire, deadline_ms, &message, NULL, e);
        if (status >= 0 && strcmp(wire_type(message), "agents") == 0)
            *list = json_incref(message);
        json_decref(message);
        status = status < 0 ? status : 0;
    }
    wire_close(&wire);
    json_decref(hello);
    return *list != NULL ? 0 : status;
}

static size_t available(const json_t *agents)
{
    size_t index, count = 0;
    json_t *agent;

    json_array_foreach(agents, index, agent)
        count += json_is_true(json_object_get(agent, "available"));
    return count;
}

void doctor_runner(struct doctor *d)
{
    const char *path = d->config == NULL ? NULL : d->config->gateway.runner.socket;
    json_t *list;
    struct err e = {0};

    if (d->config == NULL)
        return;
    if (!link_wants(d->config))
        findings_add(d->findings, "runner", FINDING_OK, NULL,
                     "not needed: no discovery.path, and no agent of kind sdk");
    else if (list_of(path, &list, &e) != 0)
        findings_add(d->findings, "runner", FINDING_WARNING,
                     "start agw-runner, or set runner.autostart to have the gateway start it",
                     "drop-in agents are not served: %s: %s", path, e.message);
    else {
        findings_add(d->findings, "runner", FINDING_OK, NULL,
                     "answers at %s: %zu drop-in agents are served, %zu problems are listed by "
                     "GET /admin/agents",
                     path, available(json_object_get(list, "agents")),
                     json_array_size(json_object_get(list, "errors")));
        json_decref(list);
    }
}

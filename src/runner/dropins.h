/* SPDX-License-Identifier: MIT */
/* The agents that the runner hosts, as its last list says. Immutable, shared by reference count;
 * any thread. The list comes from another process: what is not of the expected shape is left out.
 */
#ifndef AGW_RUNNER_DROPINS_H
#define AGW_RUNNER_DROPINS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

struct dropin {
    struct config_agent spec; /* kind AGENT_SDK; model and upstream as the runner resolved them */
    const char *lang;         /* "python" "node" "native" */
    const char *module;       /* what dropin_module_* lists match */
    const char *path, *attr;  /* its file, and its name in there */
    bool model_given;         /* by the operator or __gateway__: all of a run asks that one */
    bool available;
    const char *problem;      /* why not; NULL when available */
    const json_t *tools, *handoffs; /* arrays of texts; borrow, never change a reference count */
};

struct dropins {
    _Atomic int users;
    size_t count;
    struct dropin *list;      /* by spec.id, each id once */
    const json_t *message;    /* the whole list as it came; borrow as `tools` */
};

/* From a message `agents`, which is taken over in any case. One user; NULL: memory is out. */
struct dropins *dropins_new(json_t *message_take);
/* NULL stays NULL. */
struct dropins *dropins_acquire(struct dropins *dropins);
void dropins_release(struct dropins **dropins);

/* NULL when there is none, also when `dropins` is NULL. */
const struct dropin *dropins_find(const struct dropins *dropins, const char *id);

#endif

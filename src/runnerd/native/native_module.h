/* SPDX-License-Identifier: MIT */
/* A module in C: its shared object, its agents, and what the runner is told of them. */
#ifndef AGW_RUNNERD_NATIVE_NATIVE_MODULE_H
#define AGW_RUNNERD_NATIVE_NATIVE_MODULE_H

#include <pthread.h>

#include "runnerd/native/descriptor.h"

struct native_export {
    const char *attr;
    const struct agw_agent *agent;
};

struct native_module {
    void *handle;              /* of dlopen(); it is never closed, for its threads may go on */
    size_t export_count;
    struct native_export *exports; /* their names are the module's own copies */
    struct descriptor *agents; /* all that were asked for so far */
    pthread_mutex_t lock;      /* of that list */
};

void native_module_init(struct native_module *module);
/* No run may go on. */
void native_module_free(struct native_module *module);

/* Answers `load`: the fields of `catalog`. New reference. */
json_t *native_module_load(struct native_module *module, const json_t *load);

/* The same for a module whose agents are `exports` (names and descriptors, `count` of them). */
json_t *native_module_take(struct native_module *module, const char *path,
                           const struct native_export *exports, size_t count);

/* The descriptor, made ready if it is new. NULL: it has faults, which `problems` names. Any thread. */
const struct descriptor *native_module_find(struct native_module *module,
                                            const struct agw_agent *agent, json_t *problems);
/* That of an export; NULL = there is none. */
const struct descriptor *native_module_export(struct native_module *module, const char *attr);

#endif

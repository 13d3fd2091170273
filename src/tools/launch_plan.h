/* SPDX-License-Identifier: MIT */
/* Inside of tools/: how the program of a tool is run by agw-exec. One thread. Functions return 0,
 * AGW_EUNAVAILABLE or AGW_ENOMEM with *e, which the plan keeps.
 */
#ifndef AGW_TOOLS_LAUNCH_PLAN_H
#define AGW_TOOLS_LAUNCH_PLAN_H

#include "config/config.h"
#include "util/arena.h"
#include "util/err.h"

struct launch_plan {
    struct arena *arena;
    const struct config_tool *tool;
    const char *directory; /* the program's working directory */
    const char *program;   /* absolute */
    size_t count;
    char **words, **environment; /* NULL-terminated, once they are made */
    struct err *e;
};

/* Finds the program. To be ended with arena_free(), also after an error. */
int launch_plan_open(struct launch_plan *p, const struct config_tool *tool, struct err *e);
/* The words for agw-exec, without its own name. */
int launch_plan_words(struct launch_plan *p, int64_t cpu_s);
int launch_plan_environment(struct launch_plan *p);

#endif

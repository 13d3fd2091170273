/* SPDX-License-Identifier: MIT */
/* Inside of tools/: what the files of the toolset share. toolset.c carries it through
 * configurations, toolset_lists.c asks sources for their tools, toolset_find.c finds tools, and
 * toolset_json.c shows them.
 */
#ifndef AGW_TOOLS_TOOLSET_STATE_H
#define AGW_TOOLS_TOOLSET_STATE_H

#include <pthread.h>

#include "tools/source.h"
#include "tools/toolset.h"

enum { TOOLSET_PAUSE_MS = 1000, TOOLSET_NOTES_MAX = 16384 };

/* A source and the tools it had when it was last asked; guarded by the set's lock. */
struct slot {
    struct tool_source *source;
    size_t count;
    struct tool **tools;
    char *notes;         /* lines, NULL = none */
    char problem[1024];  /* why the list could not be had last time, "" = it could */
    bool listing;        /* a thread asks */
    bool settled;        /* it was asked at least once, however that ended */
    int64_t list_at;     /* clock_mono_ms() of the next time */
    int64_t pause_ms;
    int64_t listed_at;   /* UTC ms, 0 = never */
    struct slot *next;   /* of those that are gone */
};

struct toolset {
    const struct tool_provider *const *providers;
    pthread_mutex_t lock;
    pthread_cond_t settled; /* a thread that asks for a list has ended */
    size_t count;
    struct slot **slots;
    struct slot *gone;      /* closing them may take a while: housekeeping does it */
    int threads;
    bool closing;
    int hang_up[2];         /* shutting the first down ends the threads that watch the second */
    void (*on_problem)(void *arg, const char *tool, const char *problem);
    void *on_problem_arg;
};

/* For tools of a list that is no more. NULL stays NULL. */
void toolset_free_tools(struct tool **tools, size_t count);

/* Under the lock: has the sources whose lists are due asked, each in a thread of its own. */
void toolset_ask_due(struct toolset *set);

#endif

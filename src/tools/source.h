/* SPDX-License-Identifier: MIT */
/* Inside of tools/: one entry of tools.yaml with what its provider keeps for it, and how tools
 * are made from what it offers. Shared by reference count. Any thread.
 */
#ifndef AGW_TOOLS_SOURCE_H
#define AGW_TOOLS_SOURCE_H

#include <stdatomic.h>

#include "tools/tool.h"
#include "util/buf.h"

struct tool_source {
    _Atomic int users;
    struct config *holder;                /* of `config` */
    const struct config_tool *config;
    const struct tool_provider *provider; /* NULL: this program has none for it */
    void *state;                          /* the provider's; NULL: it could not be opened */
    char problem[256];                    /* why not */
    atomic_bool changed;                  /* its list is to be asked for */
};

/* A new one, with one user; NULL when memory is out. `config` is of `holder`. */
struct tool_source *source_new(struct config *holder, const struct config_tool *config,
                               const struct tool_provider *provider);
struct tool_source *source_acquire(struct tool_source *source);
void source_release(struct tool_source **source);

/* Whether its tools have to be asked for. */
bool source_lists(const struct tool_source *source);

/* The tools that the entry makes of `offers` (of NULL: the one that it is itself), an array of
 * *count, each with one user. What cannot be used of it is said in `notes`, a line each. NULL
 * when memory is out. */
struct tool **source_tools(struct tool_source *source, const struct tool_offers *offers,
                           size_t *count, struct buf *notes);

#endif

/* SPDX-License-Identifier: MIT */
/* Which modules lie in the folders of drop-in agents. Nothing of them is run or read; links are
 * not followed, and what others could have put there is not taken. One thread.
 */
#ifndef AGW_RUNNERD_DISCOVER_H
#define AGW_RUNNERD_DISCOVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum discover_lang { DISCOVER_PYTHON, DISCOVER_NODE, DISCOVER_NATIVE };

/* "python" "node" "native" */
extern const char *const discover_lang_names[];

struct found {
    char *root;   /* absolute; the folder of all agents */
    char *folder; /* of the module, below root; "" = root itself */
    char *path;   /* of its file, absolute */
    char *module; /* "labs.Planner.agent" */
    enum discover_lang lang;
    uint64_t mark;  /* differs when a file of it differs */
    bool is_dropin; /* agent.* in a folder of its own; else only agents.yaml names it */
    bool shared;    /* the root has packages for all (packages.h) */
    bool shares;    /* and this one has none of its own, so those are its */
    char *origin;   /* of a copy (kept.h): the folder that it links to; else NULL */
};

struct discovery {
    /* In order of root, then path. */
    struct found *found;
    size_t count;
    json_t *problems; /* see problem.h */
    bool is_cut;       /* for want of descriptors not all was searched */
    char missing[256]; /* why a root cannot be searched; "" = all can */
    /* Told of each folder before it is read; may be NULL. */
    void (*folder)(void *arg, int fd);
    void *arg;
};

/* Searches `roots`; fills all but folder and arg. */
void discover_search(struct discovery *d, const char *const *roots, size_t count);

/* The module that agents.yaml calls "agents.research.agent:build" (all up to the colon counts):
 * added unless it was found already. NULL when there is none that may be loaded. */
const struct found *discover_named(struct discovery *d, const char *const *roots, size_t count,
                                   const char *name);

void discover_free(struct discovery *d);
void discover_copy(struct found *to, const struct found *from);
void discover_drop(struct found *found);

/* Whether the file is still the one that was found. */
bool discover_is_same(const struct found *found);

#endif

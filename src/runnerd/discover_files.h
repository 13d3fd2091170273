/* SPDX-License-Identifier: MIT */
/* Inside of runnerd/: the files of modules, for all that look through folders of agents. No
 * link is followed. One thread.
 */
#ifndef AGW_RUNNERD_DISCOVER_FILES_H
#define AGW_RUNNERD_DISCOVER_FILES_H

#include <limits.h>
#include <sys/stat.h>

#include "runnerd/discover.h"

enum { DISCOVER_KINDS = 6, DISCOVER_DEPTH_MAX = 12, DISCOVER_ENTRIES_MAX = 50000,
       DISCOVER_PROBLEMS_MAX = 200 };

/* What hosts what: agent.SUFFIX, the first of these that is there. */
struct discover_kind {
    const char *suffix;
    enum discover_lang lang;
};

extern const struct discover_kind discover_files_kinds[DISCOVER_KINDS];

/* A look through one root. */
struct discover_search {
    struct discovery *out;
    const char *root;
    int fd;      /* of the root */
    uid_t owner; /* of the root: trusted as the operator is */
    size_t entries; /* seen so far; for each module, and each folder of the root, by itself */
    size_t first;   /* problem of the folder of the root at hand: each has room for its own */
    const char *why; /* the root cannot be searched */
};

/* Begins one; the descriptor of the root, -1 with s->why. */
int discover_files_open_root(struct discover_search *s, struct discovery *d, const char *path);
/* The folder `name` in the folder `fd`; -1 with errno. That there are no descriptors is noted. */
int discover_files_open(struct discover_search *s, int fd, const char *name, int flags);
/* The folder `rel` below `fd`; -1 with errno. With `s` not through folders in which others could
 * swap it for another one; whether it is itself trusted is for who takes something from it. */
int discover_files_open_beneath(const struct discover_search *s, int fd, const char *rel);

/* Hidden ones, and those that hold what was installed or compiled. */
bool discover_files_is_skipped(const char *name);
/* Whether a change of the file makes a new generation of its module. */
bool discover_files_is_marked(const char *name);
/* NULL when only the operator, root and we can have written it. */
const char *discover_files_distrust(const struct discover_search *s, const struct stat *st);

/* Adds a problem with the file or folder `rel`. */
void discover_files_complain(const struct discover_search *s, const char *kind,
                             const char *severity, const char *rel, const char *what);

/* The names in a folder, sorted; the descriptor stays open. */
char **discover_files_list(struct discover_search *s, int fd, size_t *count);
void discover_files_free(char **names, size_t count);

/* rel/name; false when it does not fit. */
bool discover_files_join(char out[PATH_MAX], const char *rel, const char *name);

/* Adds the module in this folder: `name` in it. NULL when it may not be loaded. */
struct found *discover_files_take(struct discover_search *s, int fd, const char *folder,
                                  const char *name, enum discover_lang lang);

#endif

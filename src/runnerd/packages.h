/* SPDX-License-Identifier: MIT */
/* Inside of runnerd/: where the packages of a module are. Those in its own folder come first;
 * a module without any shares those that lie in the root, the folder of all agents. One thread.
 */
#ifndef AGW_RUNNERD_PACKAGES_H
#define AGW_RUNNERD_PACKAGES_H

#include <stdbool.h>
#include <sys/stat.h>

#include "runnerd/discover_files.h"

/* ".venv", "node_modules"; NULL: the language has none. */
const char *packages_folder(enum discover_lang lang);

/* What is installed in the folder `fd` may not be somebody else's either. NULL: all is well. */
const char *packages_distrust(const struct discover_search *s, int fd);

/* The same of what the root `root` has for all its modules. */
const char *packages_distrust_shared(const struct discover_search *s, int root);

/* Whether the root has packages that modules of the language may share: *st is of their folder. */
bool packages_are_shared(const struct discover_search *s, int root, enum discover_lang lang,
                         struct stat *st);

/* Whether the module in the folder `fd` has packages of its own. */
bool packages_are_own(int fd, enum discover_lang lang);

#endif

/* SPDX-License-Identifier: MIT */
/* Inside of runnerd/: where the packages of a module are. Those in its own folder come first;
 * a module without any shares those that lie in the root, the folder of all agents. One thread.
 */
#ifndef AGW_RUNNERD_PACKAGES_H
#define AGW_RUNNERD_PACKAGES_H

#include <sys/types.h>

#include "runnerd/discover_files.h"

/* ".venv", "node_modules"; NULL: the language has none. */
const char *packages_folder(enum discover_lang lang);

/* What is installed in the folder `fd` may not be somebody else's either. NULL: all is well. */
const char *packages_distrust(const struct discover_search *s, int fd);

/* Which folder of the root `root` a module of the folder `fd` shares: its inode number, for
 * another folder holds other packages. 0: none, it has its own, or the root has none that may
 * be used. */
ino_t packages_shared(const struct discover_search *s, int root, int fd, enum discover_lang lang);

#endif

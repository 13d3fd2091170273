/* SPDX-License-Identifier: MIT */
/* Copies of the files of modules that could be loaded: when they have been edited and cannot be
 * used any more, a process of the last generation that could is started from its copy.
 *
 * They lie in a folder of the runner's own beside its socket, which outlives the runner. What
 * makes a generation (discover_files_is_marked()) is copied; what was installed, data of other
 * kinds and links are linked to. One thread.
 */
#ifndef AGW_RUNNERD_KEPT_H
#define AGW_RUNNERD_KEPT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/statvfs.h>

#include "runnerd/discover.h"
#include "util/err.h"

/* Of one module; of all: the folder mostly lies in memory. */
enum { KEPT_ENTRIES_MAX = 4000, KEPT_BYTES_MAX = 16 << 20, KEPT_TOTAL_MAX = 256 << 20 };

struct kept {
    int fd; /* of the folder; -1: no copies are kept */
    char path[PATH_MAX];
    int64_t bytes; /* that all copies take */
    bool is_noexec; /* modules with a library (.so) are not kept */
};

/* Makes the folder `socket`.kept if it is not there. AGW_EUNAVAILABLE: what is there may be of
 * others, or it cannot be made. */
int kept_open(struct kept *k, const char *socket, struct err *e);
void kept_close(struct kept *k);
/* Whether no code of the CPU can be loaded from the file system of `fd`. */
bool kept_is_noexec(int fd);

/* How many bytes one more copy may have on that file system, which others need, too. */
int64_t kept_room(const struct kept *k, const struct statvfs *fs);

/* Copies the files of the module in place of its older copy. Then that stays: AGW_ETOOLARGE;
 * AGW_EMODEL: they are not the same any more; AGW_EUNAVAILABLE: it cannot be written, or
 * not be used there. */
int kept_take(struct kept *k, const struct found *module, struct err *e);

/* Whether there is a copy, and in *copy (may be NULL; discover_drop()) a module to be started. */
bool kept_find(const struct kept *k, const struct found *module, struct found *copy);

void kept_forget(struct kept *k, const struct found *module);

/* Removes what is of no module of these paths, and what was not finished. */
void kept_sweep(struct kept *k, const char *const *paths, size_t count);

#endif

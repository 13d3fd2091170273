/* SPDX-License-Identifier: MIT */
/* Notices that something changed in the folders of drop-in agents; what, a new search tells. So
 * bursts and lost events do no harm. One thread.
 */
#ifndef AGW_RUNNERD_WATCH_H
#define AGW_RUNNERD_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "runnerd/event.h"

struct watch {
    struct event event;
    int fd;                /* of inotify; -1 = none */
    int64_t first, latest; /* mono ms of changes that nobody has searched for yet; 0 = none */
    char trouble[160];     /* why not all can be watched; "" = nothing */
};

/* Begins; watch_folder() says what is watched. -1 with the reason in `trouble`. */
int watch_open(struct watch *w);
void watch_close(struct watch *w);

/* For discovery.folder: before a folder is read. Again for one that is watched does nothing. */
void watch_folder(void *watch, int fd);

/* When to search (mono ms): now or before = at once; INT64_MAX = nothing has changed. */
int64_t watch_due(const struct watch *w);
/* Before a search: forgets the changes until now. */
void watch_begin_search(struct watch *w);

#endif

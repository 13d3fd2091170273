/* SPDX-License-Identifier: MIT */
/* Watches folders with inotify. */
#include "runnerd/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "util/clock.h"

/* A copy in progress is quiet for shorter than QUIET_MS; a storm is not waited out. */
enum { QUIET_MS = 150, STORM_MS = 600, READS_MAX = 64 };

#define CHANGES                                                                                \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB |        \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

static void on_change(void *arg, unsigned events)
{
    struct watch *w = arg;
    char changes[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false;

    (void)events;
    for (int i = 0; i < READS_MAX && read(w->fd, changes, sizeof changes) > 0; i++)
        any = true;
    if (!any)
        return;
    w->latest = clock_mono_ms();
    if (w->first == 0)
        w->first = w->latest;
}

int watch_open(struct watch *w)
{
    *w = (struct watch){.event = {.fd = -1}, .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    if (w->fd >= 0 && event_watch(&w->event, w->fd, EPOLLIN, on_change, w) == 0)
        return 0;
    snprintf(w->trouble, sizeof w->trouble, "inotify cannot be used: %s", strerror(errno));
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    return -1;
}

void watch_close(struct watch *w)
{
    event_forget(&w->event);
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

void watch_folder(void *watch, int fd)
{
    struct watch *w = watch;
    char path[40];

    if (w->fd < 0)
        return;
    /* The folder that is open, whatever its name leads to by now. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (inotify_add_watch(w->fd, path, CHANGES) < 0 && w->trouble[0] == '\0')
        snprintf(w->trouble, sizeof w->trouble, "not every folder can be watched: %s",
                 errno == ENOSPC ? "fs.inotify.max_user_watches is reached" : strerror(errno));
}

int64_t watch_due(const struct watch *w)
{
    int64_t quiet = w->latest + QUIET_MS, storm = w->first + STORM_MS;

    if (w->first == 0)
        return INT64_MAX;
    return quiet < storm ? quiet : storm;
}

void watch_begin_search(struct watch *w)
{
    w->first = w->latest = 0;
    w->trouble[0] = '\0';
}

/* SPDX-License-Identifier: MIT */
/* Lets one writer at a time through, of all threads of all processes. */
#include "store/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/permit.h"

enum { SLEEP_MIN_US = 50, SLEEP_MAX_US = 2000 };

struct gate {
    pthread_mutex_t lock;  /* guards the next three: flock knows open files, not threads */
    pthread_cond_t free;
    bool taken;
    unsigned waiting;      /* threads that sleep on `free` */
    bool handed;           /* taken on behalf of one of them, which has not woken up yet */
    char *path;
    int fd;
};

int gate_open(const char *path, struct gate **out, struct err *e)
{
    struct gate *gate = calloc(1, sizeof *gate);
    int status = 0;

    *out = NULL;
    if (gate == NULL)
        return err_set(e, AGW_ENOMEM, "opening %s", path);
    pthread_mutex_init(&gate->lock, NULL);
    clock_condition_init(&gate->free);
    gate->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0660);
    gate->path = strdup(path);
    if (gate->fd < 0)
        status = err_set(e, AGW_ESTORE, "cannot open %s: %s", path, strerror(errno));
    else if (gate->path == NULL)
        status = err_set(e, AGW_ENOMEM, "opening %s", path);
    if (status != 0)
        gate_close(&gate);
    *out = gate;
    return status;
}

void gate_close(struct gate **gate)
{
    if (*gate == NULL)
        return;
    if ((*gate)->fd >= 0)
        close((*gate)->fd);
    pthread_cond_destroy(&(*gate)->free);
    pthread_mutex_destroy(&(*gate)->lock);
    free((*gate)->path);
    free(*gate);
    *gate = NULL;
}

/* flock has no timeout, so it is asked again and again; holds are short (one commit), so the
 * first naps are too. The jitter keeps processes from asking in step. */
static int lock_file(struct gate *gate, int64_t deadline_us)
{
    int64_t nap = SLEEP_MIN_US;

    while (flock(gate->fd, LOCK_EX | LOCK_NB) != 0) {
        int64_t now = clock_mono_us();
        struct timespec pause;

        if (errno != EWOULDBLOCK && errno != EINTR)
            return -1;
        if (now >= deadline_us) {
            errno = ETIMEDOUT;
            return -1;
        }
        pause.tv_sec = 0;
        pause.tv_nsec = (nap + now % (nap / 2)) * 1000;
        nanosleep(&pause, NULL);
        if (nap < SLEEP_MAX_US)
            nap += nap / 4;
    }
    return 0;
}

/* To a thread that waits, if there is one: it would come too late for a gate that is merely
 * free when who holds it comes back at once, again and again. */
static void give_up(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->handed = gate->waiting > 0;
    gate->taken = gate->handed;
    pthread_cond_signal(&gate->free);
    pthread_mutex_unlock(&gate->lock);
}

/* The caller holds the lock. What was handed over while the time ran out is taken. */
static int sleep_until_handed(struct gate *gate, const struct timespec *until)
{
    int result;

    gate->waiting++;
    do {
        result = pthread_cond_timedwait(&gate->free, &gate->lock, until);
    } while (!gate->handed && result == 0);
    gate->waiting--;
    if (gate->handed)
        result = 0;
    gate->handed = false;
    return result;
}

/* Among this process's threads; 0 or an errno number. */
static int take(struct gate *gate, int64_t wait_ms)
{
    struct timespec until = clock_wait_end(wait_ms);
    int result = 0;

    pthread_mutex_lock(&gate->lock);
    if (gate->taken)
        result = sleep_until_handed(gate, &until);
    gate->taken |= result == 0;
    pthread_mutex_unlock(&gate->lock);
    return result;
}

static bool take_at_once(struct gate *gate)
{
    bool taken;

    pthread_mutex_lock(&gate->lock);
    taken = !gate->taken;
    gate->taken = true;
    pthread_mutex_unlock(&gate->lock);
    if (taken && flock(gate->fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (taken)
        give_up(gate);
    return false;
}

static int lock_within(struct gate *gate, int64_t wait_ms)
{
    int64_t deadline_us = clock_mono_us() + wait_ms * 1000;
    int result = take(gate, wait_ms);

    if (result == 0 && lock_file(gate, deadline_us) != 0) {
        result = errno;
        give_up(gate);
    }
    return result;
}

int gate_acquire(struct gate *gate, int64_t wait_ms, struct err *e)
{
    int result;

    if (take_at_once(gate))
        return 0;
    permit_wait_begin();
    result = lock_within(gate, wait_ms);
    permit_wait_end();
    if (result == 0)
        return 0;
    return err_set(e, AGW_ESTORE, "%s: waited %lld ms for the writer gate: %s", gate->path,
                   (long long)wait_ms, strerror(result));
}

void gate_release(struct gate *gate)
{
    flock(gate->fd, LOCK_UN);
    give_up(gate);
}

/* "2: FLOCK  ADVISORY  WRITE 1234 08:01:56789 0 EOF"; lines of those who wait have "->" before
 * the kind. The process of such a line if it is about this file, else 0. */
static long holder_in(const char *line, ino_t inode)
{
    enum { KIND = 1, PROCESS = 4, FILE_NAME = 5 };
    long pid = 0;

    for (int field = 0; field <= FILE_NAME; field++) {
        size_t length = strcspn(line, " \n");
        const char *number = line;

        if (field == KIND && strncmp(line, "FLOCK ", 6) != 0)
            return 0;
        if (field == PROCESS)
            pid = strtol(line, NULL, 10);
        if (field == FILE_NAME)
            for (size_t i = 0; i < length; i++)
                number = line[i] == ':' ? line + i + 1 : number;
        if (field == FILE_NAME && strtoul(number, NULL, 10) != inode)
            return 0;
        line += length;
        line += strspn(line, " ");
    }
    return pid;
}

pid_t gate_holder(const char *path)
{
    FILE *locks = fopen("/proc/locks", "re");
    struct stat info;
    char line[256];
    long found = 0;

    if (locks == NULL)
        return 0;
    if (stat(path, &info) == 0)
        while (found == 0 && fgets(line, sizeof line, locks) != NULL)
            found = holder_in(line, info.st_ino);
    (void)fclose(locks);
    return (pid_t)found;
}

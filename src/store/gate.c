/* SPDX-License-Identifier: MIT */
/* Lets one writer at a time through, of all threads of all processes. */
#include "store/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/permit.h"

enum { SLEEP_MIN_US = 50, SLEEP_MAX_US = 2000 };

struct gate {
    pthread_mutex_t threads; /* flock knows open files, not threads */
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
    pthread_mutex_init(&gate->threads, NULL);
    gate->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
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
    pthread_mutex_destroy(&(*gate)->threads);
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

static int lock_within(struct gate *gate, int64_t wait_ms)
{
    int64_t deadline_us = clock_mono_us() + wait_ms * 1000;
    struct timespec until;
    int result;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    result = pthread_mutex_clocklock(&gate->threads, CLOCK_MONOTONIC, &until);
    if (result != 0) {
        errno = result;
        return -1;
    }
    if (lock_file(gate, deadline_us) == 0)
        return 0;
    result = errno;
    pthread_mutex_unlock(&gate->threads);
    errno = result;
    return -1;
}

int gate_acquire(struct gate *gate, int64_t wait_ms, struct err *e)
{
    int result;

    if (pthread_mutex_trylock(&gate->threads) == 0) {
        if (flock(gate->fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        pthread_mutex_unlock(&gate->threads);
    }
    permit_wait_begin();
    result = lock_within(gate, wait_ms);
    permit_wait_end();
    if (result == 0)
        return 0;
    return err_set(e, AGW_ESTORE, "%s: waited %lld ms for the writer gate: %s", gate->path,
                   (long long)wait_ms, strerror(errno));
}

void gate_release(struct gate *gate)
{
    flock(gate->fd, LOCK_UN);
    pthread_mutex_unlock(&gate->threads);
}

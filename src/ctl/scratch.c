/* SPDX-License-Identifier: MIT */
/* Makes unfinished files, and sees to it that none stays behind. */
#include "ctl/scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = 4096, NAMES = 6 };

/* The file, and what a database lays beside it; a signal handler reads them. */
static char names[NAMES][NAME_SIZE];
static volatile sig_atomic_t made;

static void drop_and_end(int signal_number)
{
    if (made)
        for (int i = 0; i < NAMES; i++)
            unlink(names[i]);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction action = {.sa_handler = drop_and_end};

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
}

/* From `file`, a template, to the names that the handler knows. */
static int make_file(char *file, const char *target, struct err *e)
{
    static const char *const ends[NAMES] = {"",      "-journal", "-wal",
                                            "-shm", ".gate",    ".shared"};
    int fd = mkstemp(file);

    if (fd < 0 || fchmod(fd, 0640) != 0) {
        err_set(e, AGW_ESTORE, "cannot make a file beside %s: %s", target, strerror(errno));
        if (fd >= 0) {
            unlink(file);
            close(fd);
        }
        return AGW_ESTORE;
    }
    close(fd);
    for (int i = 0; i < NAMES; i++)
        snprintf(names[i], NAME_SIZE, "%s%s", file, ends[i]);
    made = 1;
    catch_signals();
    return 0;
}

const char *scratch_make(const char *target, struct err *e)
{
    char file[NAME_SIZE - 16];
    sigset_t all, before;
    int status;

    if (snprintf(file, sizeof file, "%s.new-XXXXXX", target) >= (int)sizeof file) {
        err_set(e, AGW_EINVALID, "%s: the name is too long", target);
        return NULL;
    }
    /* no signal may come between the file and the handler that removes it */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    status = make_file(file, target, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == 0 ? names[0] : NULL;
}

void scratch_alone(void)
{
    for (int i = 1; i < NAMES; i++)
        unlink(names[i]);
}

void scratch_done(void)
{
    made = 0;
}

void scratch_drop(void)
{
    if (made)
        for (int i = 0; i < NAMES; i++)
            unlink(names[i]);
    made = 0;
}

/* SPDX-License-Identifier: MIT */
/* Keeps agw-runner running. */
#include "gateway/companion.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/log.h"
#include "util/proc.h"

enum { HEALTHY_MS = 10000, DELAY_FIRST_MS = 200, DELAY_MAX_MS = 30000, CANNOT_RUN = 126 };

/* The runner has no business with keys of providers: it gets what it may need by name. */
static void keep_variables(void)
{
    static const char *const kept[] = {"GATEWAY_", "PATH=", "LANG=", "LC_", "TZ=", "HOME=",
                                       "TMPDIR=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
                                       "TSAN_OPTIONS="};
    char **to = environ;

    for (char **from = environ; *from != NULL; from++)
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
            if (strncmp(*from, kept[i], strlen(kept[i])) == 0) {
                *to++ = *from;
                break;
            }
    *to = NULL;
}

/* In the new process. It ends with the supervisor, however that ends. */
static void become(const struct companion *c, pid_t supervisor)
{
    char program[PATH_MAX];
    char *const words[] = {(char *)"agw-runner", (char *)"--config", (char *)c->config, NULL};
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != supervisor)
        _exit(0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    keep_variables();
    proc_program("agw-runner", AGW_SBINDIR, program, sizeof program);
    execv(program, words);
    log_message(LOG_ERROR, "runner.failed", "cannot run %s: %s", program, strerror(errno));
    _exit(CANNOT_RUN);
}

int64_t companion_tick(struct companion *c, int64_t now)
{
    pid_t supervisor = getpid(), pid;

    if (c->config == NULL || c->pid > 0)
        return INT64_MAX;
    if (now < c->start_at)
        return c->start_at;
    pid = fork();
    if (pid == 0)
        become(c, supervisor);
    c->started_at = now;
    c->start_at = now + DELAY_MAX_MS;
    if (pid < 0) {
        log_message(LOG_ERROR, "runner.failed", "fork: %s", strerror(errno));
        return c->start_at;
    }
    c->pid = pid;
    return INT64_MAX;
}

bool companion_ended(struct companion *c, pid_t pid, int status, int64_t now)
{
    int64_t delay = DELAY_FIRST_MS;
    struct log_line line;

    if (c->pid != pid || pid <= 0)
        return false;
    c->pid = 0;
    if (now - c->started_at >= HEALTHY_MS)
        c->deaths = 0;
    for (int i = 0; i < c->deaths && delay < DELAY_MAX_MS; i++)
        delay *= 2;
    c->deaths++;
    c->start_at = now + (delay > DELAY_MAX_MS ? DELAY_MAX_MS : delay);
    log_begin(&line, LOG_WARN, "runner.exited");
    log_int(&line, "pid", pid);
    if (WIFSIGNALED(status))
        log_int(&line, "signal", WTERMSIG(status));
    else
        log_int(&line, "status", WEXITSTATUS(status));
    log_end(&line);
    return true;
}

void companion_signal(const struct companion *c, int signum)
{
    if (c->pid > 0)
        kill(c->pid, signum);
}

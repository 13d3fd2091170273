/* SPDX-License-Identifier: MIT */
/* agw-runner: hosts drop-in agents, each module in a process of its own. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runnerd/service.h"
#include "util/json_memory.h"
#include "util/log.h"

/* Described in agw-runner(8). */
enum { EXIT_FINE = 0, EXIT_FINDING = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };

static const char help[] =
    "Usage: agw-runner [OPTION]...\n"
    "Finds drop-in agents and hosts them for the gateways of this host.\n"
    "\n"
    "  --config FILE      configuration (" AGW_SYSCONFDIR "/gateway.yaml)\n"
    "  --help             show this text and exit\n"
    "  --version          show the version and exit\n"
    "\n"
    "Signals: TERM drains and ends, HUP reads all anew, USR1 opens the log anew.\n"
    "Exit status: 0 ended as asked, 1 the configuration has errors, 2 usage, 3 failure.\n";

static int usage(const char *problem)
{
    fprintf(stderr, "agw-runner: %s; see agw-runner --help\n", problem);
    return EXIT_USAGE;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, const char **config)
{
    static const struct option names[] = {
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'c':
            *config = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_FINE;
        case 'v':
            puts("agw-runner " PACKAGE_VERSION);
            return EXIT_FINE;
        default: /* getopt has said what is wrong */
            return usage("it was not started");
        }
    }
    return optind < argc ? usage("there is an argument too many") : -1;
}

static void set_limits(void)
{
    struct rlimit files, none = {0, 0};

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    prctl(PR_SET_DUMPABLE, 0);
#endif
    umask(0027);
}

/* ---- signals ---- */

static const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

struct program {
    struct service service;
    struct event signals;
};

static void on_signal(void *arg, unsigned events)
{
    struct program *p = arg;
    struct signalfd_siginfo info;

    (void)events;
    while (read(p->signals.fd, &info, sizeof info) == (ssize_t)sizeof info)
        switch ((int)info.ssi_signo) {
        case SIGHUP:
            service_refresh(&p->service);
            break;
        case SIGUSR1:
            if (log_open(p->service.config->gateway.log_file) != 0)
                log_message(LOG_ERROR, "log.failed", "%s", strerror(errno));
            break;
        default:
            service_stop(&p->service);
        }
}

static int take_signals(struct program *p)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        sigaddset(&set, taken[i]);
    (void)signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -1 : event_watch(&p->signals, fd, EPOLLIN, on_signal, p);
}

/* ---- the program ---- */

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "agw-runner: %s: %s\n", what, why);
    log_message(LOG_ERROR, "runner.failed", "%s: %s", what, why);
    return EXIT_FAILED;
}

static int run(const char *file, struct config *config)
{
    static struct program program;
    struct err e = {0};
    int status = event_open(&e);

    if (status != 0 || take_signals(&program) != 0)
        return failed("it cannot wait for events", status != 0 ? e.message : strerror(errno));
    status = service_open(&program.service, file, config, &e);
    if (status == 0) {
        log_message(LOG_INFO, "runner.started", "gateways find it at %s",
                    config->gateway.runner.socket);
        while (!service_has_ended(&program.service))
            event_wait(service_tick(&program.service));
        log_message(LOG_INFO, "runner.stopped", "all processes of modules have ended");
    }
    service_close(&program.service);
    event_close();
    return status == 0 ? EXIT_FINE : failed("the socket", e.message);
}

static int read_config(const char *file, struct config **config)
{
    struct config_errors errors = {0};
    int status = service_read_config(file, config, &errors);

    if (status != 0) {
        char *text = config_errors_text(&errors);

        fputs(text == NULL ? "out of memory\n" : text, stderr);
        free(text);
    }
    config_errors_free(&errors);
    return status == 0 ? EXIT_FINE : EXIT_FINDING;
}

int main(int argc, char **argv)
{
    const char *file = AGW_SYSCONFDIR "/gateway.yaml";
    struct config *config = NULL;
    int status = parse_options(argc, argv, &file);

    if (status >= 0)
        return status;
    json_memory_init();
    status = read_config(file, &config);
    if (status != EXIT_FINE)
        return status;
    set_limits();
    log_set_level(config->gateway.log_level);
    if (log_open(config->gateway.log_file) != 0)
        return failed("the log cannot be opened", strerror(errno));
    return run(file, config);
}

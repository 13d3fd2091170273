/* SPDX-License-Identifier: MIT */
/* Starts the gateway: options, configuration, database, socket; then the supervisor. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/load.h"
#include "gateway/file_modes.h"
#include "net/listen.h"
#include "gateway/supervisor.h"
#include "gateway/worker.h"
#include "policy/state.h"
#include "store/store.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/log.h"
#include "util/sha.h"

/* Described in agent-gateway(8). */
enum { EXIT_FINE = 0, EXIT_FINDING = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };

enum { WORKERS_MAX = SIBLINGS_MAX, DESCRIPTORS_MAX = 262144 };

enum { LARGE_BUFFER = 128 << 10, HEAPS = 2 };

struct options {
    const char *config, *listen;
    long workers; /* 0 = as configured */
    bool check;
};

static const char help[] =
    "Usage: agent-gateway [OPTION]...\n"
    "Serves AI agents as OpenAI-compatible models behind a FastCGI web server.\n"
    "\n"
    "  --check            check the configuration and exit\n"
    "  --config FILE      configuration (" AGW_SYSCONFDIR "/gateway.yaml)\n"
    "  --help             show this text and exit\n"
    "  --listen ADDRESS   make a socket at ADDRESS (unix:PATH) instead of any other\n"
    "  --version          show the version and exit\n"
    "  --workers N        worker processes instead of the configured number\n"
    "\n"
    "Signals: TERM drains and ends, HUP reloads, USR1 opens the log anew.\n"
    "Exit status: 0 ended as asked, 1 the configuration has errors, 2 usage, 3 failure.\n";

static int usage(const char *problem)
{
    fprintf(stderr, "agent-gateway: %s; see agent-gateway --help\n", problem);
    return EXIT_USAGE;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"check", no_argument, NULL, 'k'},
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"listen", required_argument, NULL, 'l'},
        {"version", no_argument, NULL, 'v'},
        {"workers", required_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    char *end;
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'k':
            o->check = true;
            break;
        case 'c':
            o->config = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_FINE;
        case 'l':
            o->listen = optarg;
            break;
        case 'v':
            puts("agent-gateway " PACKAGE_VERSION);
            return EXIT_FINE;
        case 'w':
            o->workers = strtol(optarg, &end, 10);
            if (*end != '\0' || o->workers < 1 || o->workers > WORKERS_MAX)
                return usage("--workers takes a number from 1 to 256");
            break;
        default: /* getopt has said what is wrong */
            return usage("it was not started");
        }
    }
    return optind < argc ? usage("there is an argument too many") : -1;
}

/* Everything that is wrong, a line each. */
static void print_errors(const struct config_errors *errors)
{
    char *text = config_errors_text(errors);

    fputs(text == NULL ? "out of memory\n" : text, stderr);
    free(text);
}

static int read_config(const char *file, struct config_sources *sources,
                       struct config **config)
{
    struct config_errors errors = {0};
    int rc = config_sources_read(file, sources, &errors);

    if (rc == 0)
        rc = config_build(sources, config, &errors);
    if (rc != 0)
        print_errors(&errors);
    config_errors_free(&errors);
    return rc == 0 ? EXIT_FINE : EXIT_FINDING;
}

static int failed(const char *what, const struct err *e)
{
    fprintf(stderr, "agent-gateway: %s: %s\n", what, e->message);
    log_message(LOG_ERROR, "gateway.failed", "%s: %s", what, e->message);
    return EXIT_FAILED;
}

static void set_limits(void)
{
    struct rlimit files, none = {0, 0};

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < DESCRIPTORS_MAX ? files.rlim_max : DESCRIPTORS_MAX;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* Memory holds keys of upstreams: no dumps, and no other process of this user looks in.
     * The leak checker of test builds has to. */
    setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    prctl(PR_SET_DUMPABLE, 0);
#endif
    umask(0027);
    /* The first large buffer that is freed makes glibc raise these to its size and twice that:
     * from then on such buffers lie in the heaps of the threads, which keep and fragment them. */
    mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
    mallopt(M_TRIM_THRESHOLD, LARGE_BUFFER);
    /* Eight heaps a core would each grow to the largest burst that its threads ever had. Few
     * threads compute at once, and each has a cache of its own. */
    mallopt(M_ARENA_MAX, HEAPS);
}

/* Migrates, and makes this configuration the current one. Everything is closed again: SQLite
 * must not be carried across fork(). */
static int prepare_store(const char *origin, struct config_sources *sources,
                         struct config *config)
{
    const struct config_gateway *g = &config->gateway;
    struct store_options options = {.path = g->database, .gate_wait_ms = g->gate_wait_ms,
                                    .synchronous_full = g->audit_synchronous_full};
    struct store *store = NULL;
    struct config_errors errors = {0};
    struct err e = {0};
    int rc = store_open(&options, &store, &e);

    if (rc != 0)
        return failed("the database cannot be opened", &e);
    rc = policy_register(store, origin, sources, config, &errors, &e);
    if (rc == 0)
        file_modes_check(store, g->database, sources);
    else if (errors.count > 0)
        print_errors(&errors);
    config_errors_free(&errors);
    config_sources_free(sources); /* a key may stand in them: workers shall not inherit it */
    store_close(&store);
    return rc == 0 ? EXIT_FINE : failed("the configuration cannot be registered", &e);
}

static int open_socket(const struct options *o, const struct config_gateway *g,
                       struct listen_socket *s)
{
    const char *address = o->listen;
    struct err e = {0};
    int rc;

    if (address == NULL) {
        rc = listen_inherit(s, &e);
        if (rc == 0)
            return EXIT_FINE;
        if (rc != AGW_ENOTFOUND)
            return failed("the socket that was passed on", &e);
        address = g->listen;
    }
    if (address == NULL) {
        err_set(&e, AGW_EINVALID, "none was passed on, and neither --listen nor the "
                                  "configuration's listen names one");
        return failed("there is no socket", &e);
    }
    rc = listen_make(s, address, g->socket_mode, g->socket_group, &e);
    return rc == 0 ? EXIT_FINE : failed("the socket cannot be made", &e);
}

static int work(void *arg, const struct supervisor_seat *seat)
{
    return worker_run(arg, seat);
}

static void reopen_log(void *arg)
{
    const struct worker_settings *settings = arg;

    if (log_open(settings->config->gateway.log_file) != 0)
        log_message(LOG_ERROR, "log.failed", "%s", strerror(errno));
}

static int run(const struct options *o, struct config *config,
               struct config_sources *sources, const char *origin)
{
    const struct config_gateway *g = &config->gateway;
    struct worker_settings settings = {.origin = origin, .config = config,
                                       .workers = o->workers > 0 ? (int)o->workers : g->workers,
                                       .started_ms = clock_wall_ms()};
    struct listen_socket listening;
    struct supervisor_options supervisor = {
        .workers = settings.workers, .drain_ms = g->drain_timeout_ms, .socket = &listening,
        .runner_config = g->runner.autostart ? origin : NULL,
        .work = work, .reopen_log = reopen_log, .arg = &settings};
    struct err e = {0};
    int status;

    set_limits();
    log_set_level(g->log_level);
    if (log_open(g->log_file) != 0) {
        err_set(&e, AGW_EINTERNAL, "%s: %s", g->log_file, strerror(errno));
        return failed("the log cannot be opened", &e);
    }
    status = open_socket(o, g, &listening);
    if (status != EXIT_FINE)
        return status;
    status = prepare_store(origin, sources, config);
    malloc_trim(0); /* the supervisor has read and migrated all it ever will */
    if (status != EXIT_FINE)
        listen_close(&listening);
    else if (supervisor_run(&supervisor, &e) != 0)
        status = failed("the supervisor", &e);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {.config = AGW_SYSCONFDIR "/gateway.yaml"};
    struct config_sources sources = {0};
    struct config *config = NULL;
    char *origin = NULL;
    int status = parse_options(argc, argv, &options);

    if (status >= 0)
        return status;
    json_memory_init();
    /* OpenSSL never gets over a first use that lacked memory, so it happens here, where nobody
     * is served yet; workers inherit it. */
    if (sha_algorithm() == NULL) {
        fputs("agent-gateway: SHA-256 is not available\n", stderr);
        return EXIT_FAILED;
    }
    status = read_config(options.config, &sources, &config);
    if (status == EXIT_FINE && !options.check) {
        /* how all instances with these files recognise each other */
        origin = realpath(options.config, NULL);
        if (origin == NULL) {
            fprintf(stderr, "agent-gateway: %s: %s\n", options.config, strerror(errno));
            status = EXIT_FAILED;
        } else {
            status = run(&options, config, &sources, origin);
        }
    } else if (status == EXIT_FINE) {
        puts("The configuration is fine.");
    }
    free(origin);
    config_release(&config);
    config_sources_free(&sources);
    return status;
}

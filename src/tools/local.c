/* SPDX-License-Identifier: MIT */
/* Runs a program of this host for each call. */
#include "tools/local.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/http_client.h"
#include "sandbox/report.h"
#include "tools/launch.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/log.h"
#include "util/permit.h"

/* So much more than the model sees may be written; who writes more is ended. */
enum { OUTPUT_FACTOR = 16, STDERR_MAX = 2000, SAID_MAX = 1000, CHUNK = 16384, PROBE_MS = 5000,
       PROBE_AGAIN_MS = 2000, CPU_FACTOR = 4 };

struct local {
    const struct config_tool *config;
    atomic_int running;
    pthread_mutex_t lock;
    char report[LAUNCH_REPORT_SIZE]; /* of the last start; guarded by lock */
};

/* A call on its way. */
struct errand {
    struct local *local;
    const struct tool_call *call;
    struct tool_result *result;
    struct launch_child child;
    char *input;           /* the arguments */
    size_t length, written;
    struct buf output;     /* what the model may see of it */
    size_t seen;           /* bytes of standard output in all */
    char complaints[STDERR_MAX + 1]; /* the last ones of standard error */
    size_t complaints_length;
};

enum ending { ENDED, TOO_LATE, TOO_MUCH, CLIENT_GONE };

/* ---- the sandbox ---- */

/* Tells once, and anew when something changes. */
static void note_report(struct local *local, const char *report)
{
    char applied[400], missing[400];
    struct log_line line;
    bool news;

    pthread_mutex_lock(&local->lock);
    news = strcmp(local->report, report) != 0;
    memcpy(local->report, report, strlen(report) + 1);
    pthread_mutex_unlock(&local->lock);
    if (!news)
        return;
    report_names(report, REPORT_APPLIED, applied, sizeof applied);
    report_names(report, REPORT_MISSING, missing, sizeof missing);
    log_begin(&line, missing[0] != '\0' ? LOG_WARN : LOG_INFO, "tool.sandbox");
    log_str(&line, "tool", local->config->name);
    log_str(&line, "applied", applied);
    log_str(&line, "missing", missing);
    log_end(&line);
}

/* ---- moving bytes ---- */

static void feed(struct errand *x)
{
    ssize_t wrote;

    do {
        wrote = write(x->child.in, x->input + x->written, x->length - x->written);
        if (wrote > 0)
            x->written += (size_t)wrote;
    } while ((wrote > 0 && x->written < x->length) || (wrote < 0 && errno == EINTR));
    /* Who does not want to read all of it need not. */
    if (x->written == x->length || (wrote < 0 && errno != EAGAIN))
        launch_close(&x->child.in);
}

static void take_output(struct errand *x, const char *bytes, size_t length)
{
    size_t room = x->call->max_result + 1 - x->output.length;

    x->seen += length;
    buf_append(&x->output, bytes, length < room ? length : room);
}

static void take_complaints(struct errand *x, const char *bytes, size_t length)
{
    size_t keep = x->complaints_length;

    if (length > STDERR_MAX) {
        bytes += length - STDERR_MAX;
        length = STDERR_MAX;
    }
    if (keep > STDERR_MAX - length) {
        size_t drop = keep - (STDERR_MAX - length);

        keep -= drop;
        memmove(x->complaints, x->complaints + drop, keep);
    }
    memcpy(x->complaints + keep, bytes, length);
    x->complaints_length = keep + length;
}

/* At most a few chunks at a time: deadlines hold for those too who never stop writing. */
static void drain(struct errand *x, int *fd,
                  void (*take)(struct errand *x, const char *bytes, size_t length))
{
    char bytes[CHUNK];

    for (int i = 0; *fd >= 0 && i < 8; i++) {
        ssize_t got = read(*fd, bytes, sizeof bytes);

        if (got > 0)
            take(x, bytes, (size_t)got);
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            launch_close(fd);
        if (got <= 0)
            return;
    }
}

static void move(struct errand *x)
{
    if (x->child.in >= 0)
        feed(x);
    drain(x, &x->child.out, take_output);
    drain(x, &x->child.err, take_complaints);
}

/* What is left in the pipes when nobody can write any more is bounded by their size. */
static void move_the_rest(struct errand *x)
{
    size_t before;

    launch_close(&x->child.in);
    do {
        before = x->seen + x->complaints_length;
        move(x);
    } while (x->child.out >= 0 && x->seen + x->complaints_length != before);
}

static bool is_too_much(const struct errand *x)
{
    return x->seen > OUTPUT_FACTOR * x->call->max_result;
}

static enum ending attend(struct errand *x)
{
    struct launch_child *c = &x->child;

    for (;;) {
        struct pollfd watched[] = {
            {.fd = c->ended_fd, .events = POLLIN},
            {.fd = c->in, .events = POLLOUT},
            {.fd = c->out, .events = POLLIN},
            {.fd = c->err, .events = POLLIN},
            {.fd = x->call->watch_fd, .events = POLLRDHUP},
        };
        int64_t left = x->call->deadline_ms - clock_mono_ms();

        if (left <= 0)
            return TOO_LATE;
        permit_wait_begin();
        poll(watched, sizeof watched / sizeof watched[0], left > INT_MAX ? INT_MAX : (int)left);
        permit_wait_end();
        if (watched[4].revents != 0 && http_client_peer_gone(x->call->watch_fd))
            return CLIENT_GONE;
        move(x);
        if (is_too_much(x))
            return TOO_MUCH;
        if (launch_has_ended(c)) {
            move_the_rest(x);
            return is_too_much(x) ? TOO_MUCH : ENDED;
        }
    }
}

/* ---- the result ---- */

static void log_complaints(const struct errand *x, const char *how)
{
    struct log_line line;

    if (x->complaints_length == 0)
        return;
    log_begin(&line, LOG_INFO, "tool.stderr");
    log_str(&line, "request_id", x->call->request_id);
    log_str(&line, "tool", x->call->tool->name);
    log_str(&line, "ended", how);
    log_str(&line, "text", x->complaints);
    log_end(&line);
}

/* Line ends after the last line are the program's habit and not its result. */
static void trim(struct errand *x)
{
    struct buf *output = &x->output;

    while (x->seen == output->length && output->length > 0 && (output->data[output->length - 1] == '\n' ||
                                  output->data[output->length - 1] == '\r'))
        output->data[--output->length] = '\0';
}

static void give_result(struct errand *x, const char *how)
{
    const struct tool_call *call = x->call;
    const char *name = call->tool->name;

    trim(x);
    if (x->child.status != 0 && x->output.length == 0)
        tool_result_say(x->result, TOOL_FAILED, "The tool '%s' failed: %s.", name, how);
    else if (x->child.status != 0)
        tool_result_say(x->result, TOOL_FAILED, "The tool '%s' failed: %s. It says: %.*s", name,
                        how, SAID_MAX, buf_text(&x->output));
    else if (x->output.failed)
        tool_result_clear(x->result); /* out of memory */
    else if (x->output.length == 0)
        tool_result_say(x->result, TOOL_OK, "The tool '%s' ended well and wrote nothing.", name);
    else
        tool_result_put(x->result, TOOL_OK, x->output.data, x->output.length, call->max_result);
}

static void tell(struct errand *x, enum ending ending)
{
    const char *name = x->call->tool->name;
    char how[80] = "not by itself";

    if (ending == ENDED)
        launch_status_text(x->child.status, how, sizeof how);
    log_complaints(x, how);
    switch (ending) {
    case ENDED:
        give_result(x, how);
        break;
    case TOO_LATE:
        tool_result_say(x->result, TOOL_TIMEOUT,
                        "The tool '%s' was not ready in time and was ended.", name);
        break;
    case TOO_MUCH:
        tool_result_say(x->result, TOOL_FAILED,
                        "The tool '%s' wrote more than %zu bytes and was ended.", name,
                        OUTPUT_FACTOR * x->call->max_result);
        break;
    case CLIENT_GONE:
        x->result->status = TOOL_CANCELLED;
        break;
    }
}

/* ---- the provider ---- */

/* A second bound behind the deadline, for programs that compute in several threads too. */
static int64_t cpu_seconds(const struct tool_call *call)
{
    int64_t left = call->deadline_ms - clock_mono_ms();

    return left < 0 ? 1 : CPU_FACTOR * (left / 1000 + 1);
}

static void run(struct errand *x)
{
    struct err e = {0};
    enum ending ending;
    int status = launch_start(x->local->config, cpu_seconds(x->call), x->call->deadline_ms,
                              x->input, x->length, &x->child, &e);

    if (status != 0) {
        if (status != AGW_ENOMEM)
            tool_result_say(x->result, TOOL_UNAVAILABLE, "The tool '%s' cannot be run: %s.",
                            x->call->tool->name, e.message);
        return;
    }
    x->written = x->child.fed;
    note_report(x->local, x->child.report);
    buf_init(&x->output, x->call->max_result + 1);
    ending = attend(x);
    launch_end(&x->child);
    tell(x, ending);
    buf_free(&x->output);
}

static void local_call(void *state, const struct tool_call *call, struct tool_result *result)
{
    struct local *local = state;
    struct errand x = {.local = local, .call = call, .result = result};

    x.input = json_dumps(call->arguments, JSON_COMPACT);
    if (x.input == NULL)
        return;
    x.length = strlen(x.input);
    x.input[x.length++] = '\n'; /* in place of its NUL: it is a line */
    atomic_fetch_add(&local->running, 1);
    run(&x);
    atomic_fetch_sub(&local->running, 1);
    json_memory_free(x.input);
}

static void *local_open(const struct config_tool *config, void (*changed)(void *arg), void *arg,
                        struct err *e)
{
    struct local *local = calloc(1, sizeof *local);

    (void)changed, (void)arg;
    if (local == NULL) {
        err_set(e, AGW_ENOMEM, "out of memory");
        return NULL;
    }
    local->config = config;
    pthread_mutex_init(&local->lock, NULL);
    return local;
}

static void local_close(void *state)
{
    struct local *local = state;

    pthread_mutex_destroy(&local->lock);
    free(local);
}

/* What a program that does nothing said of the sandbox, for tools that were not called yet; by
 * what the layers depend on. What kept it from running (descriptors, say) may pass. */
static struct {
    pthread_mutex_t lock;
    struct probe {
        bool done;
        int64_t again_at; /* clock_mono_ms() */
        struct err e;
        char report[LAUNCH_REPORT_SIZE];
    } by[2][SANDBOX_OFF + 1];
} probes = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void probe(const struct config_tool *config, struct probe *probe)
{
    const char *command[] = {"true"};
    struct config_tool nothing = *config;
    struct launch_child child;

    nothing.command = command;
    nothing.command_count = 1;
    err_reset(&probe->e);
    probe->done = launch_start(&nothing, 1, clock_mono_ms() + PROBE_MS, NULL, 0, &child,
                               &probe->e) == 0;
    if (probe->done)
        memcpy(probe->report, child.report, sizeof probe->report);
    launch_end(&child);
    probe->again_at = clock_mono_ms() + PROBE_AGAIN_MS;
}

/* The layers into `report`; what keeps it from running into *e. */
static void look(struct local *local, char report[LAUNCH_REPORT_SIZE], struct err *e)
{
    const struct config_program *program = &local->config->program;
    struct probe *one = &probes.by[program->network][program->sandbox];

    pthread_mutex_lock(&local->lock);
    memcpy(report, local->report, LAUNCH_REPORT_SIZE);
    pthread_mutex_unlock(&local->lock);
    if (launch_check(local->config, e) != 0 || report[0] != '\0')
        return;
    permit_lock(&probes.lock);
    if (!one->done && clock_mono_ms() >= one->again_at)
        probe(local->config, one);
    *e = one->e;
    memcpy(report, one->report, LAUNCH_REPORT_SIZE);
    pthread_mutex_unlock(&probes.lock);
    if (e->code == 0)
        note_report(local, report);
}

static void local_describe(void *state, json_t *object)
{
    struct local *local = state;
    char report[LAUNCH_REPORT_SIZE];
    struct err e = {0};

    look(local, report, &e);
    json_object_set_new(object, "running", json_integer(atomic_load(&local->running)));
    json_object_set_new(object, "sandbox", report_json(report));
    if (e.code != 0)
        json_array_append_new(json_object_get(object, "diagnostics"), json_string(e.message));
}

const struct tool_provider local_provider = {
    .name = "local",
    .open = local_open,
    .close = local_close,
    .call = local_call,
    .describe = local_describe,
};

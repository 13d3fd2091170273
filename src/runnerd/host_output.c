/* SPDX-License-Identifier: MIT */
/* Logs what modules print. */
#include "runnerd/host_output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/json_text.h"

enum { BYTES_A_SECOND = 1 << 20, LINES_A_SECOND = 50, SECOND_MS = 1000, CHUNK = 4096 };

static void write_text(struct host_output *o, enum log_level level, const char *text)
{
    struct log_line line;

    if (o->lines++ >= LINES_A_SECOND) {
        o->dropped++;
        return;
    }
    log_begin(&line, level, "runner.host.output");
    log_str(&line, "module", o->module);
    log_str(&line, "message", text);
    log_end(&line);
}

/* For host_output_last(): V8 ends with a trace of frames that nobody can read, after what it dies of
 * between lines of ornaments. */
static void remember(struct host_output *o)
{
    o->is_trace = o->is_trace || strstr(o->line, " stack trace -----") != NULL;
    if (!o->is_trace && o->line[strspn(o->line, "#*-= \t")] != '\0')
        memcpy(o->last, o->line, sizeof o->last);
}

static void write_line(struct host_output *o)
{
    if (o->used == 0)
        return;
    o->line[o->used] = '\0';
    o->used = 0;
    json_text_repair(o->line);
    remember(o);
    write_text(o, LOG_INFO, o->line);
}

static void take(struct host_output *o, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r')
            write_line(o);
        else if (o->used < HOST_OUTPUT_LINE)
            o->line[o->used++] = bytes[i];
    }
}

static void begin_second(struct host_output *o, int64_t now)
{
    if (now - o->second < SECOND_MS)
        return;
    if (o->dropped > 0) {
        struct log_line line;

        log_begin(&line, LOG_WARN, "runner.host.output");
        log_str(&line, "module", o->module);
        log_int(&line, "dropped", o->dropped);
        log_end(&line);
    }
    o->second = now;
    o->bytes = 0;
    o->lines = o->dropped = 0;
}

bool host_output_read(struct host_output *o, int fd, int64_t now, bool *ended)
{
    char bytes[CHUNK];

    *ended = false;
    begin_second(o, now);
    while (o->bytes < BYTES_A_SECOND) {
        ssize_t got = read(fd, bytes, sizeof bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0) {
            write_line(o);
            *ended = true;
            return true;
        }
        o->bytes += (size_t)got;
        take(o, bytes, (size_t)got);
    }
    return false;
}

void host_output_note(struct host_output *o, enum log_level level, const char *text,
                      int64_t now)
{
    begin_second(o, now);
    write_text(o, level, text);
}

const char *host_output_last(const struct host_output *o)
{
    return o->last;
}

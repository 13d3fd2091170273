/* SPDX-License-Identifier: MIT */
/* Writes what happened, one line an event. */
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/json_text.h"

enum { EVENT_MAX = 100 };

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static _Atomic int threshold = LOG_INFO;
static _Atomic int descriptor = STDERR_FILENO;

int log_open(const char *path)
{
    bool to_stderr = path == NULL || strcmp(path, "-") == 0;
    int old = atomic_load(&descriptor), fd, status;

    fd = to_stderr ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
                   : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -1;
    if (old == STDERR_FILENO) {
        atomic_store(&descriptor, fd);
        return 0;
    }
    /* The number stays: a thread that is about to write finds the old or the new file. */
    status = dup3(fd, old, O_CLOEXEC);
    close(fd);
    return status < 0 ? -1 : 0;
}

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

int log_level_parse(const char *name)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

static void add_raw(struct log_line *line, const char *text, size_t length)
{
    if (length > LOG_LINE_MAX - line->length) {
        line->truncated = true;
        return;
    }
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

/* Opens `,"field":`; false when there is no room for it and a short value. */
static bool add_field(struct log_line *line, const char *field)
{
    size_t length = strlen(field);

    if (!line->active || line->truncated)
        return false;
    if (length + 40 > LOG_LINE_MAX - line->length) {
        line->truncated = true;
        return false;
    }
    add_raw(line, ",\"", 2);
    add_raw(line, field, length);
    add_raw(line, "\":", 2);
    return true;
}

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
    char now[CLOCK_TEXT_SIZE];

    line->active = (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
    line->truncated = false;
    line->length = 0;
    if (!line->active)
        return;
    clock_format(clock_wall_ms(), now);
    add_raw(line, "{\"ts\":\"", 7);
    add_raw(line, now, strlen(now));
    add_raw(line, "\",\"level\":\"", 11);
    add_raw(line, level_names[level], strlen(level_names[level]));
    add_raw(line, "\",\"event\":\"", 11);
    add_raw(line, event, strnlen(event, EVENT_MAX));
    add_raw(line, "\"", 1);
}

void log_str(struct log_line *line, const char *field, const char *text)
{
    size_t length, used;

    if (!add_field(line, field))
        return;
    if (text == NULL) {
        add_raw(line, "null", 4);
        return;
    }
    length = strlen(text);
    line->text[line->length++] = '"';
    line->length += json_text_escape(line->text + line->length,
                                     LOG_LINE_MAX - 1 - line->length, text, length, &used);
    line->text[line->length++] = '"';
    if (used < length)
        line->truncated = true;
}

void log_int(struct log_line *line, const char *field, int64_t number)
{
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char digits[20];
    size_t at = sizeof digits;

    if (!add_field(line, field))
        return;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        add_raw(line, "-", 1);
    add_raw(line, digits + at, sizeof digits - at);
}

void log_bool(struct log_line *line, const char *field, bool yes)
{
    if (add_field(line, field))
        add_raw(line, yes ? "true" : "false", yes ? 4 : 5);
}

void log_end(struct log_line *line)
{
    static const char cut[] = ",\"truncated\":true";
    size_t done = 0;

    if (!line->active)
        return;
    if (line->truncated) {
        memcpy(line->text + line->length, cut, sizeof cut - 1);
        line->length += sizeof cut - 1;
    }
    memcpy(line->text + line->length, "}\n", 2);
    line->length += 2;
    while (done < line->length) {
        ssize_t n = write(atomic_load(&descriptor), line->text + done, line->length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* the log's own failure has nowhere to be logged */
            break;
        done += (size_t)n;
    }
    line->active = false;
}

void log_message(enum log_level level, const char *event, const char *format, ...)
{
    struct log_line line;
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_begin(&line, level, event);
    log_str(&line, "message", text);
    log_end(&line);
}

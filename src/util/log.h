/* SPDX-License-Identifier: MIT */
/* JSON lines: one event, one line, one write(2).
 *
 *     struct log_line line;
 *     log_begin(&line, LOG_INFO, "config.reloaded");
 *     log_str(&line, "component", "security");
 *     log_int(&line, "generation", 7);
 *     log_end(&line);
 *
 * A line below the configured level costs one comparison. Every text is escaped:
 * control characters, U+2028/9 and broken UTF-8 cannot split or forge a line. A
 * text that does not fit is cut and the line gets `"truncated":true`. Lines go to
 * one descriptor (stderr until log_open()), opened for appending, so lines of
 * several threads and processes do not mix. Secrets are the caller's duty: never
 * pass one. Any thread; calling log_open() again (log rotation) may happen while others
 * write, but only in one thread at a time.
 */
#ifndef AGW_UTIL_LOG_H
#define AGW_UTIL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum { LOG_LINE_MAX = 4000 }; /* below PIPE_BUF, so a pipe takes a line whole */

struct log_line {
    bool active, truncated;
    size_t length;
    char text[LOG_LINE_MAX + 96]; /* the rest is for the closing of a cut line */
};

/* Logs to `path` (created 0640, appended; NULL or "-" = stderr). 0, or -1 with errno. */
int log_open(const char *path);
void log_set_level(enum log_level level);
/* "debug" "info" "warn" "error" -> level, or -1. */
int log_level_parse(const char *name);

void log_begin(struct log_line *line, enum log_level level, const char *event);
void log_str(struct log_line *line, const char *field, const char *text); /* NULL = null */
void log_int(struct log_line *line, const char *field, int64_t number);
void log_bool(struct log_line *line, const char *field, bool yes);
void log_end(struct log_line *line);

/* Shorthand for an event with one formatted field "message". */
void log_message(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

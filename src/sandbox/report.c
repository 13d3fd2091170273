/* SPDX-License-Identifier: MIT */
/* Tells which layers of a sandbox are there, in one direction and the other. */
#include "sandbox/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 300 };

static const char *const layers[REPORT_COUNT] = {
#define X(id, name) name,
    REPORT_LAYERS(X)
#undef X
};
static const char *const states[] = {"applied", "missing", "unwanted"};

static void write_line(const struct report *r, const char *head, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* Lines are shorter than PIPE_BUF, so that those of several processes do not mix. */
static void write_line(const struct report *r, const char *head, const char *format, va_list ap)
{
    char line[LINE_SIZE];
    size_t length = (size_t)snprintf(line, sizeof line, "%s", head);

    vsnprintf(line + length, sizeof line - length - 1, format, ap);
    for (char *c = line; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    length = strlen(line);
    line[length++] = '\n';
    while (r->fd >= 0 && write(r->fd, line, length) < 0 && errno == EINTR)
        ;
}

void report_layer(struct report *r, enum report_layer layer, enum report_state state,
                  const char *format, ...)
{
    char head[64];
    va_list ap;

    if (state == REPORT_APPLIED)
        r->applied |= 1u << layer;
    snprintf(head, sizeof head, "%s %s ", layers[layer], states[state]);
    va_start(ap, format);
    write_line(r, head, format, ap);
    va_end(ap);
}

static void say(const struct report *r, const char *head, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const struct report *r, const char *head, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    write_line(r, head, format, ap);
    va_end(ap);
}

void report_tmp(struct report *r, const char *path)
{
    say(r, "tmp ", "%s", path);
}

void report_started(struct report *r)
{
    say(r, "started", "%s", "");
}

void report_failed(struct report *r, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    write_line(r, "failed ", format, ap);
    va_end(ap);
}

static bool has(const struct report *r, enum report_layer layer)
{
    return (r->applied & (1u << layer)) != 0;
}

const char *report_lacks(const struct report *r, bool network)
{
    if (!has(r, REPORT_NO_NEW_PRIVS) || !has(r, REPORT_CAPABILITIES))
        return "privileges cannot be given up (no_new_privs, capabilities)";
    if (!has(r, REPORT_RLIMITS))
        return "resources cannot be limited (rlimits)";
    if (!has(r, REPORT_LANDLOCK))
        return "files cannot be kept from it (landlock)";
    if (!has(r, REPORT_SECCOMP))
        return "system calls cannot be kept from it (seccomp)";
    if (!has(r, REPORT_PID_NAMESPACE) && !has(r, REPORT_LANDLOCK_SCOPE))
        return "other processes cannot be kept from it (pid_namespace, landlock_scope)";
    (void)network; /* seccomp refuses sockets, whatever namespaces there are */
    return NULL;
}

/* ---- reading ---- */

/* The next line, without its end; false after the last one. */
static bool next_line(const char **text, char line[LINE_SIZE])
{
    size_t length = strcspn(*text, "\n");

    if (**text == '\0')
        return false;
    snprintf(line, LINE_SIZE, "%.*s", (int)(length < LINE_SIZE ? length : LINE_SIZE - 1), *text);
    *text += length + ((*text)[length] == '\n');
    return true;
}

bool report_has_started(const char *text, char *why, size_t size)
{
    char line[LINE_SIZE], last[LINE_SIZE] = "";
    bool started = false;

    while (next_line(&text, line)) {
        if (strncmp(line, "failed ", 7) == 0)
            snprintf(last, sizeof last, "%s", line + 7);
        started = started || strncmp(line, "started", 7) == 0;
    }
    if (why != NULL && size > 0)
        snprintf(why, size, "%s", last[0] != '\0' ? last : "it ended before the program began");
    return started && last[0] == '\0';
}

void report_take_tmp(char *text, char *path, size_t size)
{
    const char *rest = text;
    char line[LINE_SIZE];

    path[0] = '\0';
    if (!next_line(&rest, line) || strncmp(line, "tmp ", 4) != 0)
        return;
    snprintf(path, size, "%s", line + 4);
    memmove(text, rest, strlen(rest) + 1);
}

/* Splits "name state detail"; false for other lines. */
static bool split(char *line, const char **name, size_t *state, const char **detail)
{
    char *second = strchr(line, ' '), *third;

    if (second == NULL)
        return false;
    *second++ = '\0';
    third = strchr(second, ' ');
    if (third != NULL)
        *third++ = '\0';
    *name = line;
    *detail = third == NULL ? "" : third;
    for (*state = 0; *state < sizeof states / sizeof states[0]; (*state)++)
        if (strcmp(states[*state], second) == 0)
            return true;
    return false;
}

json_t *report_json(const char *text)
{
    json_t *object = json_object();
    char line[LINE_SIZE];

    while (object != NULL && next_line(&text, line)) {
        const char *name, *detail;
        size_t state;
        json_t *value;

        if (!split(line, &name, &state, &detail))
            continue;
        value = *detail == '\0' ? json_string(states[state])
                                : json_sprintf("%s (%s)", states[state], detail);
        json_object_set_new(object, name, value);
    }
    return object;
}

void report_names(const char *text, enum report_state wanted, char *names, size_t size)
{
    char line[LINE_SIZE];
    size_t used = 0;

    names[0] = '\0';
    while (next_line(&text, line)) {
        const char *name, *detail;
        size_t state;

        if (!split(line, &name, &state, &detail) || state != (size_t)wanted ||
            used + strlen(name) + 2 > size)
            continue;
        used += (size_t)snprintf(names + used, size - used, "%s%s", used > 0 ? " " : "", name);
    }
}

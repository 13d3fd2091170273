/* SPDX-License-Identifier: MIT */
/* One call of agwctl: the command that was meant, and the values that were given. */
#ifndef AGW_CTL_CALL_H
#define AGW_CTL_CALL_H

#include <jansson.h>

#include "ctl/command.h"

struct context;

struct call {
    const struct command *command;
    const char *values[COMMAND_OPTIONS_MAX]; /* of command->options; "" for a flag */
    int64_t numbers[COMMAND_OPTIONS_MAX];    /* VALUE_NUMBER, VALUE_TIME (UTC ms) */
    char *const *arguments;
    size_t argument_count;
    const char *config, *database; /* as given, NULL = not */
    bool json, colour;             /* colour: standard output may have some */
    int64_t now;                   /* wall clock, UTC ms: what relative times count from */
    struct context *context;       /* context.h */
};

enum { CALL_RUN = -1 };

/* Reads the command line. CALL_RUN: run call->command; else the exit status, all said. The
 * order of argv's entries may change. */
int call_parse(int argc, char **argv, struct call *call);

/* The value of an option of this command; NULL when it was not given. The name must be in the
 * command's row. */
const char *call_text(const struct call *call, const char *option);
bool call_flag(const struct call *call, const char *option);
int64_t call_number(const struct call *call, const char *option, int64_t otherwise);
/* UTC ms */
int64_t call_time(const struct call *call, const char *option, int64_t otherwise);
/* NULL when it was not given. */
const char *call_argument(const struct call *call, size_t index);

/* Say on standard error what is wrong, as "agwctl: ..."; each returns its status. */
int call_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int call_usage(const struct call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void call_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints a document (taken over; NULL: memory is out) as JSON; `status`, or CTL_FAILED. */
int call_json(json_t *document, int status);

#endif

/* SPDX-License-Identifier: MIT */
/* What a module prints: into the log, line by line, as long as it is not too much. One thread. */
#ifndef AGW_RUNNERD_HOST_OUTPUT_H
#define AGW_RUNNERD_HOST_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

enum { HOST_OUTPUT_LINE = 1000 };

struct host_output {
    const char *module;        /* named in the log */
    int64_t second;            /* of the budget */
    size_t bytes;              /* read in it */
    int lines, dropped;
    size_t used;
    bool is_trace;             /* nothing but frames comes any more */
    char line[HOST_OUTPUT_LINE + 1], last[HOST_OUTPUT_LINE + 1];
};

/* Reads what there is. false: no more is read this second. *ended: the pipe is closed. */
bool host_output_read(struct host_output *o, int fd, int64_t now, bool *ended);

/* A line that came otherwise, from the same budget. */
void host_output_note(struct host_output *o, enum log_level level, const char *text,
                      int64_t now);

/* The last line that says something: no frame of a trace, no ornament; "" = none. */
const char *host_output_last(const struct host_output *o);

#endif

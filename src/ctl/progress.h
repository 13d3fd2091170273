/* SPDX-License-Identifier: MIT */
/* How far long work is: one line on standard error, if that is a terminal. */
#ifndef AGW_CTL_PROGRESS_H
#define AGW_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;  /* "verifying" */
    int64_t total;     /* 0 = not known */
    int64_t began_ms, shown_ms;
    bool visible, drawn;
};

void progress_begin(struct progress *progress, const char *what, int64_t total);
/* Cheap: draws a few times a second, and not at all in the first. */
void progress_step(struct progress *progress, int64_t done);
/* Takes the line away. */
void progress_end(struct progress *progress);

#endif

/* SPDX-License-Identifier: MIT */
/* Draws and removes the line that says how far long work is. */
#include "ctl/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "util/clock.h"

enum { FIRST_MS = 1000, EVERY_MS = 200 };

void progress_begin(struct progress *p, const char *what, int64_t total)
{
    *p = (struct progress){.what = what, .total = total, .began_ms = clock_mono_ms(),
                           .visible = isatty(STDERR_FILENO) == 1};
}

void progress_step(struct progress *p, int64_t done)
{
    int64_t now, spent;

    if (!p->visible)
        return;
    now = clock_mono_ms();
    spent = now - p->began_ms;
    if (spent < FIRST_MS || now - p->shown_ms < EVERY_MS)
        return;
    p->shown_ms = now;
    p->drawn = true;
    if (p->total > 0)
        fprintf(stderr, "\r%s: %lld of %lld (%d %%), %lld/s\033[K", p->what, (long long)done,
                (long long)p->total, (int)((double)done * 100 / (double)p->total),
                (long long)(done * 1000 / spent));
    else
        fprintf(stderr, "\r%s: %lld, %lld/s\033[K", p->what, (long long)done,
                (long long)(done * 1000 / spent));
    (void)fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

/* SPDX-License-Identifier: MIT */
/* A list of checks and what came of them, as doctor and db check print it. */
#ifndef AGW_CTL_FINDINGS_H
#define AGW_CTL_FINDINGS_H

#include "ctl/call.h"

enum finding_state { FINDING_OK, FINDING_WARNING, FINDING_FAILED };

struct findings {
    json_t *checks; /* {"name", "state", "detail", "advice"} */
    enum finding_state worst;
};

void findings_begin(struct findings *findings);

/* `advice`: what to do about it, NULL when nothing is. Any bytes. */
void findings_add(struct findings *findings, const char *name, enum finding_state state,
                  const char *advice, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Prints {"ok", "checks"} or lines, and frees. CTL_FINDING unless all is fine. */
int findings_end(struct findings *findings, const struct call *call);

#endif

/* SPDX-License-Identifier: MIT */
/* A file that becomes a result, or goes away: also when the program is interrupted. One at a
 * time.
 */
#ifndef AGW_CTL_SCRATCH_H
#define AGW_CTL_SCRATCH_H

#include "util/err.h"

/* Makes an empty file (mode 0640) beside `target`; static text with its name. The files that a
 * database makes beside itself belong to it. NULL with *e. */
const char *scratch_make(const char *target, struct err *e);

/* Removes what lies beside it, so that the file stands alone. */
void scratch_alone(void);

/* It has got its final name: nothing is to be removed any more. */
void scratch_done(void);

/* Removes it, if there is one. */
void scratch_drop(void);

#endif

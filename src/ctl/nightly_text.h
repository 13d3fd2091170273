/* SPDX-License-Identifier: MIT */
/* The report of the nightly audit as a summary for people. */
#ifndef AGW_CTL_NIGHTLY_TEXT_H
#define AGW_CTL_NIGHTLY_TEXT_H

#include <jansson.h>
#include <stdbool.h>

#include "util/buf.h"

void nightly_text(const json_t *report, bool colour, struct buf *out);

#endif

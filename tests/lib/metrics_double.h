/* SPDX-License-Identifier: MIT */
/* Stands in for store/metrics.c where a unit test has no database: counts in a table. */
#ifndef AGW_TESTS_LIB_METRICS_DOUBLE_H
#define AGW_TESTS_LIB_METRICS_DOUBLE_H

#include <stdint.h>

#include "store/metrics.h"

/* The counter's or gauge's value; `labels` are the values joined by ','. 0 when unknown. */
int64_t metrics_double_value(enum metric metric, const char *labels);
void metrics_double_reset(void);

#endif

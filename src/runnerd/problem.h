/* SPDX-License-Identifier: MIT */
/* What is wrong with a module, as gateways show it. One thread. */
#ifndef AGW_RUNNERD_PROBLEM_H
#define AGW_RUNNERD_PROBLEM_H

#include <jansson.h>
#include <stdbool.h>

/* Where a problem is; each may be NULL. */
struct problem_place {
    const char *agent, *module, *path;
};

/* Adds one to the array `list`. `kind`: "import", "dependency", "validation", "security",
 * "runtime"; `severity`: "error", "warning". */
void problem_add(json_t *list, const char *kind, const char *severity,
                 const struct problem_place *place, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Adds what a host reports of its module, as far as it can be understood; the first fifty. */
void problem_add_reported(json_t *list, const json_t *reported,
                          const struct problem_place *place);

/* Whether one of them is an error. */
bool problem_is_fatal(const json_t *list);

/* Whether packages are missing, or there in part only. */
bool problem_lacks_packages(const json_t *list);

#endif

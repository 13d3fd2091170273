/* SPDX-License-Identifier: MIT */
/* Memory for jansson's many small values, kept by each thread for its next ones. For
 * json_memory.c only.
 *
 * A request builds and drops three trees of some forty blocks each. The C library keeps seven
 * freed blocks of a size for a thread and then takes locks that other threads hold.
 */
#ifndef AGW_UTIL_JSON_POOL_H
#define AGW_UTIL_JSON_POOL_H

#include <stddef.h>

/* Before the others, once. */
void json_pool_init(void);

/* malloc() and free() with a memory; in sanitized builds, which shall see every block, the
 * plain ones. */
void *json_pool_take(size_t size);
void json_pool_put(void *pointer);

#endif

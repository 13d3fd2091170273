/* SPDX-License-Identifier: MIT */
/* Memory of the runner: small and needed. Where there is none it ends, as the values of jansson
 * do (util/json_memory.h), and whoever started it starts it again.
 */
#ifndef AGW_RUNNERD_MEMORY_H
#define AGW_RUNNERD_MEMORY_H

#include <stddef.h>

/* Zeroed; free() it. Never NULL. */
void *memory_new(size_t size);
char *memory_text(const char *text);
void *memory_grow(void *old, size_t size);

#endif

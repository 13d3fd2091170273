/* SPDX-License-Identifier: MIT */
/* Jansson's memory, which never says no. Jansson 2.14's parser breaks the heap when it does: a
 * string whose node cannot be had is freed twice, and a text that could not grow is read past
 * its end. So small blocks come from a reserve when malloc() has none, larger ones are asked
 * for again, and when all that is in vain the process says why and ends; the supervisor starts
 * another. Any thread.
 *
 * A request makes and frees more than a hundred small values, more than the C library keeps at
 * hand for a thread; here each thread keeps some for its next ones, until it ends.
 */
#ifndef AGW_UTIL_JSON_MEMORY_H
#define AGW_UTIL_JSON_MEMORY_H

#include <stddef.h>

enum { JSON_MEMORY_EXIT = 71, JSON_MEMORY_SMALL = 32, JSON_MEMORY_RESERVE = 2048 };

/* Before the first use of jansson. */
void json_memory_init(void);

/* What free() is elsewhere: for texts of json_dumps(). */
void json_memory_free(void *p);

/* A small block of the reserve; NULL when it is used up. */
void *json_memory_reserve(void);

#endif

/* SPDX-License-Identifier: MIT */
/* Jansson's memory. When the 32 bytes of a string's node cannot be had, jansson 2.14's parser
 * frees the text twice and the heap is broken. So small blocks come from a reserve when malloc()
 * has none; when that is used up too the process says why and ends, and the supervisor starts
 * another. Any thread.
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

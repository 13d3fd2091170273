/* SPDX-License-Identifier: MIT */
/* What worker processes that share one listening socket know of each other: who has room.
 *
 * Made before fork(), shared by mapping. A process that is full and sees connections coming
 * leaves them to a sibling with room and wakes it; only when nobody has room are they
 * refused. Atomics only: a process may die at any instruction.
 */
#ifndef AGW_HTTP_SIBLINGS_H
#define AGW_HTTP_SIBLINGS_H

#include <stdbool.h>

struct siblings;

enum { SIBLINGS_MAX = 256 };

/* NULL: out of memory or descriptors. */
struct siblings *siblings_new(void);
void siblings_free(struct siblings **siblings);

/* Says whether process number `slot` may be sent connections. The supervisor says false for
 * one that died. */
void siblings_set_room(struct siblings *siblings, int slot, bool room);
/* Whether any process has room. */
bool siblings_have_room(const struct siblings *siblings);

/* Becomes readable for everybody (edge-triggered) with siblings_wake(). */
int siblings_fd(const struct siblings *siblings);
void siblings_wake(const struct siblings *siblings);

#endif

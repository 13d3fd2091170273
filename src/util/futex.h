/* SPDX-License-Identifier: MIT */
/* A word that a thread sleeps on until another changes it (futex(2)), within one process. */
#ifndef AGW_UTIL_FUTEX_H
#define AGW_UTIL_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FUTEX_FOREVER INT64_MAX

/* Sleeps while *word is `value`; false: it still is at `until_us` (clock_mono_us()). */
bool futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t until_us);

/* Stores `value`, then wakes who sleeps on the word. The sleeper may be gone, memory and all,
 * before this returns: nothing but the address is used after the store. */
void futex_set(_Atomic uint32_t *word, uint32_t value);

#endif

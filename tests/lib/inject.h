/* SPDX-License-Identifier: MIT */
/* Lets the nth call of a library's functions fail: what only a bad day would bring. The
 * program is linked with $(inject_wraps), which sends the calls of the code under test here.
 * Counted over all threads.
 */
#ifndef AGW_TESTS_INJECT_H
#define AGW_TESTS_INJECT_H

#include <stdbool.h>

enum inject_kind {
    INJECT_MEMORY = 1,  /* malloc calloc realloc strdup, jansson's constructors */
    INJECT_SQLITE = 2,  /* prepare, step, exec */
    INJECT_COLUMN = 4,  /* sqlite3_column_text yields NULL, as when memory is out */
    INJECT_CRYPTO = 8,  /* EVP_*, randomness */
    INJECT_SYSTEM = 16, /* open, read, threads, shared memory */
    INJECT_FILE = 32,   /* stdio, fdatasync, rename */
};

/* From now on call number `at` (from 0) of these kinds fails, and with `all_after` each one
 * after it as well. */
void inject_start(unsigned kinds, long at, bool all_after);
/* No more failures; how many calls were counted. */
long inject_stop(void);

/* Runs fn(arg) with each call failing in turn, alone and with all that follow, until a run
 * needed no failure. fn calls nothing but the code under test and returns; check(arg) sees
 * to what must hold whatever failed. AGW_TEST_INJECT_STEP=N (for valgrind, which is fifty times
 * slower) lets only each Nth call fail. Returns how many calls were looked at. */
long inject_each(unsigned kinds, void (*fn)(void *arg), void (*check)(void *arg), void *arg);

#endif

/* SPDX-License-Identifier: MIT */
/* For tests of what a process has open, or running. */
#ifndef AGW_TESTS_LIB_COUNT_ENTRIES_H
#define AGW_TESTS_LIB_COUNT_ENTRIES_H

/* How many entries a folder has, as /proc/self/fd and /proc/self/task; fails the test. */
int count_entries(const char *folder);

#endif

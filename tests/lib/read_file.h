/* SPDX-License-Identifier: MIT */
/* For tests that hold the program against what its documents say. */
#ifndef AGW_TESTS_LIB_READ_FILE_H
#define AGW_TESTS_LIB_READ_FILE_H

/* The text of a file of at most 1 MiB, to be freed; fails the test when there is none. */
char *read_file(const char *path);

#endif

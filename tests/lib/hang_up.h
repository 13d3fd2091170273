/* SPDX-License-Identifier: MIT */
/* For tests of what waits while somebody may leave. */
#ifndef AGW_TESTS_LIB_HANG_UP_H
#define AGW_TESTS_LIB_HANG_UP_H

/* A thread: after a moment it shuts the socket `*fd` (int) down. */
void *hang_up(void *fd);

#endif

/* SPDX-License-Identifier: MIT */
/* For tests of what waits while somebody may leave. */
#ifndef AGW_TESTS_LIB_HANG_UP_H
#define AGW_TESTS_LIB_HANG_UP_H

#include <pthread.h>

struct hang_up {
    int watched; /* the end to wait with */
    int other;
    pthread_t thread;
};

/* A connection whose other end says `text` and after a moment leaves; fails the test. */
void hang_up_begin(struct hang_up *h, const char *text);
void hang_up_end(struct hang_up *h);

#endif

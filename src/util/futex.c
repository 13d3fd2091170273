/* SPDX-License-Identifier: MIT */
/* Puts threads to sleep and wakes them, one system call each. */
#include "util/futex.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

bool futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t until_us)
{
    while (atomic_load(word) == value) {
        struct timespec timeout;
        int64_t left = until_us;

        if (until_us != FUTEX_FOREVER) {
            left = until_us - clock_mono_us();
            if (left <= 0)
                return false;
            timeout.tv_sec = left / 1000000;
            timeout.tv_nsec = left % 1000000 * 1000;
        }
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
                until_us == FUTEX_FOREVER ? NULL : &timeout, NULL, 0);
    }
    return true;
}

void futex_set(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* SPDX-License-Identifier: MIT */
/* proc: the living, the dead, zombies, and names made to confuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/proc.h"

static void we_are_alive(void **state)
{
    uint64_t start = proc_start_time(getpid());

    (void)state;
    assert_true(start > 0);
    assert_true(proc_is_alive(getpid(), start));
    assert_false(proc_is_alive(getpid(), start + 1));
    assert_false(proc_is_alive(getpid(), 0));
}

static void nobody_is_not(void **state)
{
    static const pid_t nobody[] = {0, -1, -2, 0x7fffffff};

    (void)state;
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++) {
        assert_int_equal(proc_start_time(nobody[i]), 0);
        assert_false(proc_is_alive(nobody[i], 0));
        assert_false(proc_is_alive(nobody[i], 1));
    }
}

static void a_killed_child_is_dead_before_and_after_it_is_reaped(void **state)
{
    pid_t child = fork();
    uint64_t start;
    siginfo_t info;

    (void)state;
    if (child == 0)
        for (;;)
            pause();
    assert_true(child > 0);
    start = proc_start_time(child);
    assert_true(proc_is_alive(child, start));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_false(proc_is_alive(child, start));
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(proc_is_alive(child, start));
    assert_int_equal(proc_start_time(child), 0);
}

static void a_name_with_parentheses_and_blanks_does_not_confuse(void **state)
{
    uint64_t start = proc_start_time(getpid());

    (void)state;
    assert_int_equal(prctl(PR_SET_NAME, ") Z 1 1) (", 0, 0, 0), 0);
    assert_int_equal(proc_start_time(getpid()), start);
    assert_true(proc_is_alive(getpid(), start));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(we_are_alive),
        cmocka_unit_test(nobody_is_not),
        cmocka_unit_test(a_killed_child_is_dead_before_and_after_it_is_reaped),
        cmocka_unit_test(a_name_with_parentheses_and_blanks_does_not_confuse),
    };

    return cmocka_run_group_tests_name("util/proc", tests, NULL, NULL);
}

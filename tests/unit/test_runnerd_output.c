/* SPDX-License-Identifier: MIT */
/* host_output: which line says why a process has ended, and what is too much to read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runnerd/host_output.h"

enum { NOW = 5000, SECOND = 1000, PIECE = 4096, PIECES = 600 };

/* What `text` leaves as the last line. */
static const char *last_of(struct host_output *o, const char *text)
{
    int ends[2];
    bool ended;

    *o = (struct host_output){.module = "Some.agent"};
    assert_return_code(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    close(ends[1]);
    assert_true(host_output_read(o, ends[0], NOW, &ended));
    assert_true(ended);
    close(ends[0]);
    return host_output_last(o);
}

static void the_last_line_that_says_something(void **state)
{
    static const struct {
        const char *text, *last;
    } cases[] = {
        {"", ""},
        {"\n\r\n", ""},
        {"one\ntwo\n\n", "two"},
        {"no end", "no end"},
        {"42\n", "42"},
        {"\xd0\xb4\xd0\xb0\n", "\xd0\xb4\xd0\xb0"},
        {"why\n#\n=====\n \t\n", "why"},
        {"#\n# Fatal process out of memory: a reason\n#\n----- Native stack trace -----\n\n"
         " 1: 0x9dde61  [node]\n14: 0x7fc1abe46b50 __clone [libc.so.6]\n",
         "# Fatal process out of memory: a reason"},
        {"----- Native stack trace -----\n\n 1: 0x931db0\n\n----- JavaScript stack trace -----\n\n"
         "1: [eval]:1:9\n",
         ""},
        {"Traceback (most recent call last):\n  File \"agent.py\", line 1\nKeyError: 'a'\n",
         "KeyError: 'a'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct host_output o;

        assert_string_equal(last_of(&o, cases[i].text), cases[i].last);
    }
}

static void too_much_waits_for_the_next_second(void **state)
{
    static char piece[PIECE];
    struct host_output o = {.module = "Some.agent"};
    int ends[2], written = 0;
    bool ended;

    (void)state;
    assert_return_code(pipe2(ends, O_NONBLOCK), 0);
    memset(piece, 'x', sizeof piece - 1);
    piece[sizeof piece - 1] = '\n';
    while (written < PIECES) {
        assert_int_equal(write(ends[1], piece, sizeof piece), sizeof piece);
        written++;
        if (!host_output_read(&o, ends[0], NOW, &ended))
            break;
    }
    assert_in_range(written, PIECES / 3, PIECES - 1);
    assert_true(host_output_read(&o, ends[0], NOW + SECOND, &ended));
    assert_false(ended);
    assert_int_equal(strlen(host_output_last(&o)), HOST_OUTPUT_LINE);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_line_that_says_something),
        cmocka_unit_test(too_much_waits_for_the_next_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

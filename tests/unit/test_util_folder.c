/* SPDX-License-Identifier: MIT */
/* folder: which ones others can have made, however they are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/folder.h"

enum { STRANGER = 4711 };

static char base[64];

static int set_up(void **state)
{
    char made[] = "/tmp/agw-test-folder-XXXXXX";

    (void)state;
    snprintf(base, sizeof base, "%s", mkdtemp(made) == NULL ? "" : made);
    return base[0] == '\0' || chdir(base) != 0 || mkdir("open", 0755) != 0 ||
           mkdir("open/x", 0755) != 0 || mkdir("open/x/y", 0755) != 0 ||
           symlink("open/x/y", "link") != 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink("link") != 0 || rmdir("open/x/y") != 0 || rmdir("open/x") != 0 ||
           rmdir("open") != 0 || rmdir(base) != 0;
}

static void test_what_lies_where_everybody_may_write_is_its_owners(void **state)
{
    static const struct {
        mode_t open;
        uid_t x, y; /* 0: this user's */
        bool x_may, y_may;
    } rows[] = {
        {0755, 0, 0, false, false},
        {0777, 0, 0, false, false},
        {01777, 0, 0, false, false},
        {0775, STRANGER, 0, false, false}, /* the operator's word for who is in the group */
        {0755, STRANGER, STRANGER, false, false},
        {0777, STRANGER, 0, true, true}, /* who has made x can put any y there */
        {01777, STRANGER, 0, true, true},
        {01777, 0, STRANGER, false, false}, /* x is not for everybody */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[100];
        int fd;

        if (geteuid() != 0 && rows[i].x + rows[i].y != 0) {
            print_message("case %zu is left out: only root can give a folder away\n", i);
            continue;
        }
        assert_int_equal(chmod("open", rows[i].open), 0);
        assert_int_equal(chown("open/x", rows[i].x != 0 ? rows[i].x : geteuid(), -1), 0);
        assert_int_equal(chown("open/x/y", rows[i].y != 0 ? rows[i].y : geteuid(), -1), 0);
        snprintf(path, sizeof path, "%s/open/x", base);
        assert_int_equal(folder_may_be_anybodys(AT_FDCWD, path), rows[i].x_may);
        assert_int_equal(folder_may_be_anybodys(AT_FDCWD, "link"), rows[i].y_may);
        fd = open("open/x/y", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(folder_may_be_anybodys(fd, "."), rows[i].y_may);
        close(fd);
    }
}

static void test_what_cannot_be_looked_at_is_not_trusted(void **state)
{
    char longest[PATH_MAX];

    (void)state;
    assert_false(folder_may_be_anybodys(AT_FDCWD, "/"));
    assert_true(folder_may_be_anybodys(AT_FDCWD, "nowhere"));
    assert_true(folder_may_be_anybodys(-1, "."));
    memset(longest, '/', sizeof longest - 1); /* no room is left for what is above */
    longest[sizeof longest - 1] = '\0';
    assert_true(folder_may_be_anybodys(AT_FDCWD, longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_lies_where_everybody_may_write_is_its_owners),
        cmocka_unit_test(test_what_cannot_be_looked_at_is_not_trusted),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
